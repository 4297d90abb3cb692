"""The agenda gives a job out once, at its present time, and wakes whoever waits for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.clock import DatabaseClock, milliseconds
from listener.scheduling.agenda import LONGEST_WAIT_SECONDS, Agenda
from listener.testing import NOON


def at(seconds):
    """Give an instant after noon."""
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def agenda(clock):
    """An agenda that gives jobs out a quarter of a second ahead."""
    return Agenda(clock, ahead_ms=250)


def test_a_job_is_given_out_ahead_of_its_time_and_once(agenda, clock, parts):
    """By as much as it takes to claim it."""
    agenda.arm(parts.a_job(7), at(1))
    clock.advance(0.749)
    assert agenda.take_due() == []
    clock.advance(0.001)
    assert [job.id for job in agenda.take_due()] == [7]
    assert (len(agenda), agenda.take_due()) == (0, [])


def test_the_jobs_that_are_due_next_can_be_seen(agenda, parts):
    """Without being given out."""
    for number in (3, 1, 2):
        job = parts.a_job(number, next_run_at=at(number))
        agenda.arm(job, at(number))
    assert [job.id for job in agenda.upcoming(2)] == [1, 2]
    assert len(agenda) == 3


def test_a_disarmed_job_is_not_given_out(agenda, clock, parts):
    """Disarming what is not armed is harmless."""
    agenda.arm(parts.a_job(7), at(1))
    agenda.disarm(7)
    agenda.disarm(8)
    clock.advance(2)
    assert agenda.take_due() == []
    assert 7 not in agenda


@given(steps=st.lists(st.tuples(st.integers(1, 5), st.none() | st.integers(-5, 400), st.integers(0, 60)), max_size=40))
def test_every_job_comes_at_the_time_it_was_armed_for_last(parts, steps):
    """After any sequence of arming, moving and disarming it agrees with a dict of times."""
    clock = parts.VirtualClock()
    agenda, expected = Agenda(clock, 0), {}
    for job_id, seconds, pause in steps:
        if seconds is None:
            agenda.disarm(job_id)
            expected.pop(job_id, None)
        else:
            expected[job_id] = clock.now() + timedelta(seconds=seconds)
            agenda.arm(parts.a_job(job_id), expected[job_id])
        clock.advance(pause)
        given_out = [job.id for job in agenda.take_due()]
        due = {each for each, instant in expected.items() if instant <= clock.now()}
        assert sorted(given_out) == sorted(due)
        assert [expected[each] for each in given_out] == sorted(expected[each] for each in given_out)
        expected = {each: instant for each, instant in expected.items() if each not in due}
        assert len(agenda) == len(expected)


def test_a_refused_job_rests_if_it_is_due_and_waits_for_its_time_if_it_is_not(agenda, clock, parts):
    """It must not be asked for again at once, nor early a second time."""
    now = milliseconds(clock.now())
    for seconds, expected in ((-5, 300), (0, 300), (0.1, 100), (0.2, 200), (1, 750)):
        agenda.arm_again(parts.a_job(7), at(seconds), pause_ms=300)
        assert agenda.next_due() <= now + expected
        clock.advance((expected - 1) / 1000)
        assert agenda.take_due() == [], seconds
        clock.advance(0.001)
        assert len(agenda.take_due()) == 1, seconds
        clock.advance(-expected / 1000)


async def test_an_earlier_job_ends_the_wait(clock, parts):
    """While it waits for a later one, and while it waits for any."""
    agenda = Agenda(clock, 0)
    for before in (None, 1000):
        if before:
            agenda.arm(parts.a_job(1), at(before))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agenda.wait)
            await parts.settled()
            started = time.monotonic()
            agenda.arm(parts.a_job(2), at(0))
        assert time.monotonic() - started < LONGEST_WAIT_SECONDS / 2
        agenda.disarm(2)


async def test_a_job_armed_before_the_wait_is_not_slept_through(clock, parts):
    """The signal that it gave has been forgotten; its time has not."""
    agenda = Agenda(clock, 0)
    agenda.arm(parts.a_job(1), at(0))
    with anyio.fail_after(0.5):
        await agenda.wait()


async def test_a_wait_ends_when_the_job_is_due(parts):
    """Not a millisecond before, on a real clock."""
    clock = DatabaseClock()
    agenda = Agenda(clock, 0)
    due = clock.now() + timedelta(milliseconds=30)
    agenda.arm(parts.a_job(1), due)
    taken = []
    while not taken:
        await agenda.wait()
        taken = agenda.take_due()
    late = (clock.now() - due).total_seconds()
    assert -0.001 <= late < 0.2


async def test_a_corrected_clock_ends_a_wait_that_was_computed_from_the_wrong_one(parts, monkeypatch):
    """The job is an hour away until the database's clock turns out to be an hour ahead."""
    monkeypatch.setattr("listener.scheduling.agenda.LONGEST_WAIT_SECONDS", 0.02)
    clock = DatabaseClock()
    agenda = Agenda(clock, 0)
    agenda.arm(parts.a_job(1), clock.now() + timedelta(hours=1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agenda.wait)
        await parts.settled()
        ahead = datetime.fromtimestamp(clock.now().timestamp() + 3601, UTC)
        clock.observe(ahead, clock.monotonic(), clock.monotonic())
    assert len(agenda.take_due()) == 1
