"""The activity counter counts in parts, and goes on after a fault."""

from __future__ import annotations

import pytest

from listener.errors import StoreError
from listener.maintenance.activity import INTERVAL_SECONDS, PAUSE_SECONDS, ActivityCounter

DOWN = StoreError("roll_up_activity_v1", "ConnectError", "refused", retryable=True)


async def test_parts_follow_one_another_until_nothing_is_left(parts, naps):
    """With a pause after each."""
    store = parts.ScriptedStore(roll_up=[(500, True), (0, True), (30, False)])
    assert await ActivityCounter(store, lambda: 0.5).run_once() == 530
    assert naps == [PAUSE_SECONDS, PAUSE_SECONDS]


async def test_it_survives_a_fault(parts, naps):
    """The next time counts the missed ones."""
    store = parts.ScriptedStore(roll_up=[DOWN, (0, False)])
    with pytest.raises(IndexError):  # the script's end
        await ActivityCounter(store, lambda: 0.5).run()
    assert naps == [INTERVAL_SECONDS] * 3
