"""The stages' access to the database by SQL functions. A batch is one request; each error is a `StoreError`."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from listener.domain.messages import Claimed, Extended, Finished, Listing, Rescued, Summary
from listener.domain.rendezvous import BUCKETS
from listener.errors import StoreError
from listener.supabase import requests, rows
from listener.supabase.pages import page, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from listener.domain.messages import ClaimRequest, Held, Note, Page, Plan, RunResult
    from listener.domain.snapshot import Snapshot
    from listener.supabase.rpc import Calls

PAGE = 1000
PAGE_FIELDS = ("rows", "cursor", "after")
CLEANUP_BATCH = 500
CHANGED_ROWS = 200
"""In one request: about as long as a neighbour's changed row waits for its turn."""
CLAIMED_BYTES = 256 * 1024
"""Of payloads in one answer, besides the last one's: reading JSON holds the loop, up to 9 ms for so much."""
CLAIM_SECONDS = 0.05
"""For what is claimed one by one, such as jobs with a concurrency key, in one request; other claims wait meanwhile."""
AHEAD_TOLERANCE_SECONDS = 1.0
"""The clock is an estimate: the database grants a claim that comes this much too early."""


class SupabaseStore:
    """The database as the stages see it: `JobStore`, `LeaseStore` and `SourceStore` of `listener.ports`.

    Args:
        rpc: calls the SQL functions.
        listener_id: this process's random id, part of every claim.
        name: the listener's name in `job_listeners`.
        lease_seconds: how long a claim is good.
        claim_ahead_seconds: how long before its time a job is claimed.
        key_concurrency: how many runs of jobs that share a key may execute at the same time.
        handlers: the names of the handlers that this listener has; None: any.
        no_handler_seconds: how long a due job waits for a listener that has its handler.
        run_restored: whether to run the jobs of a restored database without a confirmation.
        profile: what else a heartbeat says of this listener: `version` and `capacity`.
        on_skipped: receives how many due instants a request skipped, by reason.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        rpc: Calls,
        *,
        listener_id: str,
        name: str,
        lease_seconds: float,
        claim_ahead_seconds: float,
        key_concurrency: int = 1,
        handlers: Sequence[str] | None = None,
        no_handler_seconds: float = 3600.0,
        run_restored: bool = False,
        profile: Mapping[str, object] = MappingProxyType({}),
        on_skipped: Callable[[Mapping[str, int]], object] = dict,
    ) -> None:
        self._on_skipped = on_skipped
        self._key_concurrency, self._profile = key_concurrency, profile
        self._handlers = {} if handlers is None else {"handlers": list(handlers)}
        self._permission = {"run_restored": True} if run_restored else {}
        self._unhandled = {**self._handlers, "lease_seconds": lease_seconds, "no_handler_seconds": no_handler_seconds}
        self._limits: dict[str, int] = {}  # reduced numbers of rows in an answer, by function
        self._rpc, self._id, self._name = rpc, listener_id, name
        self._lease_seconds = lease_seconds
        self._ahead_seconds = claim_ahead_seconds + AHEAD_TOLERANCE_SECONDS

    async def poll(
        self, seen: Snapshot, until: datetime, after: object, most: int | None = None, share: bytes | None = None
    ) -> Page:
        """Read jobs that transactions not `seen` changed and that matter before `until`."""
        request = {"cursor": seen.begin, "snapshot": str(seen), "until": until, "after": after}
        if share is not None:
            request["share"] = {"of": BUCKETS, "mine": share.hex()}
        return page(await self._call_bounded("poll_jobs_v1", request, *PAGE_FIELDS, most=most or PAGE))

    async def due(self, until: datetime, most: int) -> Listing:
        """Choose the jobs to act on before `until`, at most so many, of each party its share."""
        fields = ("ids", "cursor", "complete_until")
        answer = await self._call_bounded("due_jobs_v1", {"until": until, **self._handlers}, *fields, most=most)
        complete_until = datetime.fromisoformat(answer["complete_until"])
        return Listing(answer["ids"], answer["cursor"], complete_until, answer.get("left_out", 0), snapshot(answer))

    async def read(self, ids: Sequence[int]) -> Page:
        """Read jobs by id."""
        return page(await self._call_bounded("jobs_v1", {"ids": list(ids)}, *PAGE_FIELDS))

    async def unplanned(self, after: object) -> Page:
        """Read recurring jobs that have no due instant yet."""
        return page(await self._call_bounded("unplanned_jobs_v1", {"after": after}, *PAGE_FIELDS))

    async def plan(self, plans: Sequence[Plan]) -> None:
        """Write first due instants."""
        wanted = [
            {"id": plan.job_id, "revision": plan.revision, "due": plan.due, "error": plan.error} for plan in plans
        ]
        answer = await self._rpc.call("plan_jobs_v1", {"plans": wanted}, "planned")
        self._on_skipped(answer.get("skipped", {}))

    async def claim(self, claims: Sequence[ClaimRequest]) -> Claimed:
        """Claim due instants."""
        request = {
            "listener": self._id,
            "lease_seconds": self._lease_seconds,
            "ahead_seconds": self._ahead_seconds,
            "key_concurrency": self._key_concurrency,
            "max_bytes": CLAIMED_BYTES,
            "max_seconds": CLAIM_SECONDS,
            **self._handlers,
            **self._permission,
            "claims": [requests.claim(claim) for claim in claims],
        }
        again = lambda: {**request, "claims": [{**requests.claim(claim), "again": True} for claim in claims]}  # noqa: E731
        answer = await self._rpc.call("claim_runs_v1", request, "runs", "rows", repetition=again)
        self._on_skipped(answer.get("skipped", {}))
        return Claimed(
            runs=rows.readable(rows.table(answer["runs"]), rows.run),
            jobs=rows.readable(answer["rows"], rows.job),
            full=answer.get("full", False),
            bounded=tuple(answer.get("bounded", ())),
            taken=answer.get("taken", 0),
            stopped=tuple(answer.get("stopped", ())),
        )

    async def finish(self, run_results: Sequence[RunResult]) -> Finished:
        """Write how attempts ended."""
        request = {
            "listener": self._id,
            "key_concurrency": self._key_concurrency,
            "results": [requests.run_result(run_result) for run_result in run_results],
            "logs": requests.logs(run_results),
        }
        answer = await self._rpc.call("finish_runs_v1", request, "taken", "rows")
        return Finished(frozenset(answer["taken"]), rows.readable(answer["rows"], rows.job))

    async def park(self, run: Held, why: str) -> None:
        """End a run whose result is refused."""
        refused = {"id": run[0], "fence": run[1], "error": why}
        await self._rpc.call("park_runs_v1", {"listener": self._id, "runs": [refused], "jobs": []}, "now")

    async def explain(self, job_id: int, why: str) -> None:
        """Say in a job's row why it cannot be claimed."""
        refused = {"id": job_id, "error": why}
        await self._rpc.call("park_runs_v1", {"listener": self._id, "runs": [], "jobs": [refused]}, "now")

    async def extend(self, executions: Sequence[Held], *, shares: bool, receives_notify: bool) -> Extended:
        """Extend claims, and send a heartbeat."""
        request = {
            "listener": self._id,
            "name": self._name,
            "lease_seconds": self._lease_seconds,
            "executions": list(executions),
            "shares": shares,
            "receives_notify": receives_notify,
            **self._handlers,
            **self._profile,
        }
        answer = await self._rpc.call("extend_leases_v1", request, "lost", "unsure", "listeners")
        others = answer.get("handlers") or {}
        has_alerts = bool(answer.get("has_alerts"))
        return Extended(_held(answer["lost"]), answer["listeners"] or {}, _held(answer["unsure"]), others, has_alerts)

    async def note(self, notes: Sequence[Note]) -> frozenset[str]:
        """Write progress and log lines of runs that have not ended; return the runs whose rows are locked just now."""
        request = {
            "listener": self._id,
            "notes": [requests.note(each) for each in notes],
            "logs": requests.logs(notes),
        }
        answer = await self._rpc.call("note_runs_v1", request, "now")
        return frozenset(answer.get("busy", ()))

    async def rescue(self) -> Rescued:
        """Take over the runs of dead listeners, and note which jobs wait because no live listener has their handler."""
        request = {"key_concurrency": self._key_concurrency, **self._unhandled, **self._permission}
        answer = await self._call_bounded("rescue_runs_v1", request, "rescued", "rows", "failures")
        self._on_skipped(answer.get("skipped", {}))
        failures = {failure["execution_id"]: failure["error"] for failure in answer["failures"]}
        unhandled = rows.readable(answer.get("unhandled", ()), rows.job)
        waiting = answer.get("waiting") or {"jobs": 0, "handlers": ()}
        jobs = rows.readable(answer["rows"], rows.job)
        return Rescued(answer["rescued"], jobs, failures, unhandled, waiting["jobs"], waiting["handlers"])

    async def end_unhandled(self, claims: Sequence[ClaimRequest]) -> Rescued:
        """End these instants, whose handler no live listener has, as failed."""
        request = {
            "listener": self._id,
            "key_concurrency": self._key_concurrency,
            **self._unhandled,
            "claims": [requests.claim(claim) for claim in claims],
        }
        answer = await self._rpc.call("end_unhandled_v1", request, "ended", "rows")
        return Rescued(answer["ended"], rows.readable(answer["rows"], rows.job))

    async def clean(self, retention_days: float) -> int:
        """Delete a batch of rows older than `retention_days`."""
        answer = await self._call_bounded(
            "clean_ledger_v1", {"retention_days": retention_days}, "deleted", most=CLEANUP_BATCH
        )
        return int(answer["deleted"])

    async def send_probe(self, channels: Collection[str]) -> list[str]:
        """Send a probe, a signal without a job, through these channels; returns those that the database can send on.

        Raises:
            StoreError: it is not known to have been sent.
        """
        request = {"listener": self._id, "channels": list(channels)}
        return list((await self._rpc.call("send_probe_v1", request, "channels"))["channels"])

    async def listen(self, seconds: float) -> bool:
        """Have each statement send a NOTIFY for so long; returns whether that has been so up to now.

        Raises:
            StoreError: it is not known to be so.
        """
        answer = await self._rpc.call("listen_v1", {"listener": self._id, "seconds": seconds}, "was_on")
        return bool(answer["was_on"])

    async def mute(self, seconds: float) -> datetime | None:
        """Ask that no statement notifies the listeners for so long; returns until when that is so.

        None also while Realtime is spared: then nothing needs to be muted.

        Raises:
            StoreError: it is not known to be so.
        """
        answer = await self._rpc.call("mute_v1", {"listener": self._id, "seconds": seconds}, "muted_until")
        until = answer["muted_until"]
        return rows.instant(until) if until != answer.get("spared_until") else None

    async def mute_notify(self, seconds: float) -> datetime | None:
        """Ask the same of NOTIFY; returns until when none is sent.

        Raises:
            StoreError: it is not known to be so.
        """
        request = {"listener": self._id, "seconds": seconds, "notify": True}
        answer = await self._rpc.call("mute_v1", request, "muted_until")
        return rows.instant(answer.get("notify_muted_until"))

    async def leave(self) -> None:
        """Announce that this listener leaves."""
        await self._rpc.call("leave_v1", {"listener": self._id})

    async def sync_changed(self, after: str | None, without: Sequence[str]) -> Summary:
        """Correct the jobs of some rows that changed, tenants in turn."""
        return await self._sync({"changed": True, "after": after, "without": [*without]}, most=CHANGED_ROWS)

    async def sync_all(self, after: str | None, without: Sequence[str]) -> Summary:
        """Correct the jobs of a page of all rows."""
        return await self._sync({"after": after, "without": [*without]}, most=PAGE)

    async def _sync(self, request: dict[str, Any], *, most: int) -> Summary:
        answer = await self._call_bounded("sync_sources_v1", request, "sources", "more", most=most)
        sources: dict[str, dict[str, Any]] = answer["sources"]
        counts = {name: {key: each for key, each in of.items() if type(each) is int} for name, of in sources.items()}
        failures = {name: of["failures"] for name, of in sources.items() if of.get("failures")}
        return Summary(counts, failures, answer.get("after"), answer["more"])

    async def _call_bounded(self, function: str, request: dict[str, Any], *fields: str, most: int = PAGE) -> Any:  # noqa: ANN401 - as Rpc
        """Call a function that takes a limit; after a fault that fewer rows may avoid, the next limit is smaller."""
        reduced = self._limits.get(function, most)
        limit = min(most, reduced)
        try:
            answer = await self._rpc.call(function, {**request, "limit": limit}, *fields)
        except StoreError as fault:
            if fault.split_batch:
                self._limits[function] = max(1, limit // 2)
            raise
        if limit == reduced < most:
            self._limits[function] = limit * 2
        return answer


def _held(pairs: list[list[Any]]) -> list[Held]:
    return [(execution_id, fence) for execution_id, fence in pairs]
