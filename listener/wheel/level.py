"""One level of the timer wheel: 64 slots and a bitmap of the slots in use."""

from __future__ import annotations

from typing import Generic, TypeVar

SLOT_BITS = 6
SLOTS = 1 << SLOT_BITS

Key = TypeVar("Key")


class Level(Generic[Key]):
    """Slots of keys, each in the order of arrival.

    Invariant: bit `s` of `occupied` is set exactly when slot `s` holds a key, and `earliest` is then not later than any
    of its times (earlier, after the earliest key was discarded: finding the next one would mean looking at all).
    """

    __slots__ = ("_slots", "earliest", "occupied")

    def __init__(self) -> None:
        self.occupied = 0
        self.earliest: dict[int, int] = {}
        self._slots: dict[int, dict[Key, None]] = {}

    def add(self, slot: int, key: Key, when: int) -> None:
        """Put `key`, due at `when`, last in `slot`."""
        keys = self._slots.get(slot)
        if keys is None:
            self._slots[slot] = {key: None}
            self.earliest[slot] = when
            self.occupied |= 1 << slot
            return
        keys[key] = None
        self.earliest[slot] = min(self.earliest[slot], when)

    def discard(self, slot: int, key: Key) -> None:
        """Take `key` out of `slot`.

        Raises:
            KeyError: it is not there.
        """
        keys = self._slots[slot]
        del keys[key]
        if not keys:
            self.take(slot)

    def take(self, slot: int) -> list[Key]:
        """Empty `slot` and return its keys, oldest first. Its dict is dropped: dicts never release memory."""
        self.occupied &= ~(1 << slot)
        del self.earliest[slot]
        return list(self._slots.pop(slot))

    def first(self) -> int:
        """Return the lowest occupied slot; the level must not be empty."""
        return (self.occupied & -self.occupied).bit_length() - 1
