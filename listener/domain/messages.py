"""Requests to the database and their answers, as values. All instants are aware datetimes in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from listener.domain.job import Job, Run
    from listener.domain.outcome import LogLine
    from listener.domain.snapshot import Snapshot


NOTIFY = "notify"
"""The notification channel of PostgreSQL itself, which has mutes of its own."""
Held = tuple[str, int]
"""A held claim: an execution, and the fence of its claim."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, and the start of the next page (None: this was the last).

    `cursor` is the oldest transaction that was open when the page was read, and `snapshot` has all that were: polling
    from either misses nothing. `hints` report what stopped runs meanwhile, which rows do not show. Until
    `muted_until`, which may be past, no statement notifies the listeners through Realtime, until `notify_muted_until`
    not by NOTIFY either. Until `spared_until` the former is so because every live listener receives NOTIFY.
    """

    jobs: list[Job]
    cursor: int
    after: object | None
    hints: tuple[Hint, ...] = ()
    snapshot: Snapshot | None = None
    muted_until: datetime | None = None
    notify_muted_until: datetime | None = None
    spared_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The ids of the jobs to keep in memory: of each party its share, the first jobs of each party first.

    `complete_until`: all jobs to act on before that are listed. `left_out`: how many are due and were left out.
    """

    ids: list[int]
    cursor: int
    complete_until: datetime
    left_out: int = 0
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The first due instant of a recurring job at a revision; None when it has none.

    `error` is the reason why its due instants cannot be computed here; then `due` means nothing.
    """

    job_id: int
    revision: int
    due: datetime | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Replan:
    """A due instant that replaces another one of a job at a revision, because the rules of its zone have changed."""

    job_id: int
    revision: int
    was: datetime
    due: datetime


@dataclass(frozen=True, slots=True)
class ZoneDatabases:
    """The oldest zone database that plans may be made by, and whether a listener that has an older one is alive."""

    planned_by: str
    older: bool


@dataclass(slots=True)  # not frozen: one is made for every run, and that costs three times as much
class ClaimRequest:
    """A request to run a job's due instant.

    `due` is the due instant that the job must still have, None for a queued run of the ledger. `next_due`
    follows; `exhausted` means that no instant does. With `missed`, those instants become skipped in the ledger for
    `missed_reason`, and `run` is the instant to run instead of `due`, or None. `defined_at` names the definition from
    which they were computed: an edit may lead to the same `due`, and to another `next_due`. `hinted` means that only a
    notification named the job: the database grants it if the job runs once and is not skipped when it is late. `turn`
    listeners were to claim it before this one.
    """

    job_id: int
    due: datetime | None
    next_due: datetime | None = None
    exhausted: bool = False
    run: datetime | None = None
    missed: tuple[datetime, ...] | None = None
    missed_reason: str | None = None
    again: bool = False
    defined_at: datetime | None = None
    hinted: bool = False
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a batch of claim requests: granted runs, and the present state of other jobs.

    `full` says that the payloads of those granted are as large as one answer may be: others can be claimed at once.
    `bounded` names the workspaces and users that are at their quota of runs, so that jobs of theirs were not claimed.
    `taken` counts one-time jobs that another listener has claimed: they are in neither list. `stopped` names executions
    that granted ones replace.
    """

    runs: list[Run]
    jobs: list[Job]
    full: bool = False
    bounded: tuple[str, ...] = ()
    taken: int = 0
    stopped: tuple[str, ...] = ()


@dataclass(slots=True)  # not frozen: one is made for every run, and that costs three times as much
class RunResult:
    """The end of one attempt as the ledger takes it.

    `status` is a final status, or `queued` to hand the attempt back until `retry_at`; `failed` with `retry_at` queues
    the next attempt.
    """

    execution_id: str
    status: str
    completed_at: datetime
    fence: int = 1
    started_at: datetime | None = None
    reason: str | None = None
    result: Any = None
    error: str | None = None
    error_details: Mapping[str, Any] | None = None
    progress: float | None = None
    retry_at: datetime | None = None
    logs: tuple[LogLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """A note from a run in progress: its progress from 0 to 1, and its log lines since the previous note.

    `step` is the message of the progress; None where it is that of the previous note.
    """

    execution_id: str
    progress: float | None
    logs: tuple[LogLine, ...]
    fence: int = 1
    step: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer to a batch of run results: the executions written, and jobs that have to be armed again."""

    taken: frozenset[str]
    jobs: list[Job]


@dataclass(frozen=True, slots=True)
class Extended:
    """Executions whose claim is lost, and the last heartbeat of each listener alive, by id.

    A heartbeat only matters as equal to, or different from, the previous one. `handlers` has the names of the handlers
    of each listener that does not have the same as this one. `has_alerts`: there are alert rules to evaluate.
    """

    lost: list[Held]
    listeners: Mapping[str, object]
    unsure: list[Held] = field(default_factory=list)
    handlers: Mapping[str, Collection[str]] = field(default_factory=dict)
    has_alerts: bool = False


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The answer to an evaluation of alert rules: alerts opened and resolved, messages to send, time to the next."""

    opened: int
    resolved: int
    deliveries: int
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Rescued:
    """The answer to a rescue: the number of runs ended, the jobs to arm, and the errors of the other runs.

    `unhandled` are jobs whose handler no live listener has had for so long that their instants end. `waiting` due jobs,
    1000 at most, name the `missing` handlers, 20 at most, that no live listener has now.
    """

    runs: int
    jobs: list[Job]
    failures: Mapping[str, str] = field(default_factory=dict)
    unhandled: list[Job] = field(default_factory=list)
    waiting: int = 0
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Hint:
    """The content of a notification about one table; it may be late, doubled, lost or forged. A poll's is the table's.

    `jobs` are plain one-time jobs, sent whole; `gone` are the ids of deleted rows; `ids` are those of changed
    rows if the channel sent them. A hint without any of the three means: poll now, unless you have seen
    everything up to transaction `xid`.
    """

    source: str
    table: str
    jobs: tuple[Job, ...] = ()
    gone: tuple[int, ...] = ()
    ids: tuple[str, ...] = ()
    xid: int | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The answer to a synchronisation of sources: counts by source, and the rows that failed.

    A failure has `key` and `error`. `after` continues a page or round; `more`: changed rows are left.
    """

    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    failures: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    after: str | None = None
    more: bool = False
