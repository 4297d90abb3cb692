"""Each run that ends has a line in the service's log, with what it was and how long it took."""

from __future__ import annotations

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from listener import Fail, JobContext, Snooze, handler
from listener.testing import EXECUTION_ID, NOON, run_handler


@handler
async def report(_job: JobContext, payload: dict[str, str]) -> None:
    """End as the payload says."""
    if payload.get("end") == "snoozed":
        raise Snooze(until=NOON + timedelta(days=1))
    if payload.get("end") == "failed":
        raise Fail(reason="no_such_event")


@pytest.mark.parametrize(
    ("payload", "event", "level", "more"),
    [
        ({}, "run.completed", "info", {}),
        ({"end": "snoozed"}, "run.snoozed", "info", {"until": "2026-01-06T12:00:00+00:00"}),
        ({"end": "failed"}, "run.failed", "warning", {"reason": "no_such_event"}),
    ],
)
async def test_the_end_of_a_run_is_one_line(payload, event, level, more):
    """At level info or above, so that an operator sees it by default."""
    with capture_logs() as lines:
        await run_handler(report, payload, attempt=2)
    (line,) = [line for line in lines if line["event"] == event]
    assert line["log_level"] == level
    assert (line["execution_id"], line["handler"], line["job_id"], line["attempt"]) == (EXECUTION_ID, "report", 1, 2)
    assert line["duration_ms"] >= 0
    assert more.items() <= line.items()
