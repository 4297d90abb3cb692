"""Evaluates filters: on the raw text of one column where that is exact, else as an SQL condition in the database.

Texts are compared for types whose equal values have equal text; integers and numerics are ordered here too. Everything
else (patterns, dates, collations) is left to PostgreSQL, which is the definition of what these operators mean.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from listener.local.realtime.bindings import Filter

BOOL, BYTEA, NUMERIC = 16, 17, 1700
FLOATS = frozenset({700, 701})
INTEGERS = frozenset({20, 21, 23, 26})  # int8, int2, int4, oid
EXACT_TEXT = INTEGERS | {BOOL, 25, 1043, 2950}  # and text, varchar, uuid
NOT_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})  # the real server's decoder turns these into null

_ORDERINGS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge,
}  # fmt: skip
_SQL_OPERATORS = {
    "eq": "=", "neq": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "in": "= any",
    "like": "like", "ilike": "ilike", "match": "~", "imatch": "~*",
}  # fmt: skip

Decision = Callable[[str | None], bool]


@dataclass(frozen=True, slots=True)
class Checked:
    """A filter that the database accepted for a column type. `canonical` are its values as PostgreSQL writes them."""

    filter: Filter
    type_oid: int
    is_enum: bool
    canonical: tuple[str | None, ...]

    def decision(self) -> Decision | None:
        """Return the test of a column's text, None when only the database can decide."""
        plain = self._plain()
        if plain is None or not self.filter.negated:
            return plain
        if self.filter.operator in {"is", "isdistinct"}:
            return lambda text: not plain(text)
        return lambda text: text is not None and not plain(text)  # `not null` is null, which does not match

    def needles(self) -> tuple[bytes, ...] | None:
        """Return byte strings one of which every matching message contains, None when there is no such set."""
        if self.filter.negated or self.filter.operator not in {"eq", "in"} or not self._is_exact():
            return None
        texts = [text.encode() for text in self._wire_texts() if text is not None]
        return tuple(b"t" + len(text).to_bytes(4, "big") + text for text in texts)

    def _is_exact(self) -> bool:
        return self.type_oid in EXACT_TEXT or self.is_enum

    def _wire_texts(self) -> list[str | None]:
        if self.type_oid != BOOL:
            return list(self.canonical)
        return [None if text is None else text[0] for text in self.canonical]  # pgoutput writes t and f

    def _plain(self) -> Decision | None:
        name, value = self.filter.operator, self.filter.value
        if name == "is":
            wanted = {"true": "t", "false": "f"}.get(value)
            return lambda text: text == wanted
        if self._is_exact() and name in {"eq", "in", "neq", "isdistinct"}:
            return _by_text(name, frozenset(self._wire_texts()))
        if name in _ORDERINGS and (self.type_oid in INTEGERS or self.type_oid == NUMERIC):
            return _by_order(name, self.canonical[0])
        return None


def _by_text(name: str, texts: frozenset[str | None]) -> Decision:
    if name == "isdistinct":
        return lambda text: text not in texts
    if name == "neq":
        return lambda text: text is not None and text not in texts
    return lambda text: text is not None and text in texts


def _by_order(name: str, bound: str | None) -> Decision | None:
    if bound is None or bound in NOT_NUMBERS:
        return None
    compare, limit = _ORDERINGS[name], Decimal(bound)
    return lambda text: text is not None and text not in NOT_NUMBERS and compare(Decimal(text), limit)


def condition(filter_: Filter, value: sql.Composable, type_name: str) -> sql.Composable:
    """Return the SQL condition of `filter_` over `value`, an expression of the type named `type_name`."""
    type_sql = sql.SQL(type_name)  # regtype's own, quoted, spelling
    bound = sql.SQL("{}::{}").format(sql.Literal(filter_.value), type_sql)
    match filter_.operator:
        case "isdistinct":
            plain = sql.SQL("({} is distinct from {})").format(value, bound)
        case "is":
            plain = sql.SQL("({} is {})").format(value, sql.SQL(filter_.value))  # one of four words
        case name:
            if name == "in":
                bound = sql.SQL("{}::{}[]").format(sql.Literal(filter_.value), type_sql)
            symbol = sql.SQL(_SQL_OPERATORS[name])  # from the table above
            plain = sql.SQL("({} {} ({}))").format(value, symbol, bound)
    return sql.SQL("(not {})").format(plain) if filter_.negated else plain
