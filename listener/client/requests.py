"""The requests of plans to the database, as values: nothing here knows a client, a socket or a clock."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

Row: TypeAlias = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Select:
    """Rows of `table` that equal `where` (None means null), by `order`, from `after` (a column and a value) on."""

    table: str
    where: Mapping[str, Any]
    order: str = "id"
    descending: bool = False
    after: tuple[str, Any] | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Insert:
    """One new row; answered with it."""

    table: str
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Update:
    """New values for the row with this `id`; answered with the rows that were changed."""

    table: str
    id: Any
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """The row with this `id`; answered with the rows that went."""

    table: str
    id: Any


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the database; answered with what it returns."""

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """Some seconds of waiting; answered with nothing."""

    seconds: float


Request: TypeAlias = Select | Insert | Update | Delete | Call | Pause
Plan: TypeAlias = Generator[Request, Any, T]
"""Yields requests, receives their answers (or a thrown `JobFault`), and returns a `T`, whatever the client."""
