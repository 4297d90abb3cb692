"""The demo shows everything, at any time of any day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from listener.demo.scenes import Scene, scenes
from listener.domain.job import DstFold, DstGap, Trigger, TriggerType
from listener.domain.schedule import first_run

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
FOURTEEN_YEARS = 14 * 366 * 86400 * 10  # in tenths of a second
WHILE_PEOPLE_WATCH = timedelta(seconds=15)


def _trigger(row: dict[str, object], now: datetime) -> Trigger:
    return Trigger(
        type=TriggerType(row["trigger_type"]),
        run_date=datetime.fromisoformat(row.get("run_date", now.isoformat())),
        schedule=row["schedule"],
        timezone=row.get("timezone", "UTC"),
        ends_at=None,
        dst_gap=DstGap.RUN_AFTER,
        dst_fold=DstFold.FIRST,
    )


def test_every_trigger_type_is_played():
    """None is left out."""
    played = {scene.row.get("trigger_type", "once") for scene in scenes(NOW) if scene.row}
    assert played == set(TriggerType)


@given(st.integers(0, FOURTEEN_YEARS).map(lambda seconds: NOW + timedelta(seconds=seconds / 10)))
def test_recurring_jobs_come_due_while_people_watch(now: datetime):
    """At midnight, at the end of a month and when clocks change, too."""
    for scene in scenes(now):
        if "schedule" in scene.row:
            assert now <= first_run(_trigger(scene.row, now), now) <= now + WHILE_PEOPLE_WATCH, scene.name


def test_retries_and_cancelled_runs_do_not_count_as_runs():
    """As `total_runs` counts."""
    assert Scene("retried", "", runs=("failed", "failed", "completed")).counted_runs == 1
    assert Scene("late", "", runs=("failed:timeout",)).counted_runs == 1
    assert Scene("stopped", "", runs=("cancelled:cancelled",)).counted_runs == 0
