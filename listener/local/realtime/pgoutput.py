"""Parses messages of logical decoding's `pgoutput` plugin, protocol version 1, with text values.

Layouts are those of PostgreSQL's manual, "Logical Replication Message Formats". The offsets are kept plain because a
busy table sends tens of thousands of messages a second and most of them are dropped after the first few bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
INSERT, UPDATE, DELETE = ord("I"), ord("U"), ord("D")
EVENTS = {INSERT: "INSERT", UPDATE: "UPDATE", DELETE: "DELETE"}

RELATION_ID = struct.Struct(">xI").unpack_from  # after the message's kind
_LENGTH = struct.Struct(">I").unpack_from
_COUNT = struct.Struct(">H").unpack_from
_BEGIN = struct.Struct(">xQqI").unpack_from
_COLUMN = struct.Struct(">Ii").unpack_from

_TUPLE_AT = 6  # kind, relation id, kind of tuple
_NEW = ord("N")
_NULL, _UNCHANGED = ord("n"), ord("u")


class _Absent:
    """A value that was not sent: a TOASTed one that did not change, or a column outside the replica identity."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
Value = str | None | _Absent
Row = list[Value]


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the relation message names it."""

    name: str
    type_oid: int
    in_key: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table's shape from here on in the stream. `identity` is pg_class.relreplident."""

    oid: int
    schema: str
    table: str
    identity: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A committed transaction. `committed_at` is in the real server's form: UTC, cut to milliseconds."""

    xid: int
    committed_at: str


@dataclass(slots=True)
class Change:
    """One row's change. `size` is its bytes on the wire; `new` is None for DELETE, `old` where nothing was sent."""

    relation: Relation
    kind: int
    new: Row | None
    old: Row | None
    size: int
    transaction: Transaction


def begin(message: bytes) -> Transaction:
    """Parse a BEGIN message."""
    _, microseconds, xid = _BEGIN(message)
    instant = POSTGRES_EPOCH + timedelta(milliseconds=microseconds // 1000)
    return Transaction(xid, instant.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


def relation(message: bytes) -> Relation:
    """Parse a RELATION message."""
    oid = RELATION_ID(message)[0]
    schema, at = _name(message, 5)
    table, at = _name(message, at)
    identity, count = chr(message[at]), _COUNT(message, at + 1)[0]
    at += 3
    columns = []
    for _ in range(count):
        in_key = bool(message[at] & 1)
        name, at = _name(message, at + 1)
        columns.append(Column(name, _COLUMN(message, at)[0], in_key))
        at += 8
    return Relation(oid, schema, table, identity, tuple(columns))


def change(message: bytes, shape: Relation, transaction: Transaction) -> Change:
    """Parse an INSERT, UPDATE or DELETE message."""
    kind, tuple_kind = message[0], message[5]
    if tuple_kind == _NEW:
        row, _ = _row(message, _TUPLE_AT)
        key = _unchanged_key(shape, row) if kind == UPDATE else None
        return Change(shape, kind, row, key, len(message), transaction)
    sent, at = _row(message, _TUPLE_AT)
    keys_alone = tuple_kind == ord("K")
    old = [
        ABSENT if keys_alone and not column.in_key else value for value, column in zip(sent, shape.columns, strict=True)
    ]
    new = _row(message, at + 1)[0] if kind == UPDATE else None
    return Change(shape, kind, new, old, len(message), transaction)


def _unchanged_key(shape: Relation, new: Row) -> Row | None:
    """Return the old row of an UPDATE that left the replica identity as it was: only those columns."""
    if shape.identity not in "di":
        return None
    return [value if column.in_key else ABSENT for value, column in zip(new, shape.columns, strict=True)]


def _row(message: bytes, at: int) -> tuple[Row, int]:
    values: Row = []
    add = values.append
    count = _COUNT(message, at)[0]
    at += 2
    for _ in range(count):
        mark = message[at]
        at += 1
        if mark == _NULL:
            add(None)
        elif mark == _UNCHANGED:
            add(ABSENT)
        else:
            end = at + 4 + _LENGTH(message, at)[0]
            add(message[at + 4 : end].decode())
            at = end
    return values, at


def _name(message: bytes, at: int) -> tuple[str, int]:
    end = message.index(0, at)
    return message[at:end].decode(), end + 1
