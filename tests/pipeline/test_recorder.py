"""Notes of runs are written once and in order, and notes that cannot be written delay nothing."""

from __future__ import annotations

import pytest

from listener.domain.messages import ClaimRequest
from listener.errors import StoreError
from listener.maintenance.recorder import Recorder
from listener.masking.masker import Masker
from listener.testing import NOON

DOWN = StoreError("note_runs_v1", "ConnectError", "refused", retryable=True)
SLOW = StoreError("note_runs_v1", "57014", "too slow", retryable=True, split_batch=True)
POISON = StoreError("note_runs_v1", "22P05", "no such character", retryable=False, split_batch=True)
NONE = frozenset[str]()


@pytest.fixture
def recorder_of(clock, parts):
    """Make a recorder whose store answers so; `hold` claims a run."""

    def make(note, count=1):
        world = parts.stages(parts.ScriptedStore(note=note), clock)
        held = [world.executor.prepare(parts.a_run(ClaimRequest(each, NOON), fence=each + 1)) for each in range(count)]
        for each in held:
            world.runs.add(each)
        return Recorder(world.store, world.runs), held, world.store

    return make


def reported(store):
    """Give each request's lines, by request."""
    return [[line.message for note in notes for line in note.logs] for (notes,) in store.asked("note")]


async def test_what_is_new_is_written_with_the_fence_of_its_claim(recorder_of):
    """And nothing when nothing is."""
    recorder, (first, second), store = recorder_of(lambda _: NONE, 2)
    assert await recorder.run_once() == 0
    first.context.log.info("one")
    second.context.progress(0.5)
    assert await recorder.run_once() == 2
    ((notes,),) = store.asked("note")
    assert [(note.execution_id, note.fence, note.progress) for note in notes] == [
        (first.run.execution_id, 1, None),
        (second.run.execution_id, 2, 0.5),
    ]
    assert await recorder.run_once() == 0


async def test_a_message_of_progress_is_noted_once_and_shows_no_secret(recorder_of):
    """As the step of the run, cut where it is long."""
    recorder, (run,), store = recorder_of(lambda _: NONE, 1)
    run.context.masker = Masker(["hunter2-hunter2"])
    run.context.progress(0.5, "as hunter2-hunter2")
    await recorder.run_once()
    run.context.progress(0.6)
    await recorder.run_once()
    run.context.progress(0.6, "x" * 5000)
    await recorder.run_once()
    (masked,), (kept,), (long,) = (notes for (notes,) in store.asked("note"))
    assert (masked.step, kept.step) == ("as [redacted]", None)
    assert len(long.step) < 600


async def test_lines_wait_for_the_database_and_keep_their_order(recorder_of):
    """Lines that arrived meanwhile follow them."""
    recorder, (run,), store = recorder_of([DOWN, DOWN, NONE])
    for message in ("one", "two", "three"):
        run.context.log.info(message)
        if message == "three":
            assert await recorder.run_once() == 3
        else:
            with pytest.raises(StoreError):
                await recorder.run_once()
    assert reported(store) == [["one"], ["one", "two"], ["one", "two", "three"]]


@pytest.mark.parametrize("guilty", [0, 3, 8])
async def test_a_note_that_the_database_cannot_take_is_dropped_and_the_others_are_written(recorder_of, guilty):
    """It is found by halving, and not tried again."""
    written = []

    def note(notes):
        if any(each.fence == guilty + 1 for each in notes):
            return POISON
        written.extend(each.fence - 1 for each in notes)
        return NONE

    recorder, runs, store = recorder_of(note, 9)
    for each in runs:
        each.context.log.info("hello")
    assert await recorder.run_once() == 9
    assert written == [each for each in range(9) if each != guilty]
    assert len(store.requests) < 10
    assert await recorder.run_once() == 0


async def test_a_note_whose_row_is_held_waits_and_the_others_are_written(recorder_of):
    """Nothing is lost of it, and its lines keep their order."""
    held = {2}

    def note(notes):
        return SLOW if any(each.fence in held for each in notes) else NONE

    recorder, runs, store = recorder_of(note, 5)
    for number, each in enumerate(runs):
        each.context.log.info(str(number))
    for again in ("again", "once more"):
        with pytest.raises(StoreError):
            await recorder.run_once()
        runs[1].context.log.info(again)
    assert [note.fence for note in recorder._waiting] == [2, 2]
    held.clear()
    assert await recorder.run_once() == 3
    assert reported(store)[-1] == ["1", "again", "once more"]


async def test_a_note_whose_row_the_database_skipped_waits_without_a_fault(recorder_of):
    """Others' transactions may stay open; the others' notes do not wait for them."""
    locked: set[str] = set()
    recorder, runs, store = recorder_of(lambda notes: frozenset(locked & {each.execution_id for each in notes}), 3)
    locked.add(runs[1].run.execution_id)
    for number, each in enumerate(runs):
        each.context.log.info(str(number))
    assert await recorder.run_once() == 3
    runs[1].context.log.info("again")
    assert await recorder.run_once() == 2
    locked.clear()
    assert await recorder.run_once() == 2
    assert reported(store) == [["0", "1", "2"], ["1", "again"], ["1", "again"]]
    assert await recorder.run_once() == 0
