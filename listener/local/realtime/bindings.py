"""Parses a client's subscription to `postgres_changes`: event, schema, table, filters, selected columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from listener.errors import ListenerError
from listener.local.realtime.elixir import inspect, inspect_tuples
from listener.local.realtime.phash2 import phash2

OPERATORS = frozenset(
    {"eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "is", "match", "imatch", "isdistinct"}
)
EVENTS = frozenset({"INSERT", "UPDATE", "DELETE"})
NO_PARAMETERS = "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: "
SELECT_FAULT = 'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]'
WILDCARD_SELECT = (
    "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name."
)


class BindingError(ListenerError):
    """Invalid parameters of a subscription; the message is the real server's."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition. `value` of `in` is an array literal."""

    column: str
    operator: str
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """One subscription of a channel; events name it by `id`; `select` None means every column."""

    id: int
    event: str
    schema: str
    table: str
    filters: tuple[Filter, ...] = ()
    select: frozenset[str] | None = None
    select_as_given: tuple[str, ...] | None = None

    @property
    def relation(self) -> tuple[str, str]:
        """Schema and table, each "*" for all."""
        return self.schema, self.table

    def described(self) -> str:
        """Return the binding as error messages quote it."""
        filters = inspect_tuples([(f.column, f.operator, f.value, f.negated) for f in self.filters])
        select = inspect(None if self.select_as_given is None else list(self.select_as_given))
        return (
            f"[event: {self.event}, schema: {self.schema}, table: {self.table}, filters: {filters}, select: {select}]"
        )


def parse(params: dict[str, Any]) -> Binding:
    """Return the binding of `params`.

    Raises:
        BindingError: They are no valid subscription.
    """
    select = _select(params.get("select"))
    schema, table = _relation(params)
    filters = _filters(params["filter"]) if "filter" in params else ()
    if select is not None and "*" in (schema, table):
        raise BindingError(WILDCARD_SELECT)
    chosen = None if select is None else frozenset(select)
    return Binding(phash2(params), _event(params.get("event")), schema, table, filters, chosen, select)


def _event(event: object) -> str:
    upper = event.upper() if isinstance(event, str) else "*"
    return upper if upper in EVENTS else "*"


def _select(select: object) -> tuple[str, ...] | None:
    if isinstance(select, str):
        raise BindingError(SELECT_FAULT)
    if not isinstance(select, list):
        return None
    return tuple(name for name in select if isinstance(name, str)) or None


def _relation(params: dict[str, Any]) -> tuple[str, str]:
    given = {key: params[key] for key in ("schema", "table", "filter") if key in params}
    if all(isinstance(value, str) for value in given.values()):
        match sorted(given):
            case ["filter", "schema", "table"] | ["schema", "table"]:
                return given["schema"], given["table"]
            case ["schema"]:
                return given["schema"], "*"
            case ["table"]:
                return "public", given["table"]
    raise BindingError(NO_PARAMETERS + inspect(params))


def _filters(text: str) -> tuple[Filter, ...]:
    if not text.strip():
        return ()
    try:
        return tuple(_filter(segment.strip()) for segment in _segments(text.strip()))
    except BindingError as fault:
        message = f"Error parsing `filter` params: {fault}"
        raise BindingError(message) from None


def _segments(text: str) -> list[str]:
    """Split at commas that are neither quoted nor in parentheses; a quote counts after `.`, `(` or `,` only."""
    segments, current, depth, quoted, escaped, previous = [], "", 0, False, False, ""
    for char in text:
        if quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"' and previous in {".", "(", ","}:
            quoted = True
        elif char == "," and depth == 0:
            segments.append(current)
            current, previous = "", ""
            continue
        else:
            depth = max(0, depth + (char == "(") - (char == ")"))
        current, previous = current + char, char
    return [*segments, current]


def _filter(segment: str) -> Filter:
    if not segment:
        message = "filter must not contain empty segments (check for extra commas)"
        raise BindingError(message)
    column, equals, condition = segment.partition("=")
    if not equals:
        raise BindingError(inspect([segment]))
    negated = condition.startswith("not.")
    operator, dot, value = condition.removeprefix("not.").partition(".")
    if not dot:
        raise BindingError(inspect([operator]))
    if operator not in OPERATORS:
        raise BindingError(inspect([operator, value]))
    return Filter(column, operator, _array(value) if operator == "in" else _unquoted(value), negated)


def _array(value: str) -> str:
    if len(value) < len("()") or value[0] != "(" or value[-1] != ")":
        message = "`in` filter value must be wrapped by parentheses"
        raise BindingError(message)
    return "{" + value[1:-1] + "}"


def _unquoted(value: str) -> str:
    """Return the text between quotes, with escapes resolved; any other value is itself."""
    if not value.startswith('"'):
        return value
    text, escaped = "", False
    for index, char in enumerate(value[1:], start=1):
        if char == '"' and not escaped:
            return text if index == len(value) - 1 else value
        text += char if escaped or char != "\\" else ""
        escaped = char == "\\" and not escaped
    return value
