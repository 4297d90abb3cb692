"""Changes with a hint are distinguished from those that only a poll found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from listener.scheduling import missed_hints
from listener.scheduling.missed_hints import GRACE_SECONDS, MissedHints

LATER = GRACE_SECONDS + 1


@pytest.fixture
def counting():
    """Announcements since transaction 100."""
    counting = MissedHints()
    counting.begin(100, [])
    return counting


def test_nothing_counts_before_a_channel_was_received(parts):
    """No hint could announce it, nor of what the poll saw that came first after that."""
    counting = MissedHints()
    assert not counting.found([parts.a_job(revision=150)], 0)
    counting.begin(120, [parts.a_job(revision=160)])
    assert not counting.found([parts.a_job(revision=110), parts.a_job(revision=160)], 0)
    assert counting.take_missed(LATER) == 0


def test_a_transaction_counts_once_however_many_rows_it_wrote(counting, parts):
    """And however often a poll sees it."""
    rows = [parts.a_job(each, revision=101) for each in range(5)]
    assert counting.found(rows, 0)
    assert counting.take_missed(GRACE_SECONDS - 0.1) == 0
    assert counting.take_missed(GRACE_SECONDS) == 1
    assert not counting.found(rows, LATER)
    assert counting.take_missed(3 * LATER) == 0


@pytest.mark.parametrize("first", ["hint", "poll"])
def test_a_hint_absolves_whenever_it_comes(counting, parts, first):
    """Before the poll, or after it."""
    if first == "hint":
        counting.received(101)
    assert counting.found([parts.a_job(revision=101)], 0) is (first == "poll")
    counting.received(101)
    assert counting.take_missed(LATER) == 0


def test_a_change_is_known_by_its_transaction_whatever_its_revision(counting, parts):
    """Revisions go on from those of another cluster after a restore, and by one for each change of a transaction."""
    counting.received(101)
    assert not counting.found([parts.a_job(1, revision=10**12, changed_in=101)], 0)
    assert counting.found([parts.a_job(2, revision=102, changed_in=102)], 0)
    assert counting.take_missed(LATER) == 1


def test_what_the_service_writes_without_ringing_is_not_missed(counting, parts):
    """A run that waits for its retry, and a job that runs."""
    waits = replace(parts.a_job(revision=101), due_at=None)
    assert not counting.found([waits, parts.a_job(revision=102, status="running")], 0)


def test_memory_is_bounded_and_what_falls_out_of_it_is_not_missed(counting, parts, monkeypatch):
    """A transaction that stays open for hours holds the cursor back."""
    monkeypatch.setattr(missed_hints, "MOST_REMEMBERED", 10)
    for xid in range(101, 150):
        counting.received(xid)
    assert len(counting._announced) == 10
    counting.found([parts.a_job(revision=xid) for xid in range(101, 150)], 0)
    counting.found([parts.a_job(revision=xid) for xid in range(200, 300)], 0)
    assert counting.take_missed(LATER) == 10
    counting.forget_before(400)
    assert counting._announced == {}
