"""Turns a batch of changes into frames for the subscribers who may see them.

Takes: batches in commit order. Gives: one frame per change, channel and set of selected columns. Guarantees: nobody
receives a row that the policies hide, or a column that the role may not read.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import structlog

from listener.local.realtime import documents
from listener.local.realtime.pgoutput import DELETE, EVENTS, Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from listener.local.realtime.documents import Texts
    from listener.local.realtime.facts import FactsCache, TableFacts
    from listener.local.realtime.pgoutput import Relation, Row
    from listener.local.realtime.rate import RateLimit
    from listener.local.realtime.row_reader import OpenFilter, RowReader
    from listener.local.realtime.subscriptions import Gate, Matcher, Subscriber

log = structlog.get_logger()


@dataclass(slots=True)
class Candidate:
    """A change and the bindings that may want it; the database's answers narrow `matchers` down."""

    change: Change
    matchers: list[Matcher]
    new: Texts | None = None
    old: Texts | None = None

    @property
    def row(self) -> Row:
        """The row that filters read: the new one, a DELETE's old one."""
        row = self.change.old if self.change.kind == DELETE else self.change.new
        return row or []


@dataclass(slots=True)
class Group:
    """The candidates of one relation in one shape."""

    relation: Relation
    facts: TableFacts
    candidates: list[Candidate] = field(default_factory=list)


class Delivery:
    """Delivers batches, one at a time."""

    def __init__(
        self, gate_of: Callable[[Relation], Gate | None], facts: FactsCache, rows: RowReader, limit: RateLimit
    ) -> None:
        self._gate_of, self._facts, self._rows, self._limit = gate_of, facts, rows, limit

    async def deliver(self, changes: Sequence[Change]) -> None:
        """Send one batch. What PostgreSQL cannot answer for (it restarts, a table is gone) is dropped and logged."""
        by_shape: defaultdict[int, list[Change]] = defaultdict(list)
        for change in changes:
            by_shape[id(change.relation)].append(change)
        ready: dict[int, Candidate] = {}
        facts_of: dict[int, TableFacts] = {}  # by shape
        for of_one in by_shape.values():
            try:
                group = await self._prepare(of_one)
            except psycopg.Error as fault:
                log.warning("changes_dropped", table=of_one[0].relation.table, changes=len(of_one), reason=str(fault))
                continue
            if group is not None:
                facts_of[id(group.relation)] = group.facts
                ready.update((id(each.change), each) for each in group.candidates)
        for change in changes:
            candidate = ready.get(id(change))
            if candidate is not None:
                self._send(candidate, facts_of[id(change.relation)])
        await asyncio.sleep(0)

    async def _prepare(self, changes: list[Change]) -> Group | None:
        relation = changes[-1].relation
        gate = self._gate_of(relation)
        if gate is None:
            return None
        roles = {m.subscription.identity.role for matchers in gate.matchers.values() for m in matchers}
        facts = await self._facts.of(relation, roles, sorted({change.transaction.xid for change in changes}))
        gate = self._gate_of(relation)  # facts may have changed it
        if facts is None or gate is None:
            return None
        group = Group(relation, facts, [Candidate(change, _wanting(gate, change)) for change in changes])
        _keep_wanted(group)
        await self._settle_filters(group)
        await self._settle_visibility(group)
        await self._read_json(group)
        return group

    async def _settle_filters(self, group: Group) -> None:
        filters: dict[OpenFilter, None] = {}
        for candidate in group.candidates:
            filters.update(dict.fromkeys(each for matcher in candidate.matchers for each in _open(matcher, candidate)))
        if not filters:
            return
        rows = [candidate.row for candidate in group.candidates]
        passes = await self._rows.open_filters(group.relation, group.facts, rows, list(filters))
        for index, candidate in enumerate(group.candidates):
            candidate.matchers = [
                matcher
                for matcher in candidate.matchers
                if all(passes[each][index] for each in _open(matcher, candidate))
            ]
        _keep_wanted(group)

    async def _settle_visibility(self, group: Group) -> None:
        subjects: dict[tuple[str, str], None] = {}
        rows: list[Candidate] = []
        for candidate in group.candidates:
            viewers = [_viewer(m) for m in candidate.matchers if _depends_on_policies(m, candidate, group.facts)]
            subjects.update(dict.fromkeys(viewers))
            rows += [candidate] if viewers else []
        if not subjects:
            return
        answers = await self._rows.visible(group.facts, [candidate.change for candidate in rows], list(subjects))
        sees = dict(zip(subjects, answers, strict=True))
        for index, candidate in enumerate(rows):
            candidate.matchers = [
                m
                for m in candidate.matchers
                if not _depends_on_policies(m, candidate, group.facts) or index in sees[_viewer(m)]
            ]
        _keep_wanted(group)

    async def _read_json(self, group: Group) -> None:
        shown = [c for c in group.candidates if any(not _gets_error(m, c, group.facts) for m in c.matchers)]
        news = [(c, c.change.new) for c in shown if c.change.new is not None]
        olds = [(c, c.change.old) for c in shown if c.change.old is not None]
        rows = [row for _, row in news] + [row for _, row in olds]
        if not rows:
            return
        texts = await self._rows.json_texts(group.relation, group.facts, rows)
        for (candidate, row), columns in zip(news, texts[: len(news)], strict=True):
            candidate.new = documents.texts(group.relation, row, columns)
        for (candidate, row), columns in zip(olds, texts[len(news) :], strict=True):
            candidate.old = documents.texts(group.relation, row, columns)

    def _send(self, candidate: Candidate, facts: TableFacts) -> None:
        if not self._limit.admit(len(candidate.matchers)):
            return
        made: dict[tuple[str, frozenset[str] | None], str] = {}
        for (subscriber, role, select), ids in _recipients(candidate.matchers).items():
            if (role, select) not in made:
                made[role, select] = _document(candidate, facts, role, select)
            subscriber.deliver(ids, EVENTS[candidate.change.kind], made[role, select])


def _recipients(matchers: Iterable[Matcher]) -> dict[tuple[Subscriber, str, frozenset[str] | None], list[int]]:
    ids: defaultdict[tuple[Subscriber, str, frozenset[str] | None], list[int]] = defaultdict(list)
    for matcher in matchers:
        subscription = matcher.subscription
        ids[subscription.subscriber, subscription.identity.role, subscription.binding.select].append(
            subscription.binding.id
        )
    return ids


def _document(candidate: Candidate, facts: TableFacts, role: str, select: frozenset[str] | None) -> str:
    change = candidate.change
    error = facts.error_for(role)
    if error is not None and change.kind != DELETE:
        return documents.refused(change.relation, change.kind, error)
    readable = facts.roles[role].readable if role in facts.roles else frozenset()
    chosen = readable if select is None else readable & (select | set(facts.key))
    return documents.change(change, facts, chosen, candidate.new, candidate.old)


def _wanting(gate: Gate, change: Change) -> list[Matcher]:
    return [matcher for matcher in gate.matchers[change.kind] if matcher.may_match(change)]


def _keep_wanted(group: Group) -> None:
    group.candidates = [candidate for candidate in group.candidates if candidate.matchers]


def _open(matcher: Matcher, candidate: Candidate) -> tuple[OpenFilter, ...]:
    return () if matcher.unfiltered and candidate.change.kind != DELETE else matcher.open


def _gets_error(matcher: Matcher, candidate: Candidate, facts: TableFacts) -> bool:
    return candidate.change.kind != DELETE and facts.error_for(matcher.subscription.identity.role) is not None


def _depends_on_policies(matcher: Matcher, candidate: Candidate, facts: TableFacts) -> bool:
    if candidate.change.kind == DELETE or _gets_error(matcher, candidate, facts):
        return False
    return facts.rls  # also of a role that bypasses policies: the row must be there still


def _viewer(matcher: Matcher) -> tuple[str, str]:
    return matcher.subscription.identity.role, matcher.subscription.identity.claims
