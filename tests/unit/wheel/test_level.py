"""One level of the wheel."""

from __future__ import annotations

import pytest

from listener.wheel.level import SLOTS, Level


def test_the_bitmap_says_which_slots_hold_anything():
    """A bit is set while its slot holds a key, whether the key leaves alone or with its slot."""
    level: Level[str] = Level()
    level.add(0, "a", 0)
    level.add(SLOTS - 1, "b", 63)
    level.add(SLOTS - 1, "c", 63)
    assert level.occupied == 1 | 1 << 63
    level.discard(0, "a")
    assert level.occupied == 1 << 63
    level.discard(SLOTS - 1, "b")
    assert level.occupied == 1 << 63
    assert level.take(SLOTS - 1) == ["c"]
    assert level.occupied == 0


@pytest.mark.parametrize("slot", [0, 1, 31, 63])
def test_the_first_slot_is_the_lowest_occupied_one(slot: int):
    """`first` finds the lowest bit, whatever lies above it."""
    level: Level[str] = Level()
    level.add(63, "last", 63)
    level.add(slot, "first", slot)
    assert level.first() == slot


def test_a_slot_gives_its_keys_in_order_of_arrival():
    """Equal times are due in the order in which they were armed, so a slot keeps that order."""
    level: Level[int] = Level()
    for key in (3, 1, 2):
        level.add(7, key, 7)
    assert level.take(7) == [3, 1, 2]


def test_a_slot_knows_its_earliest_time():
    """The least of the times put in stands, whatever their order, until the slot is emptied."""
    level: Level[str] = Level()
    for key, when in (("b", 70), ("a", 65), ("c", 90)):
        level.add(1, key, when)
    assert level.earliest == {1: 65}
    level.take(1)
    assert level.earliest == {}
