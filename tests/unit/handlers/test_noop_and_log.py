"""The two smallest handlers."""

from __future__ import annotations

import pytest

from listener.domain.outcome import Completed, Failed
from listener.handlers.log import log
from listener.handlers.noop import noop
from listener.testing import run_handler


@pytest.mark.parametrize("payload", [{}, {"anything": ["at", "all"]}, {"sleep_seconds": 0}])
async def test_noop_takes_any_payload_and_does_nothing(payload):
    """It is what a first insert runs."""
    report = await run_handler(noop, payload)
    assert report.outcome == Completed()
    assert report.logs == ()


async def test_noop_sleeps_for_the_seconds_of_its_payload():
    """For trying out overlaps, cancellations and timeouts."""
    report = await run_handler(noop, {"sleep_seconds": 0.05})
    assert (report.completed_at - report.started_at).total_seconds() >= 0.05
    outcome = (await run_handler(noop, {"sleep_seconds": 5}, timeout_seconds=0.02)).outcome
    assert outcome.reason == "timeout"


@pytest.mark.parametrize("seconds", ["nan", "Infinity", -1, "soon", [1], {"a": 1}])
async def test_noop_refuses_to_sleep_a_time_that_is_none(seconds):
    """Anybody who is signed in may schedule it, and a NaN among the loop's timers could stop every other run."""
    outcome = (await run_handler(noop, {"sleep_seconds": seconds}, timeout_seconds=1)).outcome
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.retryable) == ("invalid_payload", False)
    assert outcome.error.startswith("metadata.sleep_seconds: ")


async def test_noop_sleeps_for_a_minute_at_most_for_users():
    """It holds a slot all the while; who has the service key may take as many as there are."""
    row = {"exposed_only": True}
    outcome = (await run_handler(noop, {"sleep_seconds": 60.5}, row=row)).outcome
    assert outcome.error == "metadata.sleep_seconds: '60.5' is not allowed; expected at most 60 seconds"
    for columns, seconds in ((row, 60), ({}, 604800)):
        assert (
            await run_handler(noop, {"sleep_seconds": seconds}, row=columns, timeout_seconds=0.02)
        ).outcome.reason == "timeout"


async def test_log_writes_its_line_to_the_ledger():
    """At the given level, with the fields that it is given, whatever their names are."""
    report = await run_handler(log, {"message": "hello", "level": "warning", "fields": {"event": 1, "self": 2}})
    assert report.outcome == Completed()
    (line,) = report.logs
    assert (line.level, line.message, line.fields) == ("warning", "hello", {"fields": {"event": 1, "self": 2}})


async def test_log_refuses_a_level_that_nobody_has():
    """The message names the field and the levels."""
    outcome = (await run_handler(log, {"message": "x", "level": "loud"})).outcome
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("metadata.level: 'loud' is not allowed; Input should be 'debug', 'info'")


@pytest.mark.parametrize(
    "payload", [{"message": "x" * 8193}, {"message": "x", "fields": dict.fromkeys(map(str, range(101)))}]
)
async def test_log_refuses_more_than_the_ledger_keeps(payload):
    """Any signed-in user may schedule it."""
    outcome = (await run_handler(log, payload)).outcome
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.retryable) == ("invalid_payload", False)
    assert len(outcome.error) < 500
