"""The run of any handler ends in one report that the ledger can store."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import anyio
import pytest
from pydantic import BaseModel, ConfigDict, field_validator

from listener import Fail, JobContext, Retry, Snooze, handler
from listener.domain.outcome import Cancelled, Completed, Failed, Snoozed
from listener.execution.executor import Executor, Limits
from listener.execution.worker import CarriedClock
from listener.handler_api.registry import Handler, Registry
from listener.observability.metrics import Metrics
from listener.testing import EXECUTION_ID, NOON, make_run, run_handler


class Reminder(BaseModel):
    event_id: UUID
    message: str


class Odd(BaseModel):
    value: Any

    @field_validator("value")
    @classmethod
    def explode(cls, _: object):
        message = "bang\0"
        raise ZeroDivisionError(message)


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    event_id: UUID
    at: datetime


def executor_of(*functions, **options) -> Executor:
    """Give an executor that knows these functions."""
    return Executor(Registry(map(Handler.of, functions)), CarriedClock(NOON), lambda: None, **options)


async def test_a_returned_model_or_dataclass_becomes_json():
    """Results are what jsonb stores, whatever class they were."""

    @dataclass
    class Shelf:
        books: tuple[str, ...]

    @handler
    async def remind(job: JobContext, payload: Reminder):
        return {"reminder": payload, "shelf": Shelf(("Emma",)), "at": job.scheduled_for}

    report = await run_handler(remind, {"event_id": EXECUTION_ID, "message": "hello"})
    assert report.execution_id == EXECUTION_ID
    assert isinstance(report.outcome, Completed)
    assert report.outcome.result == {
        "reminder": {"event_id": EXECUTION_ID, "message": "hello"},
        "shelf": {"books": ["Emma"]},
        "at": "2026-01-05T12:00:00Z",
    }
    assert NOON <= report.started_at <= report.completed_at


@pytest.mark.parametrize(
    ("payload", "reported"),
    [
        ({"message": "x"}, "metadata.event_id: is required"),
        ({"event_id": "7", "message": "x"}, "metadata.event_id: '7' is not allowed; Input should be a valid UUID"),
        (
            {"event_id": EXECUTION_ID, "message": 3},
            "metadata.message: 3 is not allowed; Input should be a valid string",
        ),
    ],
)
async def test_a_payload_that_does_not_fit_is_reported_by_field_and_value(payload, reported):
    """The handler is not called, and no other attempt is made."""

    @handler
    async def remind(job: JobContext, payload: Reminder):
        raise AssertionError

    report = await run_handler(remind, payload)
    assert isinstance(report.outcome, Failed)
    assert reported in report.outcome.error
    assert (report.outcome.reason, report.outcome.retryable) == ("invalid_payload", False)
    assert report.outcome.details["fields"][0]["field"] == reported.split(":")[0]
    assert report.started_at is None


async def test_preparing_never_raises():
    """Neither a validator that raises what it likes, nor a payload that PostgreSQL could not store."""

    @handler
    async def odd(job: JobContext, payload: Odd): ...

    outcome = (await run_handler(odd, {"value": "\ud800"})).outcome
    assert outcome.reason == "invalid_payload"
    outcome = (await run_handler(odd, {"value": 1})).outcome
    assert outcome.error == "metadata: ZeroDivisionError: bang\ufffd"


async def test_a_strict_model_reads_metadata_as_json():
    """A UUID or an instant is a text in JSON, and strictness must not refuse that."""

    @handler
    async def strict(job: JobContext, payload: Strict):
        return payload.at.year

    report = await run_handler(strict, {"event_id": EXECUTION_ID, "at": "2026-01-01T00:00:00Z"})
    assert report.outcome == Completed(2026)


async def test_metadata_is_handed_over_as_it_is_where_no_model_is_declared():
    """Bare, `dict` and `Mapping` annotations, and no second parameter at all."""

    @handler
    async def bare(job, payload):
        return payload

    @handler
    async def some_dict(job: JobContext, payload: dict[str, Any]):
        return payload

    @handler
    async def mapping(job: JobContext, payload: Mapping[str, object]):
        return payload

    @handler
    async def alone(job: JobContext):
        return job.row["metadata"]

    for function in (bare, some_dict, mapping, alone):
        assert (await run_handler(function, {"a": [1]})).outcome == Completed({"a": [1]})


async def test_an_unknown_handler_is_reported_with_those_that_are_known():
    """The job's owner sees the slip in the name; the metrics have no label of his making."""

    @handler
    async def known(job): ...

    metrics = Metrics()
    executor = executor_of(known, metrics=metrics)
    outcome = (await executor.execute(executor.prepare(make_run("knows\0")))).outcome
    assert (outcome.reason, outcome.retryable) == ("no_handler", False)
    assert outcome.error == "handler: 'knows\\x00' is not registered; this listener knows known"
    assert b'listener_runs_total{handler="(unknown)",status="failed"} 1.0' in metrics.exposition()


async def test_an_exception_is_a_retryable_failure_with_its_traceback():
    """The traceback begins at the handler, and names no frame of ours."""

    @handler
    async def broken(job):
        message = "no\0thing"
        raise LookupError(message)

    outcome = (await run_handler(broken, attempt=3)).outcome
    assert outcome.error == "LookupError: no\ufffdthing"
    assert (outcome.retryable, outcome.reason, outcome.retry_after_seconds) == (True, None, None)
    assert outcome.details["type"] == "builtins.LookupError"
    assert outcome.details["attempt"] == 3
    assert "in broken" in outcome.details["traceback"]
    assert "listener/execution" not in outcome.details["traceback"]


async def test_a_huge_error_is_cut():
    """The end of the traceback stays, where the fault is; the whole stays below 16 KiB."""

    @handler
    async def broken(job):
        raise ValueError("x" * 100_000 + "\ud800")

    outcome = (await run_handler(broken)).outcome
    assert len(json.dumps(outcome.details)) < 16 * 1024
    assert len(outcome.error) < 2200
    assert outcome.details["traceback"].startswith("… (")
    assert outcome.details["traceback"].rstrip().endswith("x?")


async def test_an_exception_whose_text_raises_is_still_reported():
    """Somebody else's `__str__` ends no service."""

    class Mute(Exception):  # noqa: N818 - a name
        def __str__(self):
            raise RuntimeError

    @handler
    async def mute(job):
        raise Mute

    assert (await run_handler(mute)).outcome.error == "Mute: (its text cannot be shown)"


@pytest.mark.parametrize("error", [SystemExit(3), BaseExceptionGroup("two", [SystemExit(), ValueError()])])
async def test_a_handler_cannot_end_the_service(error):
    """`sys.exit()` in a handler fails its run."""

    @handler
    async def leaving(job):
        raise error

    outcome = (await run_handler(leaving)).outcome
    assert isinstance(outcome, Failed)
    assert type(error).__name__ in outcome.error


async def test_signals_choose_the_outcome():
    """Retry, Fail and Snooze are not faults."""

    @handler
    async def signalling(job, payload):
        raise {
            "retry": Retry(after=timedelta(seconds=7)),
            "fail": Fail("card_declined", "The bank said no."),
            "snooze": Snooze(until=NOON + timedelta(days=1)),
            "nap": Snooze(until=timedelta(hours=1)),
            "never": Snooze(until=timedelta.max),
        }[payload["what"]]

    async def outcome_of(what):
        return (await run_handler(signalling, {"what": what})).outcome

    assert await outcome_of("retry") == Failed(
        "the handler asked for another attempt", reason="retry", retry_after_seconds=7
    )
    assert await outcome_of("fail") == Failed("The bank said no.", reason="card_declined", retryable=False)
    assert await outcome_of("snooze") == Snoozed(datetime(2026, 1, 6, 12, tzinfo=UTC))
    nap = (await outcome_of("nap")).until - NOON
    assert timedelta(hours=1) <= nap < timedelta(hours=1, seconds=5)
    assert (await outcome_of("never")).reason == "snooze"


async def test_the_cause_of_a_signal_is_kept():
    """`raise Retry() from error` shows the error and its traceback in `error_details`, and no secret of either."""

    @handler
    async def signalling(job):
        try:
            _ = {}["sb_secret_hush"]
        except KeyError as error:
            raise Retry(message="later, with sb_secret_hush") from error

    outcome = (await run_handler(signalling)).outcome
    assert outcome.details["type"] == "builtins.KeyError"
    assert "in signalling" in outcome.details["traceback"]
    assert outcome.error == "later, with sb_secret_[redacted]"
    assert outcome.details["message"] == "'sb_secret_[redacted]'"


async def test_a_signal_from_inside_a_task_group_counts():
    """A task group wraps what its children raise."""

    @handler
    async def grouped(job):
        async def child():
            raise Fail(reason="gone")

        async with anyio.create_task_group() as inner, anyio.create_task_group() as innermost:
            inner.start_soon(anyio.sleep, 0)
            innermost.start_soon(child)

    assert (await run_handler(grouped)).outcome.reason == "gone"


async def test_a_handler_that_takes_too_long_is_stopped():
    """The smaller of the job's and the handler's own limit holds."""

    @handler(timeout=0.02)
    async def slow(job):
        await anyio.sleep(5)

    @handler(timeout=50)
    async def slow_too(job):
        await anyio.sleep(5)

    outcome = (await run_handler(slow)).outcome
    assert outcome == Failed("the handler did not end within 0.02 s", reason="timeout")
    outcome = (await run_handler(slow_too, timeout_seconds=0.03)).outcome
    assert outcome == Failed("the handler did not end within 0.03 s", reason="timeout")


async def test_what_a_handler_raises_while_it_is_stopped_is_not_why_it_failed():
    """The timeout is the reason; a clean-up that fails comes after it."""

    @handler(timeout=0.02)
    async def slow(job):
        try:
            await anyio.sleep(5)
        finally:
            _ = 1 / 0

    assert (await run_handler(slow)).outcome.reason == "timeout"


async def test_a_handlers_own_timeout_error_is_an_ordinary_failure():
    """Only the run's limit is the reason `timeout`."""

    @handler
    async def impatient(job):
        with anyio.fail_after(0.01):
            await anyio.sleep(5)

    outcome = (await run_handler(impatient)).outcome
    assert (outcome.error, outcome.reason) == ("TimeoutError: ", None)


async def test_the_cancellation_of_something_inside_a_handler_is_a_failure():
    """A library that cancels its own future must not make the run vanish without a report."""

    @handler
    async def careless(job):
        raise anyio.get_cancelled_exc_class()

    outcome = (await run_handler(careless)).outcome
    assert outcome.error.startswith("CancelledError")


async def test_a_cancelled_run_stops_and_says_why():
    """The handler's clean-up runs, and the first reason stays."""
    cleaned = []

    @handler
    async def patient(job):
        try:
            await anyio.sleep(5)
        finally:
            cleaned.append(job.cancelled)

    executor = executor_of(patient)
    claimed_run = executor.prepare(make_run("patient"))
    reports = []

    async def execute():
        reports.append(await executor.execute(claimed_run))

    with anyio.fail_after(2):
        async with anyio.create_task_group() as group:
            group.start_soon(execute)
            await anyio.wait_all_tasks_blocked()
            claimed_run.cancel("replaced")
            claimed_run.cancel("deleted")
    assert cleaned == [True]
    assert reports[0].outcome == Cancelled("replaced")
    assert reports[0].started_at is not None


async def test_a_run_cancelled_before_its_start_never_starts():
    """A cancellation may come between the claim and the due instant."""

    @handler
    async def eager(job):
        raise AssertionError

    executor = executor_of(eager)
    claimed_run = executor.prepare(make_run("eager"))
    claimed_run.cancel("cancelled")
    report = await executor.execute(claimed_run)
    assert report.outcome == Cancelled("cancelled")
    assert report.started_at is None


async def test_the_end_of_the_service_passes_through():
    """There is no report: the lease runs out or is given back, and another listener takes the run."""

    @handler
    async def patient(job):
        await anyio.sleep(5)

    executor = executor_of(patient)
    with anyio.move_on_after(0.02) as scope:
        await executor.execute(executor.prepare(make_run("patient")))
        pytest.fail("a report was made")
    assert scope.cancelled_caught


async def test_a_handlers_own_limit_of_attempts_holds():
    """The last attempt that the handler allows is not retryable."""

    @handler(max_attempts=2)
    async def broken(job):
        raise ValueError

    assert (await run_handler(broken, attempt=1)).outcome.retryable
    assert not (await run_handler(broken, attempt=2)).outcome.retryable


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (math.nan, None),
        ({"a": [math.inf, 1.5]}, {"a": [None, 1.5]}),
        ("nul \0", "nul \ufffd"),
        ({"k\0": {"\0": "\\u0000"}}, {"k\ufffd": {"\ufffd": "\\u0000"}}),
        (["\ud800"], ["?"]),
        ({1: {2}}, {"1": [2]}),
        (timedelta(minutes=1), "PT1M"),
        (0, 0),
        ("", ""),
    ],
)
async def test_a_result_is_what_jsonb_accepts(value, stored):
    """NUL and lone surrogates are replaced, NaN and infinity become null."""

    @handler
    async def giving(job):
        return value

    assert (await run_handler(giving)).outcome == Completed(stored)


async def test_a_result_that_is_no_json_fails_the_run_for_good():
    """The work was done, so it is not done again; the fault is the program's."""
    endless: list[Any] = []
    endless.append(endless)

    @handler
    async def giving(job, payload):
        return object() if payload["what"] == "object" else endless

    for what in ("object", "endless"):
        outcome = (await run_handler(giving, {"what": what})).outcome
        assert (outcome.reason, outcome.retryable) == ("invalid_result", False)
        assert outcome.error.startswith("the handler's result is not JSON: ")


async def test_a_result_that_is_too_large_is_cut_with_a_note():
    """The run was a success; only its record is short."""

    @handler
    async def large(job):
        return {"text": "ä" * 200_000}

    outcome = (await run_handler(large)).outcome
    assert isinstance(outcome, Completed)
    assert outcome.result["truncated"] is True
    assert (outcome.result["bytes"], outcome.result["limit_bytes"]) == (400_011, 262_144)
    assert outcome.result["head"].startswith('{"text":"ää')


@pytest.mark.parametrize("value", [[0] * 10_001, ["x" * 1000] * 10_000], ids=["numbers", "texts"])
async def test_a_result_of_too_many_parts_is_not_converted(value):
    """Converting it would hold the loop; its beginning is kept."""

    @handler
    async def large(job):
        return {"rows": value}

    outcome = (await run_handler(large)).outcome
    assert isinstance(outcome, Completed)
    assert (outcome.result["truncated"], outcome.result["limit_parts"]) == (True, 10_000)
    assert outcome.result["head"].startswith(f'{{"rows":[{json.dumps(value[0])}')
    assert len(outcome.result["head"]) <= 1024


async def test_logs_and_progress_are_in_the_report_unless_they_were_taken_before():
    """The recorder may follow a long run."""

    @handler
    async def talking(job):
        job.log.info("one")
        await job.progress(0.5)
        await anyio.sleep(0.02)
        job.log.info("two")

    executor = executor_of(talking)
    claimed_run = executor.prepare(make_run("talking"))
    taken = []

    async def follow():
        await anyio.wait_all_tasks_blocked()
        taken.extend(claimed_run.take_logs())
        assert claimed_run.progress == 0.5

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        report = await executor.execute(claimed_run)
    assert [line.message for line in taken] == ["one"]
    assert [line.message for line in report.logs] == ["two"]
    assert report.progress == 0.5


async def test_a_plain_handler_runs_in_a_thread_and_leaves_the_loop_free():
    """Its log and progress work as on the loop."""

    @handler
    def blocking(job: JobContext, payload: Reminder):
        time.sleep(0.05)
        job.log.info("slept")
        job.progress(1)
        return threading.current_thread() is threading.main_thread()

    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await anyio.sleep(0.005)
            ticks += 1

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        report = await run_handler(blocking, {"event_id": EXECUTION_ID, "message": "x"})
        group.cancel_scope.cancel()
    assert report.outcome == Completed(result=False)
    assert ([line.message for line in report.logs], report.progress) == (["slept"], 1.0)
    assert ticks >= 3


async def test_what_a_plain_handler_raises_is_judged_alike():
    """Signals, exceptions and `sys.exit()`."""

    @handler
    def plain(job, payload):
        if payload["what"] == "exit":
            sys.exit(1)
        raise {"retry": Retry(after=3), "error": ValueError("x"), "stop": StopIteration()}[payload["what"]]

    async def outcome_of(what):
        return (await run_handler(plain, {"what": what})).outcome

    assert (await outcome_of("retry")).retry_after_seconds == 3
    assert (await outcome_of("error")).error == "ValueError: x"
    assert "in plain" in (await outcome_of("error")).details["traceback"]
    assert (await outcome_of("exit")).error == "SystemExit: 1"
    assert isinstance(await outcome_of("stop"), Failed)


async def test_a_plain_handler_that_looks_is_stopped_in_time():
    """The run ends when the thread does, and no thread is left."""
    left = []

    @handler(timeout=0.5)
    def cooperative(job):
        try:
            while True:
                job.check_cancelled()
                time.sleep(0.005)
        finally:
            left.append(True)

    executor = executor_of(cooperative)
    report = await executor.execute(executor.prepare(make_run("cooperative")))
    assert report.outcome.reason == "timeout"
    assert left == [True]
    assert executor.abandoned_threads == 0


async def test_a_plain_handler_that_does_not_look_is_abandoned_but_keeps_its_slot():
    """The run is reported after the grace; the thread counts against the limit until it has really ended."""
    has_begun, may_end = anyio.Event(), threading.Event()
    loop = anyio.lowlevel.current_token()

    @handler
    def stubborn(job):
        anyio.from_thread.run_sync(has_begun.set, token=loop)
        may_end.wait(30)

    @handler
    def quick(job):
        return "ran"

    executor = executor_of(stubborn, quick, limits=Limits(threads=1, thread_grace_seconds=0.02))
    claimed_run = executor.prepare(make_run("stubborn"))
    async with anyio.create_task_group() as group:
        group.start_soon(executor.execute, claimed_run)
        await has_begun.wait()  # a thread that was not taken up before its run ends is not abandoned
        claimed_run.cancel("cancelled")
    assert executor.abandoned_threads == 1
    reports = []

    async def execute():
        reports.append(await executor.execute(executor.prepare(make_run("quick"))))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(execute)
            await anyio.sleep(0.05)
            assert reports == []
            may_end.set()
    assert reports[0].outcome == Completed("ran")
    assert executor.abandoned_threads == 0


async def test_no_more_runs_of_a_handler_go_on_than_it_allows():
    """Waiting for a slot counts neither as running nor against the timeout."""
    now = most = 0

    @handler(concurrency=2, timeout=0.08)
    async def narrow(job):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.sleep(0.04)
        now -= 1

    executor = executor_of(narrow)
    reports = []

    async def execute():
        reports.append(await executor.execute(executor.prepare(make_run("narrow"))))

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(execute)
    assert most == 2
    assert [report.outcome for report in reports] == [Completed()] * 6
    assert max(report.started_at for report in reports) - NOON >= timedelta(seconds=0.075)


async def test_a_run_cancelled_while_it_waits_for_a_slot_gives_its_place_up():
    """And takes none with it."""
    may_end = anyio.Event()

    @handler(concurrency=1)
    async def narrow(job):
        await may_end.wait()

    executor = executor_of(narrow)
    first, second, third = (executor.prepare(make_run("narrow")) for _ in range(3))
    reports = []

    async def execute(claimed_run):
        reports.append(await executor.execute(claimed_run))

    with anyio.fail_after(2):
        async with anyio.create_task_group() as group:
            for claimed_run in (first, second, third):
                group.start_soon(execute, claimed_run)
                await anyio.wait_all_tasks_blocked()
            second.cancel("paused")
            await anyio.wait_all_tasks_blocked()
            may_end.set()
    assert [report.outcome for report in reports] == [Cancelled("paused"), Completed(), Completed()]
    assert reports[0].started_at is None


async def test_a_plain_function_that_returns_a_coroutine_is_refused_with_the_advice_to_be_async():
    """Nothing would have run, and the result would be an object's name."""

    async def inner(): ...

    @handler
    def forgetful(job):
        return inner()

    outcome = (await run_handler(forgetful)).outcome
    assert "async def" in outcome.error


JOBS = """
import os, sys, time
from pydantic import BaseModel
from listener import Fail, JobContext, Retry, Snooze, handler

class Work(BaseModel):
    what: str = "answer"

@handler("crunch", run_in="process", timeout=20)
def crunch(job: JobContext, payload: Work):
    job.log.info("working", what=payload.what)
    job.progress(0.5)
    if payload.what == "retry":
        raise Retry(after=4)
    if payload.what == "error":
        raise ValueError("inside")
    if payload.what == "die":
        os._exit(9)
    if payload.what == "exit":
        sys.exit(2)
    if payload.what == "client":
        return job.client
    if payload.what.startswith("/"):
        open(payload.what, "w").write(str(os.getpid()))
        time.sleep(30)
    return {"pid": os.getpid(), "attempt": job.attempt, "row": job.row["id"]}

@handler("crunch_async", run_in="process")
async def crunch_async(job: JobContext):
    return os.getpid()
"""


@pytest.fixture
def crunching(tmp_path, monkeypatch) -> Executor:
    """Give an executor of handlers that run in processes."""
    name = "jobs_in_processes"
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"{name}.py").write_text(JOBS)
    yield Executor(Registry.load([name]), CarriedClock(NOON), lambda: None, limits=Limits(processes=2))
    sys.modules.pop(name, None)


async def crunch(executor: Executor, what: str = "answer", handler: str = "crunch", **changes):
    """Run one in a process."""
    return await executor.execute(executor.prepare(make_run(handler, {"what": what}, **changes)))


async def test_a_handler_may_run_in_a_process(crunching):
    """Result, signals, errors, log lines and progress come back."""
    report = await crunch(crunching, attempt=2)
    result = report.outcome.result
    assert result["pid"] != os.getpid()
    assert (result["attempt"], result["row"]) == (2, 1)
    assert [(line.message, line.fields) for line in report.logs] == [("working", {"what": "answer"})]
    assert report.progress == 0.5
    assert (await crunch(crunching, "retry")).outcome.retry_after_seconds == 4
    error = (await crunch(crunching, "error")).outcome
    assert error.error == "ValueError: inside"
    assert "in crunch" in error.details["traceback"]
    assert (await crunch(crunching, "exit")).outcome.error == "SystemExit: 2"
    assert "job.client is not available" in (await crunch(crunching, "client")).outcome.error
    assert (await crunch(crunching, handler="crunch_async")).outcome.result != os.getpid()


async def test_a_worker_that_dies_fails_its_own_run_only(crunching):
    """The next run gets a new worker."""
    outcome = (await crunch(crunching, "die")).outcome
    assert (outcome.reason, outcome.retryable) == ("worker_died", True)
    assert isinstance((await crunch(crunching)).outcome, Completed)


async def test_a_worker_is_killed_when_its_run_is_cancelled(crunching, tmp_path):
    """A process can be stopped whatever it does."""
    started = tmp_path / "pid"
    claimed_run = crunching.prepare(make_run("crunch", {"what": str(started)}))
    reports = []

    async def execute():
        reports.append(await crunching.execute(claimed_run))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(execute)
            while not await anyio.Path(started).exists() or not await anyio.Path(started).read_text():  # noqa: ASYNC110
                await anyio.sleep(0.02)
            claimed_run.cancel("deleted")
    assert reports[0].outcome == Cancelled("deleted")
    pid = int(await anyio.Path(started).read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_corrected_clock_ends_no_run_before_its_start():
    """The estimate of the database's clock may step back while a handler runs; durations stay positive."""

    class Corrected(CarriedClock):
        def now(self):
            self._base -= timedelta(seconds=5)
            return super().now()

    @handler
    async def noop(job): ...

    executor = Executor(Registry([Handler.of(noop)]), Corrected(NOON), lambda: None)
    report = await executor.execute(executor.prepare(make_run("noop")))
    assert report.completed_at == report.started_at


async def test_the_metrics_count_ends_by_handler_and_status():
    """Started runs have a lateness and a duration."""

    @handler
    async def fine(job): ...

    metrics = Metrics()
    executor = executor_of(fine, metrics=metrics)
    late = make_run("fine", start_at=NOON - timedelta(seconds=2), scheduled_for=NOON - timedelta(days=1))
    await executor.execute(executor.prepare(late))
    shown = metrics.exposition()
    assert b'listener_runs_total{handler="fine",status="completed"} 1.0' in shown
    assert b'listener_run_lateness_seconds_bucket{le="1.0"} 0.0' in shown
    assert b'listener_run_lateness_seconds_bucket{le="2.5"} 1.0' in shown
    assert b'listener_run_duration_seconds_count{handler="fine"} 1.0' in shown
    assert b"listener_runs_in_progress 0.0" in shown
