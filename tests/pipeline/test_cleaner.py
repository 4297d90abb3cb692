"""The cleaner works in small batches, with pauses, until nothing old is left."""

from __future__ import annotations

import pytest

from listener.errors import StoreError
from listener.maintenance.cleaner import FIRST_SECONDS, INTERVAL_SECONDS, PAUSE_SECONDS, Cleaner

DOWN = StoreError("clean_ledger_v1", "ConnectError", "refused", retryable=True)


async def test_batches_follow_one_another_until_nothing_old_is_left(parts, naps):
    """With a pause after each."""
    store = parts.ScriptedStore(clean=[500, 30, 0])
    assert await Cleaner(store, 7, lambda: 0.5).run_once() == 530
    assert store.asked("clean") == [[7], [7], [7]]
    assert naps == [PAUSE_SECONDS, PAUSE_SECONDS]


async def test_it_begins_after_a_pause_and_survives_a_fault(parts, naps):
    """A short one: a start does not begin with it, but a listener that is often restarted cleans as well."""
    store = parts.ScriptedStore(clean=[0, DOWN, 0])
    with pytest.raises(IndexError):  # the script's end
        await Cleaner(store, 7, lambda: 0.5).run()
    assert naps == [FIRST_SECONDS, *[INTERVAL_SECONDS] * 3]


@pytest.mark.parametrize(
    ("retention_days", "seconds"), [(0.01, 86.4), (0.0001, FIRST_SECONDS), (365, INTERVAL_SECONDS)]
)
async def test_a_short_keep_is_looked_at_more_often(parts, naps, retention_days, seconds):
    """An expired row stays for a tenth of its retention longer, within bounds."""
    store = parts.ScriptedStore(clean=[0, 0])
    with pytest.raises(IndexError):
        await Cleaner(store, retention_days, lambda: 0.5).run()
    assert naps[1:] == [pytest.approx(seconds)] * 2
