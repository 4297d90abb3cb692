"""A service that goes claims nothing more, lets runs end, hands back the rest at once, and says that it leaves."""

from __future__ import annotations

import json
from datetime import timedelta

import anyio
import pytest

from listener import handler
from listener.app.drain import leave
from listener.app.service import Service
from listener.app.supervisor import Supervisor
from listener.errors import StageFailedError, StoreError
from listener.handler_api.registry import Handler, Registry
from listener.settings import Settings
from listener.testing import NOON

DOWN = 503, b'{"code": "PGRST000", "message": "away"}'


class Database:
    """Answers the functions as a database with some due jobs would, and remembers what it was asked."""

    def __init__(self):
        self.asked, self.down = [], set()

    async def post(self, _pool, function, request):
        content = json.loads(request)
        self.asked.append((function, content))
        if function in self.down:
            return DOWN
        return 200, json.dumps(getattr(self, f"_{function}", lambda _: {})(content)).encode()

    def _claim_runs_v1(self, content):
        runs = [self._run(claim["id"], claim["due"]) for claim in content["claims"]]
        return {"runs": {name: [run[name] for run in runs] for name in runs[0]}, "rows": []}

    def _finish_runs_v1(self, content):
        return {"taken": [result["id"] for result in content["results"]], "rows": []}

    @staticmethod
    def _run(job, due):
        retry = {"max_attempts": 2, "retry_delay_seconds": 1, "retry_backoff": 2, "timeout_seconds": 300}
        of = {"id": job, "revision": 1, "handler": "hold", "metadata": {}, "trigger_type": "once", **retry}
        run = {"execution_id": f"run-{job}", "fence": 1, "scheduled_for": due, "run_at": due, "attempt": 2}
        return {**run, "cause": "schedule", "test_mode": False, **of}

    def run_results(self):
        return {
            each["id"]: (each["status"], each.get("reason"), "retry_at" in each)
            for function, content in self.asked
            if function == "finish_runs_v1"
            for each in content["results"]
        }

    def functions(self):
        return [function for function, _ in self.asked]


@pytest.fixture
def database():
    """The transport that answers."""
    return Database()


@pytest.fixture
def let_go():
    """Ends the handlers when set."""
    return anyio.Event()


@pytest.fixture
async def service(database, let_go, monkeypatch):
    """A service whose dispatcher and completer run, on a database of this file."""

    @handler
    async def hold(job):
        await let_go.wait()

    monkeypatch.setattr(Registry, "load", lambda _: Registry([Handler.of(hold)]))
    project = {"SUPABASE_URL": "http://project", "SUPABASE_SECRET_KEY": "sb_secret_x"}
    service = Service(Settings(_env_file=None, **project))
    service.shared.rpc._post = database.post
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.stages.dispatcher.run)
        tasks.start_soon(service.stages.completer.run)
        yield service
        tasks.cancel_scope.cancel()
    await service.shared.rpc.aclose()


async def started(parts, service, *numbers, due_in=-1.0):
    """Let jobs be claimed."""
    due = service.shared.clock.now() + timedelta(seconds=due_in)
    service.stages.dispatcher.add([parts.a_job(each, due_at=due, next_run_at=due) for each in numbers])
    with anyio.fail_after(5):
        while not {f"run-{each}" for each in numbers} <= set(service.shared.runs.execution_ids):  # noqa: ASYNC110
            await anyio.sleep(0.001)
        while due_in < 0 and any(claimed_run.started_at is None for _, claimed_run in service.shared.runs.items()):  # noqa: ASYNC110
            await anyio.sleep(0.001)


async def test_runs_that_end_in_time_are_written_and_nothing_more_is_claimed(parts, service, database, let_go):
    """It is not ready any more at once; it ends as soon as the last run has, and does not wait for its time to pass."""
    await started(parts, service, 1, 2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.drain, 60)
        await parts.settled(50)
        assert service.shared.health.fault() == "draining"
        service.stages.dispatcher.add([parts.a_job(3, due_in=0)])
        await parts.settled(50)
        let_go.set()
        with anyio.fail_after(5):
            while len(database.run_results()) < 2:  # noqa: ASYNC110
                await anyio.sleep(0.001)
    assert database.run_results() == {"run-1": ("completed", None, False), "run-2": ("completed", None, False)}
    assert database.functions().count("claim_runs_v1") == 1
    assert (len(service.shared.runs), service.stages.completer.unwritten) == (0, 0)


async def test_it_says_that_it_leaves_before_it_waits_and_again_at_the_end(parts, service, database, let_go):
    """The others take its share at once; a heartbeat that was under way may have undone the first."""
    await started(parts, service, 1)
    await service.drain(0)
    functions = database.functions()
    assert functions.index("leave_v1") < functions.index("finish_runs_v1")
    assert functions[-1] == "leave_v1"


async def test_what_goes_on_is_stopped_and_tried_again_by_another_at_once(parts, service, database):
    """The attempt is not counted: the shutdown is not its fault. A run that had not begun is handed back as it was."""
    await started(parts, service, 1)
    await started(parts, service, 2, due_in=60)
    with anyio.fail_after(5):
        await service.drain(0)
    assert database.run_results() == {"run-1": ("failed", "shutdown", True), "run-2": ("queued", "shutdown", True)}
    results = [each for name, asked in database.asked if name == "finish_runs_v1" for each in asked["results"]]
    for each in results:
        wanted = each["completed_at"] if each["id"] == "run-1" else each["retry_at"]
        assert each["retry_at"] == wanted


async def test_a_database_that_is_away_does_not_keep_it(parts, service, database, monkeypatch):
    """The leases run out, and the rescuer of another listener takes the runs."""
    monkeypatch.setattr("listener.app.drain.INTERRUPT_SECONDS", 0.2)
    await started(parts, service, 1)
    database.down = {"finish_runs_v1", "leave_v1"}
    with anyio.fail_after(5):
        await service.drain(0)
    assert service.stages.completer.unwritten == 1


async def test_leaving_survives_a_database_that_refuses_it(service, database):
    """The others find out by themselves when the last heartbeat is old."""
    database.down = {"leave_v1"}
    with pytest.raises(StoreError):
        await service.stages.lease_keeper.leave()
    await leave(service.stages)
    assert database.functions() == ["leave_v1", "leave_v1"]


async def test_a_stage_that_cannot_be_kept_hands_the_runs_back_before_it_ends_the_service(
    parts, service, database, naps
):
    """The error goes up after that, and ends everything."""

    async def broken():
        message = "for good"
        raise ValueError(message)

    service.stages.dispatcher.add([parts.a_job(1, due_at=NOON, next_run_at=NOON)])
    while not len(service.shared.runs):
        await parts.settled(1)
    await parts.settled(50)
    with pytest.raises(StageFailedError):
        await service._keep(Supervisor(service.shared.clock), "broken", broken)
    assert database.run_results() == {"run-1": ("failed", "shutdown", True)}
    assert service.shared.health.fault() == "draining"
