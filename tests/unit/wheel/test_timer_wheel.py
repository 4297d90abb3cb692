"""Examples by hand; the whole behaviour is compared with a dict in tests/property/test_timer_wheel.py."""

from __future__ import annotations

import tracemalloc

import pytest

from listener.wheel.timer_wheel import TimerWheel

TOP_SLOT = 1 << 30
ROTATION = 1 << 36


def test_a_far_entry_never_hides_a_nearer_one():
    """An entry one rotation ahead, whose top-level slot is the current one, waits behind all nearer entries."""
    wheel: TimerWheel[str] = TimerWheel(now=5 * TOP_SLOT + 7)
    wheel.arm("far", 5 * TOP_SLOT + ROTATION + 3)
    wheel.arm("near", 9 * TOP_SLOT)
    assert wheel.next_expiration() == 9 * TOP_SLOT
    assert wheel.advance(9 * TOP_SLOT) == ["near"]
    assert wheel.advance(5 * TOP_SLOT + ROTATION + 3) == ["far"]


def test_arming_again_moves_the_key():
    """A key has one time, the last that it was armed for."""
    wheel: TimerWheel[str] = TimerWheel()
    wheel.arm("a", 10)
    wheel.arm("a", 5_000)
    assert len(wheel) == 1
    assert wheel.when("a") == 5_000
    assert wheel.advance(10) == []
    assert wheel.advance(5_000) == ["a"]
    assert "a" not in wheel


def test_disarming_says_whether_the_key_was_armed():
    """The second disarm of a key finds nothing, and nothing of it is ever due."""
    wheel: TimerWheel[str] = TimerWheel()
    wheel.arm("a", 10)
    assert wheel.disarm("a") is True
    assert wheel.disarm("a") is False
    assert wheel.next_expiration() is None
    assert wheel.advance(ROTATION) == []


def test_an_empty_wheel_never_wakes_its_loop():
    """With nothing armed there is nothing to wait for."""
    assert TimerWheel[str]().next_expiration() is None


@pytest.mark.parametrize("when", [101, 60_000, 3_600_000, 86_400_000 * 30])
def test_a_loop_that_waits_for_one_entry_wakes_once(when: int):
    """However far ahead an entry is, its own time is the next one: no slot's start wakes the loop before it."""
    wheel: TimerWheel[str] = TimerWheel(now=100)
    wheel.arm("behind it", when + 5)
    wheel.arm("a", when)
    assert wheel.next_expiration() == when
    assert wheel.advance(when) == ["a"]


@pytest.mark.parametrize("when", [99, 100, -5])
def test_a_time_that_has_passed_is_due_at_the_next_advance(when: int):
    """Arming at or before now loses nothing, even where now does not move."""
    wheel: TimerWheel[str] = TimerWheel(now=100)
    wheel.arm("a", when)
    assert wheel.next_expiration() == when
    assert wheel.advance(100) == ["a"]


def test_one_jump_over_everything_gives_everything_in_order():
    """A machine that slept for years finds each level and the overflow, sorted, and ties in order of arming."""
    wheel: TimerWheel[str] = TimerWheel()
    times = {"z": 3 * ROTATION, "y": ROTATION, "x": TOP_SLOT, "b": 70, "a": 70, "c": 1}
    for key, when in times.items():
        wheel.arm(key, when)
    assert wheel.advance(10 * ROTATION) == ["c", "b", "a", "x", "y", "z"]


def test_a_clock_that_steps_back_fires_nothing_early():
    """An earlier now gives nothing that is later than it, and the wheel goes on from where it was."""
    wheel: TimerWheel[str] = TimerWheel(now=1_000)
    wheel.arm("between", 900)
    wheel.arm("ahead", 1_100)
    assert wheel.advance(500) == []
    assert wheel.next_expiration() == 900
    assert wheel.advance(950) == ["between"]
    assert wheel.advance(1_100) == ["ahead"]


def test_a_wheel_does_not_start_before_zero():
    """Places are made of bits, and negative numbers have no highest one."""
    with pytest.raises(ValueError, match="-1"):
        TimerWheel(now=-1)


def test_an_entry_costs_at_most_250_bytes():
    """A hundred thousand entries, spread over hours, without their keys and times."""
    whens = [1_700_000_000_000 + index * 137 for index in range(100_000)]
    keys = [f"job-{index}" for index in range(100_000)]
    tracemalloc.start()
    wheel: TimerWheel[str] = TimerWheel(now=1_700_000_000_000)
    for key, when in zip(keys, whens, strict=True):
        wheel.arm(key, when)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(keys) <= 250
