"""A snapshot says which transactions were seen, as PostgreSQL does."""

from __future__ import annotations

import pytest

from listener.domain.snapshot import Snapshot


@pytest.mark.parametrize("text", ["7:7:", "10:20:10,14,15"])
def test_it_is_read_and_written_as_postgresql_writes_it(text) -> None:
    """With and without open transactions."""
    assert str(Snapshot.read(text)) == text


def test_open_transactions_and_later_ones_are_not_seen() -> None:
    """All others are."""
    snapshot = Snapshot.read("10:20:10,14,15")
    assert [xid for xid in range(8, 23) if not snapshot.shows(xid)] == [10, 14, 15, 20, 21, 22]
    assert [xid for xid in range(8, 23) if not Snapshot.before(12).shows(xid)] == list(range(12, 23))


@pytest.mark.parametrize("text", ["", "7", "a:b:", "1:2:x"])
def test_anything_else_is_refused(text) -> None:
    """As a fault of the answer."""
    with pytest.raises(ValueError, match=r"invalid|unpack"):
        Snapshot.read(text)
