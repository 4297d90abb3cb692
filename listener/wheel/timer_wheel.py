"""A hierarchical timer wheel over integers; the caller defines their unit.

An entry's level is the position of the highest bit in which its time differs from now, six bits to a level, and its
slot the six bits of its time at that level. Three properties follow, and the rest of this module uses them:

- Every entry agrees with now in all bits above its level, so a slot never means one rotation later: no wrap-around.
- Everything on a level comes before everything on the next one, so the earliest slot is the lowest one in use.
- Place is a function of (now, time), so it need not be stored, and entries of equal time always share one slot, in the
  order in which they were armed.

Times that differ from now above the top level wait in the overflow, by rotation of the top level. (Clamping them into
the top level breaks the first point: such an entry hides nearer ones for a whole rotation.)
"""

from __future__ import annotations

from typing import Generic

from listener.wheel.level import SLOT_BITS, SLOTS, Key, Level

LEVELS = 6
"""2^36 ticks: 2.2 years of milliseconds before the overflow is needed."""

_TOP_BITS = SLOT_BITS * LEVELS
# By bit length of (now XOR time): a lookup is cheaper than a division on the path that every arm takes.
_LEVEL_OF_LENGTH = tuple(max(0, length - 1) // SLOT_BITS for length in range(_TOP_BITS + 1))


class TimerWheel(Generic[Key]):
    """Keys that are due at integer times; a key is armed for at most one.

    Args:
        now: the present, not negative.

    Raises:
        ValueError: `now` is negative.
    """

    __slots__ = ("_levels", "_now", "_overdue", "_overdue_from", "_overflow", "_whens")

    def __init__(self, now: int = 0) -> None:
        if now < 0:
            message = f"a wheel starts at 0 or later, not at {now}"
            raise ValueError(message)
        self._now = now
        self._whens: dict[Key, int] = {}
        self._overdue: dict[Key, None] = {}
        self._overdue_from = now  # not later than any overdue time
        self._levels: tuple[Level[Key], ...] = tuple(Level() for _ in range(LEVELS))
        self._overflow: dict[int, dict[Key, None]] = {}

    def __len__(self) -> int:
        """How many keys are armed."""
        return len(self._whens)

    def __contains__(self, key: object) -> bool:
        """Whether `key` is armed."""
        return key in self._whens

    def when(self, key: Key) -> int:
        """Return the time `key` is armed for.

        Raises:
            KeyError: it is not armed.
        """
        return self._whens[key]

    def arm(self, key: Key, when: int) -> None:
        """Make `key` due at `when`; a key that is armed already moves. A time that has passed is due at once."""
        whens = self._whens
        if key in whens:
            self._remove(key, whens.pop(key))
        whens[key] = when
        self._place(key, when)

    def disarm(self, key: Key) -> bool:
        """Remove `key`; return false if it was not armed."""
        when = self._whens.pop(key, None)
        if when is None:
            return False
        self._remove(key, when)
        return True

    def next_expiration(self) -> int | None:
        """Return when to call `advance` next, None while nothing is armed.

        The earliest armed time itself; earlier only where a key that was disarmed or moved stood before it, or in the
        overflow. After `advance(t)` it is later than `t`.
        """
        found = self._earliest_slot()
        if found is None:
            return None
        start, level, slot = found
        return start if level is None else level.earliest[slot]

    def advance(self, now: int) -> list[Key]:
        """Move to `now` and return the keys that are due, by time, then by order of arming.

        A `now` before an earlier one moves nothing: it only gives what was armed for a time not later than it.
        """
        if now < self._now:
            return self._take_overdue(now)
        taken = []
        while (found := self._earliest_slot()) and found[0] <= now:
            taken += self._take(*found)
        self._now = now
        return self._pop_due(taken, now)

    def _take_overdue(self, now: int) -> list[Key]:
        taken = list(self._overdue)
        self._overdue.clear()
        return self._pop_due(taken, now)

    def _pop_due(self, taken: list[Key], now: int) -> list[Key]:
        """Split the keys of emptied slots: due keys are removed and returned, the others placed anew."""
        whens = self._whens
        due = []
        for key in taken:
            if whens[key] <= now:
                due.append(key)
            else:
                self._place(key, whens[key])
        due.sort(key=whens.__getitem__)  # stable: equal times keep the order of arming
        for key in due:
            del whens[key]
        return due

    def _place(self, key: Key, when: int) -> None:
        now = self._now
        if when <= now:
            self._place_overdue(key, when)
            return
        length = (when ^ now).bit_length()
        if length > _TOP_BITS:
            self._overflow.setdefault(when >> _TOP_BITS, {})[key] = None
            return
        level = _LEVEL_OF_LENGTH[length]
        self._levels[level].add((when >> level * SLOT_BITS) % SLOTS, key, when)

    def _place_overdue(self, key: Key, when: int) -> None:
        if not self._overdue or when < self._overdue_from:
            self._overdue_from = when
        self._overdue[key] = None

    def _remove(self, key: Key, when: int) -> None:
        now = self._now
        if when <= now:
            del self._overdue[key]
            return
        length = (when ^ now).bit_length()
        if length > _TOP_BITS:
            self._remove_overflow(key, when >> _TOP_BITS)
            return
        level = _LEVEL_OF_LENGTH[length]
        self._levels[level].discard((when >> level * SLOT_BITS) % SLOTS, key)

    def _remove_overflow(self, key: Key, rotation: int) -> None:
        keys = self._overflow[rotation]
        del keys[key]
        if not keys:
            del self._overflow[rotation]

    def _earliest_slot(self) -> tuple[int, Level[Key] | None, int] | None:
        """Return the place of the earliest entry: (start of the slot, its level, its number), or None.

        Without a level, the number is a rotation of the overflow, or -1 for what is overdue.
        """
        if self._overdue:
            return self._overdue_from, None, -1
        shift = 0
        for level in self._levels:
            if level.occupied:
                slot = level.first()
                window = self._now >> shift + SLOT_BITS << SLOT_BITS
                return window + slot << shift, level, slot
            shift += SLOT_BITS
        if self._overflow:
            rotation = min(self._overflow)
            return rotation << _TOP_BITS, None, rotation
        return None

    def _take(self, _start: int, level: Level[Key] | None, slot: int) -> list[Key]:
        if level is not None:
            return level.take(slot)
        if slot >= 0:
            return list(self._overflow.pop(slot))
        taken = list(self._overdue)
        self._overdue.clear()
        return taken
