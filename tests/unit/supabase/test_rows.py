"""Rows become values; one that is invalid is left out, and no other waits for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from listener.domain.job import DstGap, Misfire, RetryPolicy, TriggerType
from listener.supabase import rows

ONCE = {
    "id": 7,
    "revision": 900,
    "status": "scheduled",
    "priority": 3,
    "due_at": "2026-01-05T12:00:00.5+00:00",
    "next_run_at": "2026-01-05T12:00:00.5+00:00",
    "trigger_type": "once",
    "run_date": "2026-01-05T12:00:00.5+00:00",
    "misfire": "skip",
    "misfire_grace_seconds": 60,
}
DAILY = {
    **ONCE,
    "trigger_type": "daily",
    "due_at": None,
    "next_run_at": None,
    "unplanned": True,
    "schedule": {"time": "08:00"},
    "timezone": "Europe/Berlin",
    "ends_at": None,
    "defined_at": "2026-01-04T00:00:00+00:00",
    "dst_gap": "skip",
    "dst_fold": "both",
}
INSTANT = datetime(2026, 1, 5, 12, 0, 0, 500_000, tzinfo=UTC)


def test_a_one_time_job():
    """It needs no trigger: its due instant is there from the start."""
    job = rows.job(ONCE)
    assert (job.id, job.revision, job.priority, job.misfire) == (7, 900, 3, Misfire.SKIP)
    assert (job.due_at, job.next_run_at, job.trigger, job.unplanned) == (INSTANT, INSTANT, None, False)


def test_a_recurring_job():
    """All that its schedule needs."""
    job = rows.job(DAILY)
    assert (job.due_at, job.unplanned, job.defined_at) == (None, True, datetime(2026, 1, 4, tzinfo=UTC))
    assert (job.trigger.type, job.trigger.schedule) == (TriggerType.DAILY, {"time": "08:00"})
    assert (job.trigger.timezone, job.trigger.dst_gap, job.trigger.ends_at) == ("Europe/Berlin", DstGap.SKIP, None)


def test_a_claimed_run():
    """With the job as it was when it was claimed."""
    of = {
        "id": 7,
        "revision": 900,
        "handler": "noop",
        "metadata": {"a": 1},
        "timeout_seconds": 30,
        "max_attempts": 2,
        "retry_delay_seconds": 1.5,
        "retry_backoff": 3,
        "trigger_type": "daily",
    }
    run = rows.run(
        {
            "execution_id": "e",
            "fence": 3,
            "scheduled_for": ONCE["run_date"],
            "run_at": "2026-01-05T13:00:00+01:00",
            "attempt": 2,
            "cause": "schedule",
            "test_mode": False,
            **of,
        }
    )
    assert (run.execution_id, run.fence, run.job_id, run.revision, run.attempt) == ("e", 3, 7, 900, 2)
    assert (run.scheduled_for, run.start_at) == (INSTANT, datetime(2026, 1, 5, 12, tzinfo=UTC))
    assert (run.retry, run.recurring, run.payload, run.row) == (RetryPolicy(2, 1.5, 3), True, {"a": 1}, of)


@pytest.mark.parametrize(
    "change",
    [
        {"due_at": "infinity"},
        {"next_run_at": "10000-01-01T00:00:00+00:00"},
        {"misfire": "later"},
        {"revision": None},
        {"trigger_type": "hourly"},
        {"trigger_type": "daily", "schedule": 7, "timezone": "UTC"},
    ],
)
def test_an_invalid_row_is_left_out(change):
    """Of another version, or of somebody who writes as superuser; the others are read."""
    bad = {**ONCE, **change}
    if change == {"revision": None}:
        del bad["revision"]
    assert [job.id for job in rows.readable([{**ONCE, "id": 1}, bad, {**ONCE, "id": 3}], rows.job)] == [1, 3]
