"""Compares what happened with what was promised; every breach is a violation with a kind and a subject."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from chaos.expected import NEVER, stretches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from chaos.evidence import Evidence, Record

FINAL_JOBS = {"completed", "failed", "cancelled"}
FINAL_RUNS = {"completed", "failed", "cancelled", "skipped"}
EARLY = timedelta(milliseconds=50)
"""The listener knows the database's clock by estimate."""
WAKING = timedelta(seconds=2)
"""How long a process that was frozen, or whose wall clock we compare, may take to come to itself."""


@dataclass(frozen=True)
class Violation:
    """A promise that was broken."""

    kind: str
    subject: str


def check(evidence: Evidence) -> list[Violation]:
    """Give every violation in what is left of a run that has come to rest."""
    checks = (
        lost_jobs, missing_instants, phantom_instants, unfinished_runs, broken_attempts, overwritten_ends,
        foreign_writes, two_claims, two_handlers, unrecorded_ends, early_starts, wrong_counts,
    )  # fmt: skip
    return [violation for each in checks for violation in each(evidence)]


def lost_jobs(evidence: Evidence) -> Iterator[Violation]:
    """Jobs that have not come to their end, although nothing is left to wait for."""
    for job in evidence.jobs:
        if job["status"] not in FINAL_JOBS:
            yield Violation("lost job", f"{_named(job)} is {job['status']}, due {job['due_at']}")


def missing_instants(evidence: Evidence) -> Iterator[Violation]:
    """Due instants of the definition without a row in the ledger."""
    entered = _instants(evidence)
    for job, history in evidence.histories.items():
        for stretch in stretches(history):
            for instant in stretch.required():
                if instant not in entered[job]:
                    yield Violation("due instant without a row", f"job {job} at {instant}")


def phantom_instants(evidence: Evidence) -> Iterator[Violation]:
    """Rows in the ledger for instants that the job never had."""
    entered = _instants(evidence)
    for job, instants in entered.items():
        had = {instant for stretch in stretches(evidence.histories[job]) for instant in stretch.instants()}
        for instant in instants - had:
            yield Violation("row for an instant that the job never had", f"job {job} at {instant}")


def unfinished_runs(evidence: Evidence) -> Iterator[Violation]:
    """Rows that are not final."""
    for run in evidence.runs:
        if run["status"] not in FINAL_RUNS:
            yield Violation("row that is not final", _of(run))


def broken_attempts(evidence: Evidence) -> Iterator[Violation]:
    """Attempts at one instant that contradict each other: one after an end, none after a failure, gaps, two ends."""
    most = {job["id"]: job["max_attempts"] for job in evidence.jobs}
    for attempts in _by_instant(evidence).values():
        numbers = [run["attempt"] for run in attempts]
        if numbers != list(range(1, len(numbers) + 1)):
            yield Violation("attempts not in sequence", f"{_of(attempts[0])}: {numbers}")
        if any(run["status"] != "failed" for run in attempts[:-1]):
            yield Violation("attempt after an end", _of(attempts[-1]))
        last = attempts[-1]
        is_over = last["status"] == "failed" and last["stopped_at"] is None  # a cancelled job gets no other attempt
        if is_over and last["attempt"] < most.get(last["scheduled_job_id"], 0):
            yield Violation("failure without another attempt", _of(last))


def overwritten_ends(evidence: Evidence) -> Iterator[Violation]:
    """Final rows that were written again: somebody who had lost the lease was let in."""
    for run, changes in evidence.changes.items():
        for change in changes:
            if change["old_status"] in FINAL_RUNS:
                yield Violation(
                    "write accepted after the end", f"run {run}: {change['old_status']} to {change['status']}"
                )
            elif change["old_status"] == change["status"] == "running":
                yield Violation("running run taken by another listener", f"run {run}")


def foreign_writes(evidence: Evidence) -> Iterator[Violation]:
    """Results that another process made than the one that held the claim."""
    for run in evidence.runs:
        if run["status"] == "completed":
            holder, author = evidence.pids.get(run["listener_id"]), (run["result"] or {}).get("pid")
            if holder != author:
                yield Violation(
                    "result of a listener that did not hold the claim", f"{_of(run)}: {author}, not {holder}"
                )


def two_claims(evidence: Evidence) -> Iterator[Violation]:
    """Two claims at a time at one due instant."""
    for attempts in _by_instant(evidence).values():
        spans = sorted(
            ((claim.since, claim.until or NEVER) for run in attempts for claim in evidence.claims.get(run["id"], ())),
        )
        for (_, until), (since, _) in pairwise(spans):
            if since < until:
                yield Violation("two claims of one due instant at a time", _of(attempts[0]))


def two_handlers(evidence: Evidence) -> Iterator[Violation]:
    """Two handlers at a time at one due instant, except beside a process that could not know: it was frozen."""
    cause = {str(run["id"]): run["cause"] for run in evidence.runs}
    by_instant: dict[Any, list[Record]] = defaultdict(list)
    for record in evidence.records:
        by_instant[record.job, record.scheduled_for, cause.get(record.execution_id)].append(record)
    for records in by_instant.values():
        records.sort(key=lambda record: record.began)
        for first, second in pairwise(records):
            if second.began < _end(first, evidence) and not _was_frozen(first, second, evidence):
                yield Violation(
                    "two handlers of one due instant at a time",
                    f"job {first.job} at {first.scheduled_for}: pid {first.pid} {first.began} to {first.ended}, "
                    f"pid {second.pid} {second.began}",
                )


def unrecorded_ends(evidence: Evidence) -> Iterator[Violation]:
    """Ledger and handlers that contradict each other: an end that no handler came to, a call that is in no row."""
    done = {record.execution_id for record in evidence.records if record.how == "done"}
    known = {str(run["id"]) for run in evidence.runs}
    for run in evidence.runs:
        if run["status"] == "completed" and str(run["id"]) not in done:
            yield Violation("completed without a handler's end", _of(run))
    for record in evidence.records:
        if record.execution_id not in known:
            yield Violation("handler called without a row", f"run {record.execution_id}")


def early_starts(evidence: Evidence) -> Iterator[Violation]:
    """Handlers that began before their time."""
    for record in evidence.records:
        if record.began < record.scheduled_for - EARLY:
            yield Violation("started early", f"job {record.job} at {record.scheduled_for}: {record.began}")


def wrong_counts(evidence: Evidence) -> Iterator[Violation]:
    """Jobs at rest whose own columns contradict the ledger."""
    by_job: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for run in evidence.runs:
        by_job[run["scheduled_job_id"]].append(run)
    for job in evidence.jobs:
        good = sum(run["status"] == "completed" for run in by_job[job["id"]])
        if job["successful_runs"] != good:
            yield Violation(
                "successful_runs contradicts the ledger", f"{_named(job)}: {job['successful_runs']}, not {good}"
            )
        if job["status"] in FINAL_JOBS:
            for column, rest in (("queued_runs", 0), ("next_run_at", None), ("claimed_by", None)):
                if job[column] != rest:
                    yield Violation(f"{column} of a job at rest", f"{_named(job)}: {job[column]}")


def _end(record: Record, evidence: Evidence) -> datetime:
    return record.ended or evidence.gone(record.pid) or NEVER


def _was_frozen(first: Record, second: Record, evidence: Evidence) -> bool:
    return any(
        since < second.began and _end(first, evidence) < until + WAKING and first.began < until
        for since, until in evidence.frozen(first.pid)
    )


def _instants(evidence: Evidence) -> dict[int, set[datetime]]:
    entered: dict[int, set[datetime]] = defaultdict(set)
    for run in evidence.runs:
        if run["cause"] == "schedule":
            entered[run["scheduled_job_id"]].add(run["scheduled_for"])
    return entered


def _by_instant(evidence: Evidence) -> dict[Any, list[dict[str, Any]]]:
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for run in evidence.runs:
        found[run["scheduled_job_id"], run["scheduled_for"], run["cause"]].append(run)
    return found


def _named(job: dict[str, Any]) -> str:
    return f"job {job['id']} ({job['job_id']}, {job['trigger_type']}, overlap {job['overlap']})"


def _of(run: dict[str, Any]) -> str:
    return (
        f"job {run['scheduled_job_id']} {run['cause']} {run['scheduled_for']} attempt {run['attempt']} "
        f"{run['status']} {run['reason']} (run {run['id']})"
    )
