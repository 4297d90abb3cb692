"""Rows that a batch cannot go with are found, and cost the others nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from listener.errors import StoreError
from listener.execution.in_parts import in_parts


@given(count=st.integers(0, 40), guilty=st.sets(st.integers(0, 39), max_size=5))
async def test_each_guilty_row_stands_alone_and_the_others_keep_their_order(count, guilty):
    """Parts come back in the order of their rows, taken or not."""
    taken = []
    refusal = StoreError("note_runs_v1", "22000", "", retryable=False, split_batch=True)

    async def send(part):
        if guilty & set(part):
            raise refusal
        taken.extend(part)

    answered = [(part, fault) async for part, fault in in_parts(list(range(count)), send)]
    assert [row for part, _ in answered for row in part] == list(range(count))
    assert [part for part, fault in answered if fault] == [[row] for row in sorted(guilty) if row < count]
    assert taken == [row for row in range(count) if row not in guilty]


async def test_a_fault_that_no_row_causes_splits_nothing():
    """The network does not work better for half of the rows."""
    down = StoreError("note_runs_v1", "ClientConnectorError", "", retryable=True)

    async def send(_part):
        raise down

    assert [part async for part, _ in in_parts([1, 2, 3, 4], send)] == [[1, 2, 3, 4]]
