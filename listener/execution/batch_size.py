"""How many results and notes go in one request: so many rows, and so many bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic_core import to_json

if TYPE_CHECKING:
    from listener.domain.messages import Note, RunResult

    Told = TypeVar("Told", Note, RunResult)

MOST_BYTES = 1024 * 1024
"""Of JSON in one request, besides the last row's: writing it holds the loop."""


def take_batch(waiting: list[Told], most: int) -> list[Told]:
    """Remove and return the first of those that wait: one at least, `most` at most, about `MOST_BYTES` at most."""
    count = size = 0
    for told in waiting[:most]:
        count, size = count + 1, size + size_of(told)
        if size > MOST_BYTES:
            break
    batch = waiting[:count]
    del waiting[:count]
    return batch


def size_of(told: Note | RunResult) -> int:
    """Return about how many bytes it has as JSON, as far as a handler determines that."""
    size = sum(len(line.message) + (len(to_json(line.fields)) if line.fields else 0) for line in told.logs)
    for value in (getattr(told, "result", None), getattr(told, "error_details", None)):
        if value is not None:
            size += len(to_json(value))
    return size
