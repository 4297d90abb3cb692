"""Tracks the service's health, which `/readyz` reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listener.errors import StoreError
    from listener.ports import Clock

STALE_POLL_SECONDS = 30.0
"""A service without a successful poll for this long is not ready."""
STALE_POLLS = 3
"""At long poll intervals, a service is not ready after this many intervals without a successful poll."""
PATIENCE_SECONDS = 5.0
"""How long calls of a function may fail, and how long work may wait although slots are free, before that counts."""
REMEMBERED_SECONDS = 60.0
"""How long a fault counts if no other call of its function follows."""
LAG_SECONDS = 2.0
"""A loop that wakes later than this is held up by a computing handler: all jobs are late then."""
LAG_REMEMBERED_SECONDS = 5.0
HELD_UP_BY = "a handler computes without awaiting, or the machine had no time for this process"
BACKGROUND = frozenset(
    {"clean_ledger_v1", "leave_v1", "planned_jobs_v1", "publish_handlers_v1", "replan_jobs_v1", "zone_database_v1"}
)
"""Functions whose faults do not affect jobs."""


class Health:
    """The state of the database, the channels, the loop and the work, as the stages last reported it.

    Args:
        clock: dates the reports.
        channels: the names of the channels that should be received; without any, the poll alone counts.
        poll_seconds: the longest planned time between two polls.
    """

    def __init__(self, clock: Clock, channels: tuple[str, ...] = (), poll_seconds: float = 0) -> None:
        self._clock = clock
        self._stale_seconds = max(STALE_POLL_SECONDS, STALE_POLLS * poll_seconds)
        self._draining = False
        self._polled_at: float | None = None
        self._poll_fault: str | None = None
        self._calls: dict[str, tuple[float, float, StoreError]] = {}  # of failing ones: since, last, fault
        self._received = dict.fromkeys(channels, False)
        self._feed_fault = "not connected yet"
        self._awaited: set[str] = set()
        self._heartbeat_due: float | None = None
        self._lagged = (-LAG_REMEMBERED_SECONDS, 0.0)  # when, by how much
        self._held_up_by = HELD_UP_BY
        self._overdue = self._starved = 0.0

    @property
    def receiving(self) -> bool:
        """Whether at least one channel is received."""
        return any(self._received.values())

    def receives(self, channel: str) -> bool:
        """Whether this channel is received."""
        return self._received.get(channel, False)

    @property
    def channels(self) -> dict[str, bool]:
        """Each channel and whether it is received."""
        return dict(self._received)

    def poll_succeeded(self) -> None:
        """Note that the database answered."""
        self._polled_at, self._poll_fault = self._clock.monotonic(), None

    def poll_failed(self, fault: str) -> None:
        """Note that the database did not answer."""
        self._poll_fault = fault

    def answered(self, function: str, fault: StoreError | None) -> None:
        """Note the result of a call of the database; a fault that a row caused does not count."""
        now = self._clock.monotonic()
        if fault is None:
            self._calls.pop(function, None)
        elif function not in BACKGROUND and not fault.split_batch:
            since, *_ = self._calls.get(function, (now,))
            self._calls[function] = (since, now, fault)

    def received(self, channel: str) -> None:
        """Note that a channel is received: it delivered a probe or a signal."""
        self._received[channel] = True

    def stale(self, fault: str, channel: str | None = None) -> None:
        """Note that a channel, or all of them, is not received."""
        for name in [channel] if channel else list(self._received):
            self._received[name] = False
        self._feed_fault = fault

    def await_first(self, what: str) -> None:
        """Note that the service is not ready before `came` is called for this part."""
        self._awaited.add(what)

    def came(self, what: str) -> None:
        """Note that the part is ready, or that nothing waits for it any longer."""
        self._awaited.discard(what)

    def expect_heartbeat(self, within_seconds: float) -> float:
        """Note when the next heartbeat of the loop is due; return how late this one was."""
        lag = self.lag
        now = self._clock.monotonic()
        if lag > LAG_SECONDS:
            self._lagged = (now, lag)
        elif now - self._lagged[0] >= LAG_REMEMBERED_SECONDS:
            self._held_up_by = HELD_UP_BY
        self._heartbeat_due = now + within_seconds
        return lag

    def held_up(self, by: str) -> None:
        """Note which handler blocks the loop; a thread calls this while it does."""
        self._held_up_by = by

    def work_waits(self, seconds: float) -> None:
        """Note for how long work has waited although slots are free."""
        self._overdue = seconds

    def starves(self, seconds: float) -> None:
        """Note for how long a tenant's jobs have been due while none of them was given a slot."""
        self._starved = seconds

    def drain(self) -> None:
        """Note that the service shuts down, so that load balancers stop using it."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """Whether the service shuts down."""
        return self._draining

    def fault(self) -> str | None:
        """The reason why the service is not ready, or None."""
        if self._draining:
            return "draining"
        for part, fault in self._faults():
            if fault is not None:
                return f"{part}: {fault}"
        return None

    def parts(self) -> dict[str, str]:
        """Return the state of each part of the service: `ok` with a measure, or the fault."""
        well = {
            "database": f"read {self._age():.1f} s ago",
            "feed": ", ".join(
                f"{name} {'received' if received else 'stale'}" for name, received in self._received.items()
            )
            or "off",
            "loop": f"{self.lag * 1000:.0f} ms late",
            "work": f"{self._overdue:.1f} s overdue",
        }
        return {part: fault or f"ok, {well[part]}" if part in well else fault or "ok" for part, fault in self._faults()}

    def _faults(self) -> Iterator[tuple[str, str | None]]:
        yield "database", self._database_fault()
        yield "feed", self._feed_fault if self._received and not self.receiving else None
        yield "loop", self._loop_fault()
        yield "work", self._work_fault()
        for what in sorted(self._awaited):
            yield what, "not yet"

    def _age(self) -> float:
        return self._clock.monotonic() - (self._polled_at or 0.0)

    def _database_fault(self) -> str | None:
        if self._poll_fault is not None:
            return self._poll_fault
        if self._polled_at is None:
            return "not read yet"
        if self._age() > self._stale_seconds:
            return f"last read {self._age():.0f} s ago"
        now = self._clock.monotonic()
        for since, last, fault in self._calls.values():
            is_lasting = fault.needs_operator or last - since >= PATIENCE_SECONDS
            if is_lasting and now - last < REMEMBERED_SECONDS:
                return str(fault)
        return None

    @property
    def lag(self) -> float:
        """For how many seconds the next heartbeat of the loop has been overdue."""
        return 0.0 if self._heartbeat_due is None else max(0.0, self._clock.monotonic() - self._heartbeat_due)

    def _loop_fault(self) -> str | None:
        at, lag = self._lagged
        if self._clock.monotonic() - at >= LAG_REMEMBERED_SECONDS:
            lag = 0.0
        lag = max(lag, self.lag)
        return f"held up for {lag:.1f} s: {self._held_up_by}" if lag > LAG_SECONDS else None

    def _work_fault(self) -> str | None:
        waited = self._overdue
        if waited > PATIENCE_SECONDS:
            return f"due, with free slots, and not claimed for {waited:.0f} s"
        if self._starved > PATIENCE_SECONDS:
            return f"a tenant has jobs due and no slot for {self._starved:.0f} s: all are taken by runs of others"
        return None
