"""What the stages need of the world and of one another, as protocols.

Adapters of the stores live in `listener.supabase`; tests bring their own. A stage hands over to another by its sink.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from listener.domain.job import Job, Run
    from listener.domain.messages import (
        Claimed,
        ClaimRequest,
        Extended,
        Finished,
        Held,
        Hint,
        Note,
        Page,
        Plan,
        Rescued,
        RunResult,
        Summary,
    )
    from listener.domain.outcome import Report


class Clock(Protocol):
    """The database's clock, as well as it is known here. UTC at the edges, monotonic inside."""

    def now(self) -> datetime:
        """The database's present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps; only differences mean anything."""
        ...

    async def sleep_until(self, instant: datetime) -> None:
        """Return at `instant` or after it, never before."""
        ...


class JobStore(Protocol):
    """The jobs of the database. Each method is one request and one transaction.

    All raise `StoreError` when the request did not succeed.
    """

    async def poll(self, cursor: int, until: datetime, after: object) -> Page:
        """Read jobs that changed since `cursor` and matter before `until`; `after` continues a page."""
        ...

    async def due(self, until: datetime, after: object) -> Page:
        """Read jobs to act on before `until`, earliest first."""
        ...

    async def urgent(self, until: datetime) -> Page:
        """Read a page of jobs of high priority to act on before `until`, the most urgent first."""
        ...

    async def unplanned(self, after: object) -> Page:
        """Read recurring jobs that have no due instant yet."""
        ...

    async def plan(self, plans: Sequence[Plan]) -> None:
        """Write first due instants, or why there is none, each unless its job changed since."""
        ...

    async def claim(self, claims: Sequence[ClaimRequest]) -> Claimed:
        """Claim due instants; what is not granted is answered with the job's present state."""
        ...

    async def finish(self, run_results: Sequence[RunResult]) -> Finished:
        """Write how attempts ended, each if this listener still holds it."""
        ...

    async def park(self, run: Held, why: str) -> None:
        """End a run whose result is refused, as far as it can be written; its job does not run again."""
        ...

    async def explain(self, job_id: int, why: str) -> None:
        """Say in a job's row, if it can be written, why the job cannot be claimed."""
        ...


class LeaseStore(Protocol):
    """What keeps claims alive, and takes over those that are not. All raise `StoreError`."""

    async def extend(self, executions: Sequence[Held], *, shares: bool) -> Extended:
        """Extend the claims on these executions, and send a heartbeat if this listener takes its share of the jobs."""
        ...

    async def note(self, notes: Sequence[Note]) -> None:
        """Write progress and log lines of runs that go on."""
        ...

    async def rescue(self) -> Rescued:
        """End runs whose lease ran out and queue their next attempts."""
        ...

    async def clean(self, retention_days: float) -> int:
        """Forget a batch of what is older than `retention_days`; answers how much."""
        ...

    async def leave(self) -> None:
        """Say that this listener is going."""
        ...


class CatalogueStore(Protocol):
    """Where listeners say which handlers they have. Raises `StoreError`."""

    async def publish(self, handlers: Sequence[dict[str, Any]]) -> int:
        """Enter handlers, each with `name`, `description`, `payload_schema` and `exposed`; tells how many."""
        ...


class MeetingStore(Protocol):
    """The reaction of jobs to meetings. All raise `StoreError`."""

    async def sync(self, cursor: int | None, ids: Sequence[str] | None, after: str | None) -> Summary:
        """Make the jobs right of meetings changed since `cursor`, of `ids`, or of a page of all upcoming ones."""
        ...


class JobSink(Protocol):
    """Takes jobs whose time is near: the dispatcher."""

    def add(self, jobs: list[Job]) -> None:
        """Take jobs, earliest first."""
        ...

    def wake(self) -> None:
        """See whether there is room now."""
        ...


class RunSink(Protocol):
    """Takes the ends of runs: the completer."""

    @property
    def unwritten(self) -> int:
        """Ends that the database has not answered yet."""
        ...

    def add(self, run: Run, report: Report) -> None:
        """Take the end of an attempt."""
        ...


class PlanSink(Protocol):
    """Takes jobs with the due instants that were planned: the reconciler."""

    def arm(self, job: Job) -> None:
        """Take a job whose next instant this listener has just written itself."""
        ...


class HintSink(Protocol):
    """Takes hints: the router."""

    def deliver(self, hint: Hint) -> None:
        """Hand a hint to the stage that follows its table."""
        ...


class Poller(Protocol):
    """Reads rows that changed: the reflector."""

    def poll_now(self) -> None:
        """Poll as soon as possible."""
        ...
