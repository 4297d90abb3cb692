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
POISON = StoreError("sync_meetings_v1", "22P02", "no uuid", retryable=False, split_batch=True)


@pytest.fixture
def meetings_of(clock, parts):
    """Make the reaction on a store that answers so; `changes` counts how often jobs were written."""

    def make(answers):
        store, changes = parts.ScriptedStore(sync=answers), []
        poller = SimpleNamespace(poll_now=lambda: changes.append(None))
        return MeetingSource(store, Health(clock), poller, 5, 1), store, changes

    return make


async def test_the_start_looks_at_all_and_sums_up(meetings_of):
    """Page by page; the next poll begins where the first page was read."""
    first = Summary({"total_meetings": 2, "jobs_scheduled": 1, "jobs_already_exist": 1, "errors": 0}, 40, "a")
    second = Summary({"total_meetings": 1, "jobs_scheduled": 0, "jobs_already_exist": 0, "errors": 1}, 50)
    meetings, store, changes = meetings_of([first, second, Summary({}, 60)])
    assert meetings.summary is None
    await meetings.run_once()
    assert meetings.summary == {
        "total_meetings": 3,
        "jobs_scheduled": 1,
        "jobs_already_exist": 1,
        "errors": 1,
        "success": False,
    }
    assert len(changes) == 1
    await meetings.run_once()
    assert store.asked("sync") == [[None, None, None], [None, None, "a"], [40, None, None]]


async def test_every_page_of_changes_is_taken(meetings_of):
    """The cursor moves when the last one was, to where the first was read."""
    pages = [Summary({}, 40), Summary({}, 50, "a"), DOWN, Summary({}, 60, "a"), Summary({}, 70), Summary({}, 80)]
    meetings, store, _ = meetings_of(pages)
    await meetings.run_once()
    with pytest.raises(StoreError):
        await meetings.run_once()
    await meetings.run_once()
    await meetings.run_once()
    assert [(cursor, after) for cursor, _, after in store.asked("sync")][1:] == [
        (40, None),
        (40, "a"),
        (40, None),
        (40, "a"),
        (60, None),
    ]


async def test_named_meetings_come_first_and_once(meetings_of):
    """A deleted one is found by its name alone."""
    meetings, store, changes = meetings_of([Summary({}, 40), Summary({"jobs_cancelled": 1}), Summary({}, 50)])
    await meetings.run_once()
    for _ in range(2):
        meetings.take_hint(Hint("broadcast", "meetings", ids=("b", "a")))
    await meetings.run_once()
    assert store.asked("sync")[1:] == [[None, ["a", "b"], None], [40, None, None]]
    assert len(changes) == 1


@pytest.mark.parametrize(("fault", "again"), [(DOWN, True), (POISON, False)])
async def test_names_survive_a_fault_unless_they_are_its_cause(meetings_of, fault, again):
    """One name that the database cannot read must not stand before every poll."""
    meetings, store, _ = meetings_of([Summary({}, 40), fault, Summary({}), Summary({}, 50)])
    await meetings.run_once()
    meetings.take_hint(Hint("broadcast", "meetings", ids=("a",)))
    with pytest.raises(StoreError):
        await meetings.run_once()
    await meetings.run_once()
    assert store.asked("sync")[2][1] == (["a"] if again else None)


async def test_a_name_that_makes_its_request_fail_costs_no_other_meeting_its_job(meetings_of, naps, parts):
    """It is found by halving, and dropped; so are requests that take too long made smaller."""
    done = []

    def sync(_cursor, ids, _after):
        if ids and "m5" in ids:
            return POISON
        done.extend(ids or ())
        return Summary({}, 40)

    meetings, *_ = meetings_of(sync)
    meetings.take_hint(Hint("broadcast", "meetings", ids=tuple(f"m{each}" for each in range(9))))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(meetings.run)
            while len(set(done)) < 8 or meetings._ids:
                await parts.settled(1)
            tasks.cancel_scope.cancel()
    assert sorted(done) == [f"m{each}" for each in range(9) if each != 5]


async def test_a_hint_is_followed_at_once_whenever_it_comes(meetings_of, parts):
    """While it waits, and while it asks."""

    def sync(_cursor, ids, _after):
        if len(store.requests) == 1:
            meetings.take_hint(Hint("broadcast", "meetings", ids=("a",)))
        seen.append(ids)
        return Summary({}, 40)

    seen = []
    meetings, store, _ = meetings_of(sync)
    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(meetings.run)
            await parts.settled()
            meetings.take_hint(Hint("broadcast", "meetings", ids=("b",)))
            await parts.settled()
            tasks.cancel_scope.cancel()
    assert seen == [None, ["a"], None, ["b"], None]


async def test_a_fault_is_waited_out(meetings_of, naps):
    """Also at the start."""
    meetings, store, _ = meetings_of([DOWN, DOWN])
    with pytest.raises(IndexError):  # the script's end
        await meetings.run()
    assert (len(store.requests), naps) == (3, [2, 2])
