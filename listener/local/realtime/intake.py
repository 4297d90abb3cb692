"""Reads pgoutput messages, keeps those that a binding wants, and hands them over at each commit.

Takes: messages, in WAL order. Gives: batches of changes and of broadcasts, in commit order. Guarantees: a change that
no binding can want is dropped before it is parsed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from listener.local.realtime import pgoutput
from listener.local.realtime.pgoutput import EVENTS, INSERT, RELATION_ID, Change, Relation, Row, Transaction
from listener.local.realtime.subscriptions import Gate, match

if TYPE_CHECKING:
    from listener.local.realtime.facts import FactsCache
    from listener.local.realtime.subscriptions import Registry

LARGEST_BATCH = 500  # changes; a transaction of any size is delivered in such pieces
LONGEST_BACKLOG = 40  # batches; beyond it the stream is not read, so memory stays bounded

_BEGIN, _COMMIT, _RELATION = ord("B"), ord("C"), ord("R")


@dataclass(frozen=True, slots=True)
class Message:
    """A row of `realtime.messages`, as texts; `payload` is JSON."""

    topic: str
    event: str
    payload: str
    private: bool
    id: str


Item = Change | Message


class Intake:
    """State of one stream: shapes of the tables seen, gates, and the batches that wait."""

    def __init__(self, registry: Registry, facts: FactsCache) -> None:
        self._registry, self._facts = registry, facts
        self._relations: dict[int, Relation] = {}
        self._broadcasts: set[int] = set()  # oids of realtime.messages, which no binding sees
        self._gates: dict[int, Gate] = {}
        self._gates_of: tuple[int, int] = (-1, -1)
        self._pending: list[Item] = []
        self._transaction = Transaction(0, "")
        self._batches: deque[list[Item]] = deque()
        self._arrived = asyncio.Event()
        self.ready_for_more = asyncio.Event()
        self.ready_for_more.set()

    def accept(self, message: bytes) -> None:
        """Take one message. Called for every change of every published table."""
        kind = message[0]
        if kind in EVENTS:
            oid = RELATION_ID(message)[0]
            if oid in self._broadcasts:
                self._keep_broadcast(message, oid)
            elif (gate := self._gate(oid)) is not None and gate.may_want(kind, message):
                self._keep(message, oid, gate)
        elif kind == _COMMIT:
            self._hand_over()
        elif kind == _BEGIN:
            self._transaction = pgoutput.begin(message)
        elif kind == _RELATION:
            relation = pgoutput.relation(message)
            self._relations[relation.oid] = relation
            if (relation.schema, relation.table) == ("realtime", "messages"):
                self._broadcasts.add(relation.oid)
            self._gates.pop(relation.oid, None)
            self._facts.forget(relation.oid)

    async def next_batch(self) -> list[Item]:
        """Return the oldest batch; wait for one if need be."""
        while not self._batches:
            self._arrived.clear()
            await self._arrived.wait()
        batch = self._batches.popleft()
        if len(self._batches) < LONGEST_BACKLOG:
            self.ready_for_more.set()
        return batch

    def gate(self, relation: Relation) -> Gate | None:
        """Return the gate of a relation now, also of a shape that it had before a change in the same batch."""
        return self._gate(relation.oid) if self._relations.get(relation.oid) is relation else self._new_gate(relation)

    def _gate(self, oid: int) -> Gate | None:
        state = (self._registry.version, self._facts.version)
        if state != self._gates_of:
            self._gates, self._gates_of = {}, state
        gate = self._gates.get(oid)
        return gate if gate is not None else self._build_gate(oid)

    def _build_gate(self, oid: int) -> Gate | None:
        relation = self._relations.get(oid)
        if relation is None:
            return None
        self._gates[oid] = self._new_gate(relation)
        return self._gates[oid]

    def _new_gate(self, relation: Relation) -> Gate:
        facts = self._facts.known(relation.oid)
        matchers = [
            match(each, relation, unfiltered=facts is None or facts.error_for(each.identity.role) is not None)
            for each in self._registry.concerning(relation)
        ]
        return Gate(matchers)

    def _keep_broadcast(self, message: bytes, oid: int) -> None:
        row = pgoutput.change(message, self._relations[oid], self._transaction).new
        if row is not None and message[0] == INSERT:
            broadcast = _message(self._relations[oid], row)
            if broadcast is not None:
                self._add(broadcast)

    def _keep(self, message: bytes, oid: int, gate: Gate) -> None:
        change = pgoutput.change(message, self._relations[oid], self._transaction)
        if gate.wants(change):
            self._add(change)

    def _add(self, item: Item) -> None:
        self._pending.append(item)
        if len(self._pending) >= LARGEST_BATCH:
            self._hand_over()

    def _hand_over(self) -> None:
        if not self._pending:
            return
        self._batches.append(self._pending)
        self._pending = []
        self._arrived.set()
        if len(self._batches) >= LONGEST_BACKLOG:
            self.ready_for_more.clear()


def _message(relation: Relation, row: Row) -> Message | None:
    """Return the broadcast of a row, None where payload or event is null: the real server sends no such row."""
    texts = {column.name: value for column, value in zip(relation.columns, row, strict=True) if isinstance(value, str)}
    if not texts.keys() >= {"event", "payload"}:
        return None
    return Message(texts["topic"], texts["event"], texts["payload"], texts.get("private") == "t", texts["id"])
