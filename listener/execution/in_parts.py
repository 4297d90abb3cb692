"""Splits a batch that one faulty row makes fail, until that row stands alone."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from listener.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

T = TypeVar("T")


async def in_parts(
    rows: list[T], send: Callable[[list[T]], Awaitable[object]]
) -> AsyncIterator[tuple[list[T], StoreError | None]]:
    """Send rows in their order; halve a part that one of its rows makes fail, until that row stands alone.

    Gives each part once it has its answer: with None if it was taken, else with its fault. Such a part is a single
    row, or has any number of rows, and no row is the cause; the parts that follow it are sent all the same.
    """
    parts = deque([rows])
    while parts:
        part = parts.popleft()
        try:
            await send(part)
        except StoreError as fault:
            middle = len(part) // 2
            if fault.split_batch and middle:
                parts.extendleft((part[middle:], part[:middle]))
            else:
                yield part, fault
        else:
            yield part, None


def needs_operator(refused: Iterable[tuple[object, StoreError]]) -> bool:
    """Say whether rows that stand alone, each with its job and its fault, are not to blame, for no other was taken.

    They are to blame unless they belong to several jobs and all meet the same fault, one that an operator can cause.
    """
    jobs, codes = set(), set()
    for job, fault in refused:
        jobs.add(job)
        codes.add(fault.code if fault.needs_operator else None)
    return len(jobs) > 1 and len(codes) == 1 and None not in codes
