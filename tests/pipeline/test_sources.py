"""Every meeting is looked at on start, and every changed one afterwards."""

from __future__ import annotations

from types import SimpleNamespace

import anyio
import pytest

from listener.domain.messages import Hint, Summary
from listener.errors import StoreError
from listener.observability.health import Health
from listener.scheduling.sources import MeetingSource

DOWN = StoreError("sync_meetings_v1", "ConnectError", "refused", retryable=True)
NOTHING = Summary()


@pytest.fixture
def meetings_of(clock, parts):
    """Make the reaction on a store that answers so; `changes` counts how often jobs were written."""

    def make(upcoming=lambda _: NOTHING, changed=lambda _: NOTHING):
        store, changes = parts.ScriptedStore(sync_upcoming=upcoming, sync_changed=changed), []
        poller = SimpleNamespace(poll_now=lambda: changes.append(None))
        return MeetingSource(store, Health(clock), poller, 5, 1), store, changes

    return make


async def test_the_start_looks_at_all_and_sums_up(meetings_of):
    """Page by page, with a turn of what changed after each; what that scheduled counts as scheduled."""
    pages = [
        Summary({"total_meetings": 2, "jobs_scheduled": 1, "jobs_already_exist": 1, "errors": 0}, "a"),
        Summary({"total_meetings": 2, "jobs_scheduled": 0, "jobs_already_exist": 1, "errors": 1}),
    ]
    meetings, store, changes = meetings_of(pages, [Summary({"jobs_scheduled": 1}), NOTHING, NOTHING])
    assert await meetings.run_once() is True
    assert meetings.summary is None
    assert await meetings.run_once() is False
    assert meetings.summary == {
        "total_meetings": 4,
        "jobs_scheduled": 2,
        "jobs_already_exist": 1,
        "errors": 1,
        "success": False,
    }
    assert len(changes) == 2
    assert await meetings.run_once() is False
    assert [method for method, *_ in store.requests] == [
        "sync_upcoming",
        "sync_changed",
        "sync_upcoming",
        "sync_changed",
        "sync_changed",
    ]
    assert store.asked("sync_upcoming") == [[None], ["a"]]


async def test_turns_go_on_where_they_stopped(meetings_of):
    """Until nothing is left; a request that fails is made again."""
    answers = [Summary({}, "bob", more=True), DOWN, Summary({}, None, more=True), NOTHING]
    meetings, store, _ = meetings_of(changed=answers)
    goes_on = [await meetings.run_once()]
    with pytest.raises(StoreError):
        await meetings.run_once()
    goes_on += [await meetings.run_once(), await meetings.run_once()]
    assert goes_on == [True, True, False]
    assert store.asked("sync_changed") == [[None], ["bob"], ["bob"], [None]]


async def test_a_hint_causes_a_look_whenever_it_comes_and_a_flood_few(meetings_of, parts, naps):
    """While it waits, and while it asks; nothing that it names is kept."""

    def changed(_after):
        meetings.take_hint(Hint("broadcast", "meetings", ids=("forged",)))
        if len(store.asked("sync_changed")) == 3:
            tasks.cancel_scope.cancel()
        return NOTHING

    meetings, store, _ = meetings_of(changed=changed)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await meetings.run()
    assert store.asked("sync_changed") == [[None]] * 3
    assert naps[:2] == [0.05] * 2, "however many hints there are"


async def test_a_fault_is_waited_out(meetings_of, naps):
    """Also at the start."""
    meetings, store, _ = meetings_of([DOWN, DOWN])
    with pytest.raises(IndexError):  # the script's end
        await meetings.run()
    assert (len(store.requests), naps) == (3, [2, 2])
