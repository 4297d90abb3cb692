"""Splits a batch that one faulty row makes fail, until that row stands alone."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from listener.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")


async def in_parts(
    rows: list[T], send: Callable[[list[T]], Awaitable[object]]
) -> AsyncIterator[tuple[list[T], StoreError | None]]:
    """Send rows in their order; halve a part that one of its rows makes fail, until that row stands alone.

    Gives each part once it has its answer: with None if it was taken, else with its fault. Such a part is a single row
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
