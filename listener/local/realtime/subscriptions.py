"""The subscriptions, and the gate that drops unwanted changes after reading a few bytes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from listener.local.realtime.pgoutput import ABSENT, DELETE, EVENTS, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from listener.local.realtime.bindings import Binding, Filter
    from listener.local.realtime.filters import Checked, Decision
    from listener.local.realtime.pgoutput import Change, Relation
    from listener.local.realtime.tokens import Identity


class Subscriber(Protocol):
    """A joined channel."""

    def deliver(self, ids: list[int], event: str, change: str) -> None:
        """Send one change (its kind, and the JSON text of its `data`) that the bindings `ids` matched."""
        ...


@dataclass(eq=False, slots=True)
class Subscription:
    """One binding of one channel. `checked` are its filters, by (index, column's type)."""

    binding: Binding
    identity: Identity
    subscriber: Subscriber
    checked: Mapping[tuple[int, int], Checked] = field(default_factory=dict)

    def concerns(self, schema: str, table: str) -> bool:
        """Return whether the binding names the table."""
        return self.binding.schema in {"*", schema} and self.binding.table in {"*", table}


@dataclass(frozen=True, slots=True)
class Matcher:
    """A subscription, bound to a relation's shape.

    `tests` decide on column texts here; `open` filters, as (column index, filter), are left to the database. `possible`
    is false when a filter names a column that the table lacks. `unfiltered` holds when the client gets an error frame
    whatever its filters are. A wanted message contains one of `needles`; None when no such set exists.
    """

    subscription: Subscription
    tests: tuple[tuple[int, Decision], ...]
    open: tuple[tuple[int, Filter], ...]
    needles: tuple[bytes, ...] | None
    possible: bool
    unfiltered: bool

    def may_match(self, change: Change) -> bool:
        """Return whether every filter that can be decided here matches: the new row's, a DELETE's old row's."""
        if self.unfiltered and change.kind != DELETE:
            return True
        row = change.old if change.kind == DELETE else change.new
        return self.possible and row is not None and all(_passes(row, index, test) for index, test in self.tests)


def _passes(row: Row, index: int, test: Decision) -> bool:
    value = row[index]
    return value is not ABSENT and test(value)  # type: ignore[arg-type]  # narrowed by the line itself


class Gate:
    """Decides which messages of one relation are wanted, by the kind of change."""

    def __init__(self, matchers: Iterable[Matcher]) -> None:
        every = list(matchers)
        self.matchers = {
            kind: [m for m in every if m.subscription.binding.event in {"*", event}] for kind, event in EVENTS.items()
        }
        self._needles = {kind: _all_needles(matchers) for kind, matchers in self.matchers.items()}

    def may_want(self, kind: int, message: bytes) -> bool:
        """Return whether the message must be parsed. Called for every change of the table: it must stay small."""
        needles = self._needles[kind]
        if needles is None:
            return True
        return any(needle in message for needle in needles)

    def wants(self, change: Change) -> bool:
        """Return whether a subscription may match."""
        return any(matcher.may_match(change) for matcher in self.matchers[change.kind])


def _all_needles(matchers: list[Matcher]) -> tuple[bytes, ...] | None:
    sets = [matcher.needles for matcher in matchers]
    if any(needles is None for needles in sets):
        return None
    return tuple(dict.fromkeys(itertools.chain.from_iterable(needles or () for needles in sets)))


def match(subscription: Subscription, relation: Relation, *, unfiltered: bool) -> Matcher:
    """Bind a subscription to the columns of `relation`."""
    position = {column.name: index for index, column in enumerate(relation.columns)}
    tests: list[tuple[int, Decision]] = []
    undecided: list[tuple[int, Filter]] = []
    needles: tuple[bytes, ...] | None = None
    for number, filter_ in enumerate(subscription.binding.filters):
        index = position.get(filter_.column)
        if index is None:
            return Matcher(subscription, (), (), None if unfiltered else (), possible=False, unfiltered=unfiltered)
        checked = subscription.checked.get((number, relation.columns[index].type_oid))
        decision = None if checked is None else checked.decision()
        if checked is None or decision is None:
            undecided.append((index, filter_))
        else:
            tests.append((index, decision))
            needles = needles if needles is not None else checked.needles()
    needles = None if unfiltered else needles
    return Matcher(subscription, tuple(tests), tuple(undecided), needles, possible=True, unfiltered=unfiltered)


class Registry:
    """All active subscriptions. `version` changes with them, so that gates can be built anew."""

    def __init__(self) -> None:
        self._active: dict[Subscription, None] = {}
        self.version = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._active)

    def names(self) -> set[tuple[str, str]]:
        """Return schema and table of every subscription, each "*" for all."""
        return {subscription.binding.relation for subscription in self._active}

    def replace(self, old: Iterable[Subscription], new: Iterable[Subscription]) -> None:
        """Swap a channel's subscriptions in one step: no change falls between the two sets."""
        for subscription in old:
            self._active.pop(subscription, None)
        self._active.update(dict.fromkeys(new))
        self.version += 1

    def concerning(self, relation: Relation) -> list[Subscription]:
        """Return the subscriptions that name the table, in the order in which they were made."""
        return [s for s in self._active if s.concerns(relation.schema, relation.table)]
