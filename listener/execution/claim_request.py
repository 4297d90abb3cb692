"""Builds the claim request for a job whose time is near; pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from listener.domain.job import HINTED, Misfire
from listener.domain.messages import ClaimRequest
from listener.domain.misfire import STEP, settle

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from listener.domain.job import Job, Trigger

MOST_MISSED = 5_000
"""Instants entered as missed in one request, which delays its other claims by about a tenth of a second."""
_NEVER_ON_TIME_SECONDS = -1.0


def step_for(jobs: Iterable[Job], now: datetime) -> int:
    """Return how many missed instants each of these jobs may enter in one request."""
    behind = sum(
        job.trigger is not None
        and job.due_at is not None
        and (now - job.due_at).total_seconds() > job.misfire_grace_seconds
        for job in jobs
    )
    return max(1, min(STEP, MOST_MISSED // max(1, behind)))


def claim_request(job: Job, now: datetime, step: int = STEP) -> ClaimRequest:
    """Compute the claim for a job at `now`: its due instant, what follows it, and what was missed.

    A job without a due instant near has a queued run in the ledger; the database knows which. Of a job with many missed
    instants, `step` are entered as missed, nothing runs yet, and `next_due` is the first one that is left.
    """
    if job.due_at is None or (job.next_run_at is not None and job.next_run_at < job.due_at):
        return ClaimRequest(job.id, None)
    if job.trigger is None:
        late = now - job.due_at > timedelta(seconds=job.misfire_grace_seconds)
        if late and job.misfire is Misfire.SKIP:
            return ClaimRequest(job.id, job.due_at, missed=(job.due_at,), missed_reason="misfire")
        return ClaimRequest(job.id, job.due_at, hinted=job.revision == HINTED)
    claim = _recurring(job, job.due_at, now, step)
    claim.defined_at = job.defined_at
    return claim


def _recurring(job: Job, due: datetime, now: datetime, step: int) -> ClaimRequest:
    """Compute which of the instants up to now runs, one at a time: the rest is claimed right afterwards."""
    assert job.trigger is not None, "a recurring job has a trigger"  # noqa: S101 - the caller has looked
    if job.defined_at is not None and due < job.defined_at:
        return _resumed(job, job.trigger, due, job.defined_at, step)
    settled = settle(job.trigger, due, max(now, due), job.misfire, job.misfire_grace_seconds, step=step)
    run = settled.run[0] if settled.run else None
    follows = settled.run[1] if len(settled.run) > 1 else settled.next_due
    missed = tuple(instant for instant in settled.skipped if follows is None or instant < follows)
    if run == due and not missed:
        return ClaimRequest(job.id, due, follows, exhausted=follows is None)
    exhausted = follows is None
    return ClaimRequest(job.id, due, follows, exhausted=exhausted, run=run, missed=missed, missed_reason="misfire")


def _resumed(job: Job, trigger: Trigger, due: datetime, resumed_at: datetime, step: int) -> ClaimRequest:
    """Skip the instants that passed during a pause: only a pause leaves an instant older than the definition."""
    until = resumed_at - timedelta(microseconds=1)
    passed = settle(trigger, due, until, Misfire.SKIP, _NEVER_ON_TIME_SECONDS, step=step)
    exhausted, follows = passed.next_due is None, passed.next_due
    return ClaimRequest(job.id, due, follows, exhausted=exhausted, missed=passed.skipped, missed_reason="paused")
