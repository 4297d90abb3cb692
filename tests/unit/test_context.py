"""What a handler is given does what it says, and is made only when it is used."""

from __future__ import annotations

import itertools
import logging
import pickle
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from listener.domain.outcome import LogLine
from listener.errors import Fail, InvalidValueError, Retry, RunStoppedError, Snooze
from listener.execution.shared_resources import SharedResources
from listener.execution.worker import CarriedClock
from listener.handler_api.context import JobContext, Surroundings, Unavailable
from listener.handler_api.run_log import MAX_BYTES, MAX_FIELDS_BYTES, MAX_LINES, MAX_MESSAGE_CHARACTERS
from listener.masking.masker import Masker
from listener.observability.events import configure_logging
from listener.testing import EXECUTION_ID, NOON, make_run

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Around:
    """Holds anything."""

    value: Any


class Unlooked:
    """Raises when it is looked at."""

    def __repr__(self) -> str:
        raise AssertionError


ENDLESS: dict[str, Callable[[], Any]] = {
    "an iterator": itertools.count,
    "an iterator in a list": lambda: [itertools.count()],
    "an iterator in a dataclass": lambda: Around(itertools.count()),
    "a large integer": lambda: 1 << 4_000_000,
    "a large integer in a dataclass": lambda: Around(1 << 4_000_000),
    "a large set": lambda: set(range(1_000_000)),
    "a large dataclass": lambda: Around([Unlooked()] * 1_000_000),
    "large bytes": lambda: b"x" * 10_000_000,
}


@pytest.fixture
def job() -> JobContext:
    """Give the context of a second attempt in test mode."""
    run = make_run("greet", {"who": "you"}, attempt=2, test_mode=True)
    return JobContext(run, Surroundings(CarriedClock(NOON), client=lambda: "the client", options={"loud": True}))


def test_the_context_says_what_the_run_says(job):
    """Every public field comes from the claimed run or from the listener."""
    assert (job.job_id, job.execution_id, job.attempt, job.test_mode) == (1, EXECUTION_ID, 2, True)
    assert job.row["metadata"] == {"who": "you"}
    assert job.scheduled_for == NOON
    assert (job.client, job.options) == ("the client", {"loud": True})
    assert job.now() - NOON < timedelta(seconds=5)


def test_a_run_has_a_client_of_its_own():
    """One, however often it is asked for."""
    surroundings = Surroundings(CarriedClock(NOON), client=object)
    first, second = (JobContext(make_run("greet"), surroundings) for _ in range(2))
    assert first.client is first.client
    assert first.client is not second.client


def test_the_idempotency_key_is_the_same_for_all_attempts_at_one_due_instant(job):
    """And another for the next due instant and for another job."""
    surroundings = Surroundings(CarriedClock(NOON))
    again = JobContext(make_run("greet", attempt=3, execution_id="other"), surroundings)
    later = JobContext(make_run("greet", scheduled_for=NOON + timedelta(microseconds=1)), surroundings)
    other = JobContext(make_run("greet", job_id=2), surroundings)
    assert job.idempotency_key == again.idempotency_key
    assert len({job.idempotency_key, later.idempotency_key, other.idempotency_key}) == 3


def test_a_line_is_shown_and_kept(job, capsys):
    """Fields are kept; what the ledger's columns say already is only shown."""
    job.log.info("lent", title="Emma")
    (line,) = job.take_logs()
    assert (line.level, line.message, line.fields) == ("info", "lent", {"title": "Emma"})
    assert line.at.tzinfo is UTC
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("lent", "Emma", EXECUTION_ID, "greet"))
    assert job.take_logs() == ()


def test_a_line_is_kept_also_when_the_service_shows_only_errors(job):
    """The ledger belongs to the job's owner, the service's level to its operator; debug lines are nobody's but his."""
    with structlog.testing.capture_logs():
        job.log.debug("quiet")
        job.log.info("kept")
    assert [line.message for line in job.take_logs()] == ["kept"]


def test_bound_and_positional_values_are_kept(job):
    """The logger is structlog's own, so what structlog can do works."""
    job.log.bind(shelf=3).warning("%s of %s", 1, 2)
    (line,) = job.take_logs()
    assert (line.level, line.message, line.fields) == ("warning", "1 of 2", {"shelf": 3})


def test_an_exception_is_kept_with_its_traceback(job):
    """`log.exception` is an error line; the traceback is a field."""
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        job.log.exception("no")
    (line,) = job.take_logs()
    assert line.level == "error"
    assert "ZeroDivisionError" in line.fields["exception"]


def test_what_postgres_refuses_never_reaches_the_ledger(job):
    """NUL, lone surrogates, NaN and unknown types are replaced, in messages, keys and values."""
    job.log.info("a\0b\ud800", **{"k\0": "v\0", "n": float("nan"), "o": object(), "deep": [{"x": "\ud800"}]})
    (line,) = job.take_logs()
    assert "\0" not in repr(line)
    assert line.message == "a\ufffdb?"
    assert line.fields["n"] is None
    assert line.fields["o"].startswith("<object")
    assert line.fields["deep"] == [{"x": "?"}]


def test_secrets_are_kept_nowhere(job, capsys):
    """Neither under their usual names, nor inside texts, nor nested."""
    secret = "sb_secret_" + "x" * 20
    job.log.info(
        "key %s", secret, apikey=secret, headers={"Authorization": "Bearer abcdef"}, url=f"wss://x/?apikey={secret}"
    )
    (line,) = job.take_logs()
    for text in (repr(line), capsys.readouterr().out):
        assert "x" * 20 not in text
        assert "abcdef" not in text


def test_a_field_that_cannot_be_printed_does_not_end_the_run(job, capsys):
    """A broken `__repr__` costs its own fields and nothing else."""

    class Broken:
        def __repr__(self):
            message = "no"
            raise RuntimeError(message)

    job.log.info("still here", thing=Broken())
    (line,) = job.take_logs()
    assert line.message == "still here"
    assert line.fields == {"unprintable": "RuntimeError: no, in one of thing"}
    assert "still here" in capsys.readouterr().out


def test_a_talkative_run_is_capped_with_a_note(job):
    """Lines, messages and fields have limits, and each cut is noted."""
    with structlog.testing.capture_logs():
        job.log.info("m" * (MAX_MESSAGE_CHARACTERS + 5), big="f" * (MAX_FIELDS_BYTES + 1))
        for _ in range(MAX_LINES + 50):
            job.log.info("again")
    lines = job.take_logs()
    assert len(lines) == MAX_LINES + 1
    assert lines[0].message.endswith("… (5 more characters)")
    assert lines[0].fields["truncated"] is True
    assert lines[-1].message == f"no line after the first {MAX_LINES} was kept"
    job.log.info("and again")
    assert job.take_logs() == ()


def test_a_run_that_logs_without_end_costs_little_and_floods_no_log(job, capsys):
    """What is too much is dropped before anything is done with it: the loop would do it, and all runs wait for that."""
    began = time.process_time()
    for _ in range(100_000):
        job.log.info("again and again", field=1)
        job.log.debug("and again", field=1)
    assert time.process_time() - began < 5
    assert len(job.take_logs()) == MAX_LINES + 1
    assert len(capsys.readouterr().out.splitlines()) <= 2 * MAX_LINES + 1


def test_nothing_is_done_with_a_line_that_is_dropped(job, capsys):
    """Not even its text is put together, whatever was bound to the logger before."""
    shown = []

    class Value:
        def __str__(self) -> str:
            shown.append(self)
            return "value"

    bound = job.log.bind(a=1)
    for _ in range(MAX_LINES + 1):
        job.log.info("again")
        job.log.debug("again")
    for logger in (job.log, bound, bound.bind(b=2)):
        for method in ("debug", "info", "warning", "error", "exception", "critical"):
            getattr(logger, method)("%s", Value())
    assert shown == []
    assert len(job.take_logs()) == MAX_LINES + 1


def test_lines_for_the_services_log_alone_are_capped_by_bytes_too(job, capsys):
    """They are masked and written, and the loop waits for that."""
    for _ in range(MAX_LINES):
        job.log.debug("m" * MAX_MESSAGE_CHARACTERS)
    assert MAX_BYTES < len(capsys.readouterr().out) < 2 * MAX_BYTES


def test_nothing_is_done_with_a_line_that_nobody_shows(job, capsys):
    """A debug line, where the service's log begins at info."""
    configure_logging("json", "info")
    try:
        job.log.debug("%s", Unlooked())
    finally:
        structlog.reset_defaults()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("secrets", [(), ("correct-horse-battery-staple",)], ids=["no secret", "a secret"])
@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
def test_a_field_without_an_end_is_not_looked_through(job, make, secrets):
    """An iterator keeps what it has for the handler, and a large integer is not written out."""
    job.masker = Masker(secrets) if secrets else None
    with structlog.testing.capture_logs():
        job.log.info("odd", value=make())
    (line,) = job.take_logs()
    assert line.fields
    assert len(str(line.fields)) < MAX_FIELDS_BYTES


def test_a_logged_iterator_is_not_used_up(job):
    """Logging changes nothing."""
    numbers = iter([1, 2])
    with structlog.testing.capture_logs():
        job.log.info("numbers", numbers=numbers)
    assert list(numbers) == [1, 2]


def test_a_run_that_logs_a_lot_is_capped_by_bytes(job):
    """A thousand long lines are as much as a hundred thousand short ones."""
    with structlog.testing.capture_logs():
        for _ in range(MAX_LINES):
            job.log.info("m" * MAX_MESSAGE_CHARACTERS)
    lines = job.take_logs()
    assert MAX_BYTES < sum(len(line.message) for line in lines) < MAX_BYTES + 2 * MAX_MESSAGE_CHARACTERS
    assert lines[-1].message == f"no line after the first {len(lines) - 1} was kept"


def test_nothing_is_made_before_it_is_used(job):
    """Thousands of runs start at one instant, and most log nothing."""
    assert job.take_logs() == ()
    assert job._log is None
    assert job._run_log is None


async def test_progress_is_clamped_and_may_be_awaited_or_not(job):
    """Plain handlers cannot await, and async ones may; both read well."""
    job.progress(0.25)
    assert job.fraction == 0.25
    await job.progress(7, "nearly")
    assert job.fraction == 1.0
    assert [line.message for line in job.take_logs()] == ["nearly"]
    job.progress(-1)
    assert job.fraction == 0.0


@pytest.mark.parametrize("fraction", [float("nan"), float("inf"), "half", None])
def test_progress_refuses_what_is_no_number(job, fraction):
    """NaN would be refused by the database much later, and take a batch with it."""
    with pytest.raises(InvalidValueError, match="fraction"):
        job.progress(fraction)
    assert job.fraction is None


def test_a_plain_handler_can_ask_whether_to_stop(job):
    """`cancelled` is a flag to read, `check_cancelled` leaves at once."""
    job.check_cancelled()
    job.stop()
    assert job.cancelled
    with pytest.raises(RunStoppedError):
        job.check_cancelled()


async def test_a_worker_has_no_client_and_says_so():
    """The error names what is missing and why."""
    job = JobContext(make_run("greet"), Surroundings(CarriedClock(NOON)))
    with pytest.raises(Unavailable, match=r"job\.client is not available .* run_in=\"process\""):
        _ = job.client
    with pytest.raises(Unavailable, match=r"job\.shared"):
        await job.shared(lambda: None)


async def test_a_shared_resource_is_opened_once_and_closed_at_the_end():
    """An opener that failed is tried again; the last opened is the first closed."""
    happened = []

    @asynccontextmanager
    async def pool():
        happened.append("open")
        if len(happened) == 1:
            message = "not yet"
            raise OSError(message)
        yield "pool"
        happened.append("close")

    shared = SharedResources()
    job = JobContext(make_run("greet"), Surroundings(CarriedClock(NOON), shared=shared.get))
    with pytest.raises(OSError, match="not yet"):
        await job.shared(pool)
    assert [await job.shared(pool), await job.shared(pool)] == ["pool", "pool"]
    await shared.aclose()
    assert happened == ["open", "open", "close"]


@pytest.mark.parametrize("after", [-1, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_a_retry_after_an_invalid_delay_is_refused(after):
    """The handler's author learns it, not the database."""
    with pytest.raises(InvalidValueError, match="after"):
        Retry(after=after)


def test_a_snooze_until_a_naive_datetime_is_refused():
    """Nobody knows which instant it means."""
    with pytest.raises(InvalidValueError, match="time zone"):
        Snooze(until=datetime(2026, 1, 1))  # noqa: DTZ001 - the very point


def test_signals_say_what_they_carry():
    """Seconds and timedeltas mean the same."""
    assert Retry(after=timedelta(minutes=1)).after_seconds == Retry(after=60).after_seconds == 60
    assert (Fail("gone").reason, str(Fail("gone", "it left"))) == ("gone", "it left")


def test_a_line_travels_between_processes():
    """Workers send their lines back."""
    line = LogLine(NOON, "info", "x", {"a": 1})
    assert pickle.loads(pickle.dumps(line)) == line  # noqa: S301 - our own


def test_the_level_of_every_method_is_one_of_five(job):
    """The ledger's column knows debug, info, warning, error and critical."""
    with structlog.testing.capture_logs():
        for method in ("info", "warn", "warning", "error", "fatal", "critical"):
            getattr(job.log, method)("x")
        job.log.log(logging.ERROR, "y")
    levels = [line.level for line in job.take_logs()]
    assert levels == ["info", "warning", "warning", "error", "critical", "critical", "error"]
