"""The listeners that share the work, as far as this listener knows.

Takes the heartbeats in the answers to lease extensions, and reports of listeners that sleep. Gives this
listener's turn at a job. Guarantees that a listener without recent heartbeats of others waits for nobody, and for a job
only for those that have its handler.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from listener.domain.rendezvous import Order, seed, weight

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from listener.domain.job import Job
    from listener.ports import Clock

Answered: TypeAlias = "tuple[int, str | None]"
"""A job that was claimed, by id, and its handler."""


MANY = 100
"""Jobs of one claim: so many are no longer due one by one."""


class Peers:
    """The listeners that are alive.

    Args:
        me: this listener's id.
        clock: measures the age of the heartbeats.
        believed_seconds: how long a heartbeat counts.
    """

    def __init__(self, me: str, clock: Clock, believed_seconds: float) -> None:
        self._me, self._mine = me, seed(me)
        self._clock, self._believed_seconds = clock, believed_seconds
        self._believed_until = 0.0
        self._heartbeats: dict[int, object] = {}
        self._suspected: dict[int, object] = {}
        self._handlers: dict[int, Collection[str]] = {}  # of listeners that have other handlers than this one
        self._others: tuple[int, ...] = ()
        self._having: dict[str | None, Order] = {}  # the others that have a handler
        self._orders: dict[tuple[int, ...], Order] = {}
        self._busy_until = 0.0
        self.suspicions = 0  # how often a listener was found to leave its jobs: whoever waits for it looks again

    @property
    def others(self) -> tuple[int, ...]:
        """The seeds of the listeners that this one may have to wait for."""
        return self._others if self._others and self._clock.monotonic() < self._believed_until else ()

    @property
    def alike(self) -> tuple[int, ...]:
        """Those of the others that have the same handlers as this listener."""
        return tuple(each for each in self.others if each not in self._handlers)

    def share(self, of: tuple[int, ...]) -> bytes:
        """Return the buckets of jobs in which this listener comes before all `of` these, as `Order.first` does."""
        return self._order(of).first()

    def received(self, heartbeats: Mapping[str, object], handlers: Mapping[str, Collection[str]] | None = None) -> None:
        """Take the last heartbeat of each live listener; a new heartbeat clears the suspicion against its listener.

        `handlers` has those of the listeners that do not have the same as this one.
        """
        self._handlers = {seed(each): frozenset(names) for each, names in (handlers or {}).items()}
        self._heartbeats = {seed(each): heartbeat for each, heartbeat in heartbeats.items() if each != self._me}
        # Listeners that do not know this one do not wait for it, so it does not wait for them either.
        self._believed_until = self._clock.monotonic() + self._believed_seconds if self._me in heartbeats else 0.0
        self._suspected = {
            each: heartbeat for each, heartbeat in self._suspected.items() if self._heartbeats.get(each) == heartbeat
        }
        self._settle()

    @property
    def are_busy(self) -> bool:
        """Whether the others are likely to claim hundreds of jobs at a time, as this listener does or did just now."""
        return self._clock.monotonic() < self._busy_until

    def claims(self, jobs: Collection[Job], within_seconds: float) -> None:
        """Note that this listener claims these jobs: if they are many, so do the others, within so many seconds."""
        if len(jobs) >= MANY and sum(not job.turn for job in jobs) >= MANY:
            self.expect_many(within_seconds)

    def expect_many(self, within_seconds: float) -> None:
        """Note that all listeners are about to claim hundreds of jobs at a time."""
        self._busy_until = max(self._busy_until, self._clock.monotonic() + within_seconds)

    def judge(self, left: Iterable[Answered], taken: Iterable[Answered]) -> None:
        """Stop waiting, until their next heartbeat, for the listeners that left jobs to this one and have taken none.

        Args:
            left: jobs that other listeners were to claim before this one, and that were granted to this one.
            taken: jobs of the same time that another listener has claimed, most likely the first in their order.
        """
        awake = {
            max(others, key=partial(weight, job_id)) for job_id, of in taken if (others := self._that_have(of).others)
        }
        before = len(self._suspected)
        for job_id, handler in left:
            own = weight(job_id, self._mine)
            for each in self._that_have(handler).others:
                if each not in awake and weight(job_id, each) > own:
                    self._suspected[each] = self._heartbeats[each]
        if len(self._suspected) > before:
            self._settle()
            self.suspicions += 1

    def _settle(self) -> None:
        others = tuple(each for each in self._heartbeats if each not in self._suspected)
        if others != self._others:
            self._orders.clear()
        self._others = others
        self._having = {None: self._order(others)}

    def _order(self, others: tuple[int, ...]) -> Order:
        order = self._orders.get(others)
        if order is None:
            order = self._orders[others] = Order(self._mine, others)
        return order

    def _that_have(self, handler: str | None) -> Order:
        order = self._having.get(handler)
        if order is None:
            have = (each for each in self._others if each not in self._handlers or handler in self._handlers[each])
            order = self._having[handler] = self._order(tuple(have))
        return order

    def turn(self, job_id: int, handler: str | None = None) -> int:
        """Return how many other listeners may claim this job before this one; of the handler None all have jobs."""
        return self._that_have(handler).turn(job_id) if self.others else 0
