"""Every row of a source is looked at on start, and every changed one afterwards."""

from __future__ import annotations

from types import SimpleNamespace

import anyio
import pytest

from listener.domain.messages import Hint, Summary
from listener.errors import StoreError
from listener.observability.health import Health
from listener.scheduling.sources import FAILURES_SHOWN, MEETINGS, SourceSync

DOWN = StoreError("sync_sources_v1", "ConnectError", "refused", retryable=True)
NOTHING = Summary()
FAILURE = {"key": "7", "error": "quota max_active_jobs"}


@pytest.fixture
def meetings_of(clock, parts):
    """Make the reaction on a store that answers so; `changes` counts how often jobs were written."""

    def make(upcoming=lambda *_: NOTHING, changed=lambda *_: NOTHING):
        store, changes = parts.ScriptedStore(sync_all=upcoming, sync_changed=changed), []
        poller = SimpleNamespace(poll_now=lambda: changes.append(None))
        return SourceSync(store, Health(clock), poller, 5, 1), store, changes

    return make


async def test_the_start_looks_at_all_and_sums_up(meetings_of):
    """Page by page, with a turn of what changed after each; what that scheduled counts as scheduled."""
    pages = [
        Summary({MEETINGS: {"total": 2, "jobs_scheduled": 1, "jobs_already_exist": 1, "errors": 0}}, after="a"),
        Summary(
            {
                MEETINGS: {"total": 2, "jobs_scheduled": 0, "jobs_already_exist": 1, "errors": 1},
                "bookings": {"total": 1, "jobs_scheduled": 0, "jobs_already_exist": 1, "errors": 0},
            },
            {MEETINGS: [FAILURE]},
        ),
    ]
    meetings, store, changes = meetings_of(pages, [Summary({MEETINGS: {"jobs_scheduled": 1}}), NOTHING, NOTHING])
    assert await meetings.run_once() is True
    assert (meetings.summary, meetings.meetings) == (None, None)
    assert await meetings.run_once() is False
    assert meetings.meetings == {
        "total_meetings": 4,
        "jobs_scheduled": 2,
        "jobs_already_exist": 1,
        "jobs_failed": 1,
        "success": False,
        "errors": [{"meeting": FAILURE["key"], "reason": FAILURE["error"]}],
        "failures": [FAILURE],
    }
    assert meetings.summary["bookings"] == {
        "total_rows": 1,
        "jobs_scheduled": 0,
        "jobs_already_exist": 1,
        "jobs_failed": 0,
        "success": True,
        "errors": [],
        "failures": [],
    }
    assert len(changes) == 2
    assert await meetings.run_once() is False
    assert [method for method, *_ in store.requests] == [
        "sync_all",
        "sync_changed",
        "sync_all",
        "sync_changed",
        "sync_changed",
    ]
    assert store.asked("sync_all") == [[None, ()], ["a", ()]]


async def test_turns_go_on_where_they_stopped(meetings_of):
    """Until nothing is left; a request that fails is made again."""
    answers = [Summary(after="bob", more=True), DOWN, Summary(more=True), NOTHING]
    meetings, store, _ = meetings_of(changed=answers)
    goes_on = [await meetings.run_once()]
    with pytest.raises(StoreError):
        await meetings.run_once()
    goes_on += [await meetings.run_once(), await meetings.run_once()]
    assert goes_on == [True, True, False]
    assert store.asked("sync_changed") == [[None, ()], ["bob", ()], ["bob", ()], [None, ()]]


async def test_a_hint_causes_a_look_whenever_it_comes_and_a_flood_few(meetings_of, parts, naps):
    """While it waits, and while it asks; nothing that it names is kept."""

    def changed(*_):
        meetings.take_hint(Hint("broadcast", "meetings", ids=("forged",)))
        if len(store.asked("sync_changed")) == 3:
            tasks.cancel_scope.cancel()
        return NOTHING

    meetings, store, _ = meetings_of(changed=changed)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await meetings.run()
    assert store.asked("sync_changed") == [[None, ()]] * 3
    assert naps[:2] == [0.05] * 2, "however many hints there are"


async def test_a_fault_is_waited_out(meetings_of, naps):
    """Also at the start."""
    meetings, store, _ = meetings_of([DOWN, DOWN])
    with pytest.raises(IndexError):  # the script's end
        await meetings.run()
    assert (len(store.requests), naps) == (3, [2, 2])


async def test_failures_are_shown_and_bounded(meetings_of):
    """The newest, whenever they happen."""
    many = [{"key": str(key), "error": "no"} for key in range(100)]
    meetings, *_ = meetings_of(changed=[NOTHING, Summary({}, {"bookings": many})])
    await meetings.run_once()
    await meetings.run_once()
    assert meetings.summary == {"bookings": {"failures": many[-FAILURES_SHOWN:]}}


async def test_meetings_may_be_left_out(clock, parts):
    """Other sources are kept."""
    store = parts.ScriptedStore(sync_all=[NOTHING], sync_changed=[NOTHING])
    await SourceSync(store, Health(clock), SimpleNamespace(), 5, 1, meetings=False).run_once()
    assert store.asked("sync_all") == store.asked("sync_changed") == [[None, (MEETINGS,)]]
