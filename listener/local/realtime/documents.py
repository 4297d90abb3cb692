"""Builds the `data` of a `postgres_changes` event, as JSON text with the text and key order of PostgreSQL's jsonb."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from listener.local.realtime.pgoutput import ABSENT, DELETE, EVENTS, UPDATE
from listener.local.realtime.wire import compact

if TYPE_CHECKING:
    from collections.abc import Container

    from listener.local.realtime.facts import TableFacts
    from listener.local.realtime.pgoutput import Change, Relation, Row

LARGEST_CHANGE_BYTES = 1024 * 1024  # of the decoder's text; a larger change is sent without its long columns
LONGEST_KEPT_BYTES = 64
TOO_LARGE = '["Error 413: Payload Too Large"]'
DECODER_BYTES_PER_COLUMN = 50  # what the real server's decoder writes around each value


@dataclass(frozen=True, slots=True)
class Texts:
    """JSON texts of one row's columns by name, without those that were not sent."""

    by_name: dict[str, str]


def texts(relation: Relation, row: Row, columns: list[str]) -> Texts:
    """Return a row's JSON texts by column name."""
    pairs = zip(relation.columns, row, columns, strict=True)
    return Texts({column.name: text for column, value, text in pairs if value is not ABSENT})


def refused(relation: Relation, kind: int, error: str) -> str:
    """Return the document of a change whose row may not be shown."""
    old = ',"old_record":{}' if kind == UPDATE else ""
    return (
        f'{{"table":{compact(relation.table)},"type":"{EVENTS[kind]}","record":{{}},"columns":[],'
        f'"errors":[{compact(error)}],"schema":{compact(relation.schema)},"commit_timestamp":null{old}}}'
    )


def change(change: Change, facts: TableFacts, chosen: frozenset[str], new: Texts | None, old: Texts | None) -> str:
    """Return the document of a change with the columns named in `chosen`."""
    relation, kind = change.relation, change.kind
    too_large = _decoder_bytes(change) > LARGEST_CHANGE_BYTES
    record = ""
    if kind != DELETE and new is not None:
        record = f'"record":{_object(_filled(new, old), chosen, _kept(new, too_large))},'
    previous = ""
    if kind in {UPDATE, DELETE}:
        before = old or Texts({})
        secret = kind == DELETE and facts.rls  # a deleted row cannot be checked any more: only its key is sent
        old_columns = {name: text for name, text in before.by_name.items() if not secret or name in facts.key}
        previous = f',"old_record":{_object(old_columns, chosen, _kept(before, too_large))}'
    columns = _columns(facts.columns, chosen)
    return (
        f'{{"table":{compact(relation.table)},"type":"{EVENTS[kind]}",{record}"columns":{columns},'
        f'"errors":{TOO_LARGE if too_large else "null"},"schema":{compact(relation.schema)},'
        f'"commit_timestamp":"{change.transaction.committed_at}"{previous}}}'
    )


def _filled(new: Texts, old: Texts | None) -> dict[str, str]:
    """Return the new row; a TOASTed value that did not change is taken from the old one, where that was sent."""
    return new.by_name if old is None else {**old.by_name, **new.by_name}


def _kept(row: Texts, too_large: bool) -> Container[str]:  # noqa: FBT001 - private, and named at its calls
    if not too_large:
        return _Everything()
    return {name for name, text in row.by_name.items() if text != "null" and len(text.encode()) <= LONGEST_KEPT_BYTES}


class _Everything:
    def __contains__(self, _: object) -> bool:
        return True


def _object(columns: dict[str, str], chosen: Container[str], kept: Container[str]) -> str:
    ordered = _ordered(tuple(columns))
    return "{" + ", ".join([key + columns[name] for name, key in ordered if name in chosen and name in kept]) + "}"


@lru_cache(maxsize=256)
def _ordered(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the names in jsonb's order, shorter ones first, each with its text as a key."""
    ordered = sorted(names, key=lambda name: (len(name.encode()), name.encode()))
    return [(name, json.dumps(name, ensure_ascii=False) + ": ") for name in ordered]


@lru_cache(maxsize=256)
def _columns(columns: tuple[tuple[str, str], ...], chosen: frozenset[str]) -> str:
    named = [(json.dumps(name, ensure_ascii=False), json.dumps(kind)) for name, kind in columns if name in chosen]
    return "[" + ", ".join(f'{{"name": {name}, "type": {kind}}}' for name, kind in named) + "]"


def _decoder_bytes(change: Change) -> int:
    sent = sum(DECODER_BYTES_PER_COLUMN + len(column.name) for column in change.relation.columns)
    return change.size + sent * ((change.new is not None) + (change.old is not None))
