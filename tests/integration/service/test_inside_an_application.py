"""The service runs in an application's own process and loop: ready before or beside it, drained at its end."""

from __future__ import annotations

import logging
import signal

import anyio
import httpx
import pytest
import structlog
from anyio import to_thread
from child_listener import free_port
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import listener
from listener import JobContext, handler
from listener.errors import StageFailedError
from listener.masking import redaction
from listener.scheduling.timekeeper import Timekeeper
from listener.settings import Settings

pytestmark = pytest.mark.anyio


class Greeting(BaseModel):
    """The name to greet."""

    name: str


@pytest.fixture(autouse=True)
def restored_masks(monkeypatch):
    """Forget at the end what this process masked in every text: other tests have texts of their own."""
    monkeypatch.setattr(redaction, "_always", redaction._always)


@pytest.fixture
def settings(embedded_stack, database_url, project):
    """Give settings made in the program, not by the environment."""
    return Settings(
        supabase_url=embedded_stack.url,
        secret_key=embedded_stack.service_key,
        database_url=database_url,
        http_bind=f"127.0.0.1:{free_port()}",
        drain_seconds=0.1,
    )


async def ended(project, job):
    """Wait off the loop, on which the service runs."""
    return await to_thread.run_sync(project.wait, job)


async def test_a_program_runs_its_own_functions(project, settings):
    """Handlers may close over the application's objects; logging, signal handlers and tasks stay as they were."""
    greeted = []

    @handler("greet_in_process")
    async def greet(job: JobContext, greeting: Greeting) -> str:
        greeted.append(greeting.name)
        return f"hello {greeting.name}, attempt {job.attempt}"

    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    logs, tasks = (structlog.get_config(), logging.root.handlers[:]), {task.id for task in anyio.get_running_tasks()}
    async with listener.running(settings, handlers=[greet, "handlers"]) as service:
        assert service.shared.health.fault() is None
        assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before
        job = await to_thread.run_sync(lambda: project.insert("greet_in_process", metadata={"name": "Ada"}))
        assert (await ended(project, job))["result"] == "hello Ada, attempt 1"
        assert (await ended(project, await to_thread.run_sync(project.insert)))["status"] == "completed"
    assert greeted == ["Ada"]
    assert (structlog.get_config(), logging.root.handlers) == logs
    assert {task.id for task in anyio.get_running_tasks()} == tasks


async def test_it_works_beside_a_listener_with_other_handlers(project, settings, listeners):
    """Each runs its own jobs, and both share those that both can run."""
    met = []

    @handler("meet_in_process")
    async def meet(job: JobContext) -> None:
        met.append(job.row["id"])

    await to_thread.run_sync(listeners.start)
    async with listener.running(settings, handlers=[meet, "handlers"]) as service:
        while len(service.describe()["listeners"]) < 2:  # noqa: ASYNC110 - a heartbeat in some seconds
            await anyio.sleep(0.05)
        me = service.shared.listener_id

        async def runners_of(name: str) -> set[str]:
            """Run thirty jobs; the listeners that ran them."""
            jobs = await to_thread.run_sync(project.insert_many, [{"handler": name}] * 30)
            for job in jobs:
                assert (await ended(project, job))["status"] == "completed"
            query = "select listener_id::text as id from public.job_executions where scheduled_job_id = any(%s)"
            return {row["id"] for row in project.rows(query, jobs)}

        assert await runners_of("meet_in_process") == {me}
        assert me not in await runners_of("rest")
        with anyio.fail_after(60):
            while len(await runners_of("noop")) < 2:
                pass  # one that is late leaves its turn to the other
    assert len(set(met)) == len(met) == 30


async def test_leaving_the_block_hands_back_what_still_runs(project, settings):
    """As SIGTERM does: another listener may start it at once; also when the block is left by an exception."""
    jobs, begun = [], anyio.Event()

    @handler("never_ends_in_process")
    async def never_ends(_job: JobContext) -> None:
        begun.set()
        await anyio.sleep_forever()

    async def leave_by_a_fault():
        async with listener.running(settings, handlers=[never_ends]):
            job = await to_thread.run_sync(lambda: project.insert("never_ends_in_process", max_attempts=2))
            jobs.append(job)
            await begun.wait()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await leave_by_a_fault()
    (job,) = jobs
    assert project.states(job)[0] == ("failed", "shutdown")
    project.delete(job)


async def test_it_may_become_ready_beside_the_application(settings):
    """While Supabase is away the block is entered at once, and the service says what it waits for."""
    away = settings.model_copy(update={"supabase_url": f"http://127.0.0.1:{free_port()}"})
    async with listener.running(away, handlers=["handlers"], wait_until_ready=False) as service:
        assert service.shared.health.fault() is not None
        assert service.describe()["ready"] is not True


async def test_a_stage_that_fails_for_good_ends_the_block(settings, monkeypatch):
    """The application learns of it."""

    async def fail(_self):
        message = "broken"
        raise RuntimeError(message)

    async def run():
        async with listener.running(settings, handlers=["handlers"], wait_until_ready=False):
            await anyio.sleep_forever()

    monkeypatch.setattr(Timekeeper, "run", fail)
    with pytest.raises(ExceptionGroup) as group:
        await run()
    assert group.value.subgroup(StageFailedError)


async def test_a_lifespan_of_starlette_runs_it(project, settings):
    """It replaces a scheduler object in an application's `main.py`."""

    @handler("answer_in_process")
    async def answer(_job: JobContext) -> int:
        return 42

    def lifespan(_app):
        return listener.running(settings, handlers=[answer])

    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("ok"))], lifespan=lifespan)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        assert (await client.get("http://app/")).text == "ok"
        job = await to_thread.run_sync(project.insert, "answer_in_process")
        assert (await ended(project, job))["result"] == 42
