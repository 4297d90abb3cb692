"""The timer wheel against a dict: whatever is armed, moved, disarmed and waited for, both give the same answers."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from listener.wheel.level import SLOT_BITS, SLOTS, Level
from listener.wheel.timer_wheel import LEVELS, TimerWheel

TOP_SHIFT = SLOT_BITS * (LEVELS - 1)
ROTATION = 1 << (SLOT_BITS * LEVELS)

KEYS = st.integers(0, 15)
LEVEL = st.integers(0, LEVELS)
SLOT = st.integers(1, SLOTS)
NEAR = st.integers(0, 3 * SLOTS)
# Near, at any level, at the edge of a slot of any level, and one or more rotations of the top level ahead.
SPANS = st.one_of(
    NEAR,
    st.integers(0, SLOT_BITS * LEVELS).flatmap(lambda bits: st.integers(0, 1 << bits)),
    st.builds(lambda level, slots, near: max(0, (slots << SLOT_BITS * level) + near), LEVEL, SLOT, st.integers(-2, 2)),
    st.builds(lambda rotations, near: rotations * ROTATION + near, st.integers(1, 3), NEAR),
)
BUDGET = settings(max_examples=200, stateful_step_count=40, database=None, report_multiple_bugs=False)


class TopLevelFault(TimerWheel[int]):
    """A wheel without an overflow: what lies beyond the top level is put in the top level's slot of its number.

    That may be the current slot, one rotation ahead; and the search, which starts at the current slot, meets it first.
    """

    def _place(self, key: int, when: int) -> None:
        if (when ^ self._now) < ROTATION or when <= self._now:
            super()._place(key, when)
        else:
            self._levels[-1].add((when >> TOP_SHIFT) % SLOTS, key, when)

    def _remove(self, key: int, when: int) -> None:
        if (when ^ self._now) < ROTATION or when <= self._now:
            super()._remove(key, when)
        else:
            self._levels[-1].discard((when >> TOP_SHIFT) % SLOTS, key)

    def _earliest_slot(self) -> tuple[int, Level[int] | None, int] | None:
        found = super()._earliest_slot()
        if found is None or found[1] is not self._levels[-1]:
            return found
        current = (self._now >> TOP_SHIFT) % SLOTS
        level = self._levels[-1]
        slot = next(s % SLOTS for s in range(current, current + SLOTS) if level.occupied >> (s % SLOTS) & 1)
        start = self._now // ROTATION * ROTATION + (slot << TOP_SHIFT)
        return (start if start > self._now else start + ROTATION), level, slot


class WheelAgainstDict(RuleBasedStateMachine):
    """Rules do to the wheel and to a plain dict what the service does; `expected_due` is the specification."""

    wheel_class: type[TimerWheel[int]] = TimerWheel

    @initialize(now=st.one_of(st.just(0), st.integers(0, 4 * ROTATION)))
    def start(self, now: int) -> None:
        self.now = now
        self.wheel = self.wheel_class(now)
        self.armed: dict[int, int] = {}

    def expected_due(self, now: int) -> list[int]:
        due = sorted((key for key, when in self.armed.items() if when <= now), key=self.armed.__getitem__)
        for key in due:
            del self.armed[key]
        return due

    @rule(key=KEYS, span=SPANS)
    def arm_ahead(self, key: int, span: int) -> None:
        self.armed.pop(key, None)
        self.armed[key] = self.now + span
        self.wheel.arm(key, self.now + span)

    @rule(key=KEYS, span=SPANS)
    def arm_in_the_past(self, key: int, span: int) -> None:
        self.armed.pop(key, None)
        self.armed[key] = self.now - span
        self.wheel.arm(key, self.now - span)

    @rule(key=KEYS)
    def disarm(self, key: int) -> None:
        assert self.wheel.disarm(key) == (self.armed.pop(key, None) is not None)

    @rule(span=SPANS)
    def advance(self, span: int) -> None:
        self.now += span
        assert self.wheel.advance(self.now) == self.expected_due(self.now)

    @rule(span=SPANS)
    def advance_to_an_earlier_instant(self, span: int) -> None:
        earlier = self.now - span
        assert self.wheel.advance(earlier) == self.expected_due(earlier)
        upcoming = self.wheel.next_expiration()
        assert upcoming is None or upcoming > earlier

    @precondition(lambda self: self.armed)
    @rule()
    def sleep_until_something_is_due(self) -> None:
        earliest = min(self.armed.values())
        for _ in range(2 * LEVELS + 2):
            upcoming = self.wheel.next_expiration()
            assert upcoming is not None
            assert upcoming <= earliest
            self.now = max(self.now, upcoming)
            if due := self.wheel.advance(self.now):
                assert due == self.expected_due(self.now)
                return
            assert earliest > self.now
        pytest.fail("the wheel cascaded for ever and gave nothing")

    @invariant()
    def holds_the_same(self) -> None:
        if not hasattr(self, "wheel"):
            return
        assert len(self.wheel) == len(self.armed)
        assert all(self.wheel.when(key) == when for key, when in self.armed.items())
        assert all((key in self.wheel) == (key in self.armed) for key in range(16))

    @invariant()
    def never_oversleeps(self) -> None:
        if not hasattr(self, "wheel"):
            return
        upcoming = self.wheel.next_expiration()
        if not self.armed:
            assert upcoming is None
            return
        assert upcoming is not None
        earliest = min(self.armed.values())
        assert upcoming <= earliest
        if self.now < earliest < (self.now // SLOTS + 1) * SLOTS:
            assert upcoming == earliest


class FaultyWheelAgainstDict(WheelAgainstDict):
    """The same machine over the wheel with the fault."""

    wheel_class = TopLevelFault


def test_the_wheel_answers_as_a_dict_does():
    """Any sequence of arm, disarm, advance and sleep gives what a dict sorted by time would give."""
    run_state_machine_as_test(WheelAgainstDict, settings=BUDGET)


def test_the_same_machine_finds_the_top_level_fault():
    """Entries one rotation ahead in the current top-level slot hide nearer ones; the machine above would notice."""
    once = settings(BUDGET, phases=[Phase.generate], derandomize=True)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(FaultyWheelAgainstDict, settings=once)
