"""How many results and notes go in one request: so many rows, and so many bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic_core import to_json

if TYPE_CHECKING:
    from listener.domain.messages import Note, RunResult

    Item = TypeVar("Item", Note, RunResult)

MOST_BYTES = 1024 * 1024
"""Of JSON in one request, besides the last row's: writing it holds the loop."""


def take_batch(waiting: list[Item], most: int) -> list[Item]:
    """Remove and return the first of those that wait: one at least, `most` at most, about `MOST_BYTES` at most."""
    count = size = 0
    for item in waiting[:most]:
        count, size = count + 1, size + size_of(item)
        if size > MOST_BYTES:
            break
    batch = waiting[:count]
    del waiting[:count]
    return batch


def size_of(item: Note | RunResult) -> int:
    """Return about how many bytes it has as JSON, as far as a handler determines that."""
    size = sum(len(line.message) + (len(to_json(line.fields)) if line.fields else 0) for line in item.logs)
    for value in (getattr(item, "result", None), getattr(item, "error_details", None)):
        if value is not None:
            size += len(to_json(value))
    return size
