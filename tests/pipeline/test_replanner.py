"""The replanner corrects what an older zone database planned, and fights with no other listener."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from listener.domain.job import Trigger, TriggerType
from listener.domain.messages import Page, Replan, ZoneDatabases
from listener.errors import StoreError
from listener.scheduling import replanner
from listener.scheduling.replanner import Replanner

MINE = "2026a"
DUE = datetime(2026, 3, 2, 11, tzinfo=UTC)
NEW_YORK = Trigger(TriggerType.DAILY, datetime(2020, 1, 1, tzinfo=UTC), {"time": "06:00"}, "America/New_York")
HOUR = timedelta(hours=1)
DOWN = StoreError("planned_jobs_v1", "ConnectError", "refused", retryable=True)


@pytest.fixture
def job_at(parts):
    """Make a job that is due so much beside its instant by the rules here."""
    return lambda job_id, beside=HOUR: replace(
        parts.a_job(job_id), due_at=DUE + beside, trigger=NEW_YORK, defined_at=NEW_YORK.run_date
    )


@pytest.fixture
def replanner_of(parts, clock, naps):
    """Make a replanner on a store that answers so."""

    def make(*found, version=MINE, **scripts):
        usual = {"planned": lambda _: Page([], 1, None), "replan": len}
        store = parts.ScriptedStore(zone_database=found, **{**usual, **scripts})
        return Replanner(store, clock, version), store

    return make


async def test_what_an_older_database_planned_is_moved_page_by_page(replanner_of, job_at) -> None:
    """Right instants stay; then this version takes the place of the older one."""
    pages = [Page([job_at(1), job_at(2, 0 * HOUR)], 1, 2), Page([job_at(3, -HOUR)], 1, None)]
    done = [ZoneDatabases("2025b", older=False), ZoneDatabases(MINE, older=False)]
    replans, store = replanner_of(*done, planned=pages)
    with capture_logs() as logs:
        assert not await replans.run_once()
    assert store.asked("planned") == [[None], [2]]
    assert store.asked("replan") == [[[Replan(1, 1, DUE + HOUR, DUE)]], [[Replan(3, 1, DUE - HOUR, DUE)]]]
    assert [line for line in logs if line["event"] == "zones.replanned"] == [
        {"event": "zones.replanned", "log_level": "info", "version": MINE, "before": "2025b", "moved": 2}
    ]


async def test_while_a_listener_with_an_older_database_is_alive_all_is_planned_once_now_and_once_when_it_went(
    replanner_of,
) -> None:
    """It may plan by its own until then."""
    beside, alone = ZoneDatabases("2025b", older=True), ZoneDatabases("2025b", older=False)
    replans, store = replanner_of(beside, beside, alone, ZoneDatabases(MINE, older=False))
    assert [await replans.run_once() for _ in range(2)] == [True, True]
    assert len(store.asked("planned")) == 1
    assert not await replans.run_once()
    assert len(store.asked("planned")) == 2


@pytest.mark.parametrize(("newest", "events"), [(MINE, []), ("2026b", ["zones.outdated"])])
async def test_an_older_or_equal_database_moves_nothing(replanner_of, newest, events) -> None:
    """A newer one has planned; that this one is older is said."""
    replans, store = replanner_of(ZoneDatabases(newest, older=False))
    with capture_logs() as logs:
        assert not await replans.run_once()
    assert store.asked("planned") == []
    assert [line["event"] for line in logs] == events


async def test_a_zone_that_this_database_lacks_keeps_its_plan(replanner_of, job_at) -> None:
    """The others are moved."""
    lost = replace(job_at(1), trigger=replace(NEW_YORK, timezone="Mars/Base"))
    done = [ZoneDatabases("2025b", older=False), ZoneDatabases(MINE, older=False)]
    replans, store = replanner_of(*done, planned=[Page([lost, job_at(2)], 1, None)])
    await replans.run_once()
    assert store.asked("replan") == [[[Replan(2, 1, DUE + HOUR, DUE)]]]


async def test_it_checks_now_and_then_and_after_a_fault_again(replanner_of, naps) -> None:
    """Sooner while an older listener is alive."""
    found = [DOWN, ZoneDatabases("2025b", older=True), ZoneDatabases(MINE, older=False), IndexError()]
    replans, _ = replanner_of(*found)
    with pytest.raises(IndexError):
        await replans.run()
    assert naps == [replanner.RETRY_SECONDS, replanner.BESIDE_OLDER_SECONDS, replanner.CHECK_SECONDS]
