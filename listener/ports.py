"""Protocols of what the stages need from outside and from one another.

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
        Evaluated,
        Extended,
        Finished,
        Held,
        Hint,
        Listing,
        Note,
        Page,
        Plan,
        Replan,
        Rescued,
        RunResult,
        Summary,
        ZoneDatabases,
    )
    from listener.domain.outcome import Report
    from listener.domain.snapshot import Snapshot


class Clock(Protocol):
    """The database's clock, as estimated here. UTC at the edges, monotonic inside."""

    def now(self) -> datetime:
        """The database's present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps; only differences mean anything."""
        ...

    async def sleep_until(self, instant: datetime) -> None:
        """Return at `instant` or after it, never before."""
        ...


class Monitor(Protocol):
    """A monitor outside of the project that raises an alarm when no ping arrives."""

    async def ping(self, act: str = "", text: str = "") -> None:
        """Send a ping: of life, or `start` or `fail`, of which `text` says why.

        Raises:
            PingFailedError: the monitor did not take it in time.
        """
        ...


class JobStore(Protocol):
    """The jobs of the database. Each method is one request and one transaction.

    All raise `StoreError` when the request did not succeed.
    """

    async def poll(
        self, seen: Snapshot, until: datetime, after: object, most: int | None = None, share: bytes | None = None
    ) -> Page:
        """Read jobs that transactions not `seen` changed and that matter before `until`; `after` continues a page.

        A page has `most` rows, or as many as usual. With a `share`, plain one-time jobs that are due and whose bucket's
        bit is not set are left out.
        """
        ...

    async def due(self, until: datetime, most: int) -> Listing:
        """Choose the jobs to act on before `until`, at most so many, of each party its share."""
        ...

    async def read(self, ids: Sequence[int]) -> Page:
        """Read jobs by id; `after` is the number of ids that were looked up, if not all were."""
        ...

    async def unplanned(self, after: object) -> Page:
        """Read recurring jobs that have no due instant yet."""
        ...

    async def plan(self, plans: Sequence[Plan]) -> None:
        """Write first due instants, or the reason why there is none, for each job that has not changed since."""
        ...

    async def claim(self, claims: Sequence[ClaimRequest]) -> Claimed:
        """Claim due instants; for each refused one the answer has the job's present state."""
        ...

    async def finish(self, run_results: Sequence[RunResult]) -> Finished:
        """Write run results of the claims that this listener still holds."""
        ...

    async def park(self, run: Held, why: str) -> None:
        """End a run whose result is refused, as far as it can be written; its job does not run again."""
        ...

    async def explain(self, job_id: int, why: str) -> None:
        """Say in a job's row, if it can be written, why the job cannot be claimed."""
        ...


class LeaseStore(Protocol):
    """Extends claims, and takes over runs whose claim expired. All methods raise `StoreError`."""

    async def extend(self, executions: Sequence[Held], *, shares: bool, receives_notify: bool) -> Extended:
        """Extend the claims on these executions, and send a heartbeat if this listener takes its share of the jobs.

        The heartbeat says whether it receives NOTIFY.
        """
        ...

    async def note(self, notes: Sequence[Note]) -> frozenset[str]:
        """Write progress and log lines of runs that have not ended; return the ids of those whose rows are locked."""
        ...

    async def rescue(self) -> Rescued:
        """End runs whose lease expired and queue their next attempts."""
        ...

    async def end_unhandled(self, claims: Sequence[ClaimRequest]) -> Rescued:
        """End instants whose handler no live listener has, as far as that is still so."""
        ...

    async def clean(self, retention_days: float) -> int:
        """Delete a batch of rows older than `retention_days`; returns the number of rows."""
        ...

    async def leave(self) -> None:
        """Announce that this listener leaves."""
        ...


class CatalogueStore(Protocol):
    """Stores which handlers the listeners have. Raises `StoreError`."""

    async def publish(self, handlers: Sequence[dict[str, Any]]) -> int:
        """Write handlers, each with `name`, `description`, `payload_schema` and `exposed`; returns how many."""
        ...


class ActivityStore(Protocol):
    """Counts what ended. Raises `StoreError`."""

    async def roll_up(self) -> tuple[int, bool]:
        """Count runs that ended since the last call; returns how many, and whether more are left."""
        ...


class AlertStore(Protocol):
    """Evaluates alert rules. Raises `StoreError`."""

    async def evaluate(self) -> Evaluated:
        """Evaluate all rules, unless that was done a moment ago."""
        ...


class AlertSwitch(Protocol):
    """Takes whether there is anything to evaluate: the alert evaluator."""

    def notice(self, *, has_alerts: bool) -> None:
        """Take what a heartbeat answered."""
        ...


class SourceStore(Protocol):
    """Synchronises jobs with the rows of sources, but for those of the sources in `without`. Raises `StoreError`."""

    async def sync_changed(self, after: str | None, without: Sequence[str]) -> Summary:
        """Correct the jobs of some rows that changed, tenants in turn; `after` continues a round."""
        ...

    async def sync_all(self, after: str | None, without: Sequence[str]) -> Summary:
        """Correct the jobs of a page of all rows that meet the condition of their source."""
        ...


class ZoneStore(Protocol):
    """Corrects plans after a change of the zone database. Raises `StoreError`."""

    async def zone_database(self, version: str, replanned: str | None = None) -> ZoneDatabases:
        """Note this listener's version; with `replanned`, that what was planned by that version is planned anew."""
        ...

    async def planned(self, after: object) -> Page:
        """Read a page of jobs that are planned by the rules of a zone; `after` continues."""
        ...

    async def replan(self, changes: Sequence[Replan]) -> int:
        """Replace due instants where they are still the same; returns how many."""
        ...


class JobSink(Protocol):
    """Takes jobs whose time is near: the dispatcher."""

    def add(self, jobs: list[Job]) -> None:
        """Take jobs, earliest first."""
        ...

    def wake(self) -> None:
        """Check whether a slot is free now."""
        ...


class RunSink(Protocol):
    """Takes the reports of runs: the completer."""

    @property
    def unwritten(self) -> int:
        """The number of reports that the database has not answered yet."""
        ...

    def add(self, run: Run, report: Report) -> None:
        """Take the report of an attempt."""
        ...


class PlanSink(Protocol):
    """Takes planned jobs with their due instants: the reconciler."""

    def arm(self, job: Job) -> None:
        """Take a job whose next instant this listener has just written."""
        ...


class HintSink(Protocol):
    """Takes hints: the router."""

    def deliver(self, hint: Hint) -> None:
        """Hand a hint to the stage that follows its table."""
        ...


class MuteStore(Protocol):
    """Mutes notifications. Raises `StoreError`."""

    async def mute(self, seconds: float) -> datetime | None:
        """Ask that no statement notifies the listeners for so long; returns until when that is so, None: refused."""
        ...

    async def mute_notify(self, seconds: float) -> datetime | None:
        """Ask that no statement sends a NOTIFY for so long; returns until when that is so, None: refused."""
        ...


class Doubter(Protocol):
    """Checks the notification channels: the feed."""

    def doubt(self) -> None:
        """Send a probe at once: a poll has found a change that no channel brought."""
        ...


class Poller(Protocol):
    """Reads changed rows: the reflector."""

    def poll_now(self) -> None:
        """Poll as soon as possible."""
        ...
