"""The `data` of a `postgres_changes` event, as JSON text: records keep the text and key order of PostgreSQL's jsonb."""

from __future__ import annotations

import json
from dataclasses import dataclass
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


def change(change: Change, facts: TableFacts, chosen: Container[str], new: Texts | None, old: Texts | None) -> str:
    """Return the document of a change with the columns named in `chosen`."""
    relation, kind = change.relation, change.kind
    too_large = _decoder_bytes(change) > LARGEST_CHANGE_BYTES
    record = (
        ""
        if kind == DELETE or new is None
        else f'"record":{_object(_filled(new, old), chosen, _kept(new, too_large))},'
    )
    previous = ""
    if kind in {UPDATE, DELETE}:
        before = old or Texts({})
        secret = kind == DELETE and facts.rls  # a deleted row cannot be checked any more: its key is all that is told
        told = {name: text for name, text in before.by_name.items() if not secret or name in facts.key}
        previous = f',"old_record":{_object(told, chosen, _kept(before, too_large))}'
    return (
        f'{{"table":{compact(relation.table)},"type":"{EVENTS[kind]}",{record}"columns":{_columns(facts, chosen)},'
        f'"errors":{TOO_LARGE if too_large else "null"},"schema":{compact(relation.schema)},'
        f'"commit_timestamp":"{change.transaction.committed_at}"{previous}}}'
    )


def _filled(new: Texts, old: Texts | None) -> dict[str, str]:
    """Return the new row; a TOASTed value that did not change is taken from the old one, where that was sent."""
    return new.by_name if old is None else {**old.by_name, **new.by_name}


def _kept(row: Texts, too_large: bool) -> Container[str]:  # noqa: FBT001 - private, and named at its calls
    if not too_large:
        return _Everything()
    return {name for name, text in row.by_name.items() if len(text.encode()) <= LONGEST_KEPT_BYTES}


class _Everything:
    def __contains__(self, _: object) -> bool:
        return True


def _object(columns: dict[str, str], chosen: Container[str], kept: Container[str]) -> str:
    names = sorted((name for name in columns if name in chosen and name in kept), key=_jsonb_order)
    return "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {columns[name]}" for name in names) + "}"


def _jsonb_order(name: str) -> tuple[int, bytes]:
    encoded = name.encode()
    return len(encoded), encoded


def _columns(facts: TableFacts, chosen: Container[str]) -> str:
    described = (
        f'{{"name": {json.dumps(name)}, "type": {json.dumps(kind)}}}' for name, kind in facts.columns if name in chosen
    )
    return f"[{', '.join(described)}]"


def _decoder_bytes(change: Change) -> int:
    sent = sum(DECODER_BYTES_PER_COLUMN + len(column.name) for column in change.relation.columns)
    return change.size + sent * ((change.new is not None) + (change.old is not None))
