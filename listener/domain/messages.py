"""What goes to the database and comes back, as values. All instants are aware datetimes in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from listener.domain.job import Job, Run
    from listener.domain.outcome import LogLine


Held = tuple[str, int]
"""What a listener claimed: an execution, and which claim of it."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, and where the next page begins (None: this was the last).

    `cursor` is the oldest transaction that was open when the page was read: polling from there misses nothing. `hints`
    tell what stopped runs meanwhile, which rows do not show.
    """

    jobs: list[Job]
    cursor: int
    after: object | None
    hints: tuple[Hint, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """The ids of the jobs to keep in memory, of each party its share, the first of each party first.

    `complete_until`: nothing to act on before that was left out. `left_out`: how many are due and were.
    """

    ids: list[int]
    cursor: int
    complete_until: datetime
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The first due instant of a recurring job at a revision; None when it has none.

    `error` says why its due instants cannot be computed here; then `due` says nothing.
    """

    job_id: int
    revision: int
    due: datetime | None
    error: str | None = None


@dataclass(slots=True)  # not frozen: one is made for every run, and that costs three times as much
class ClaimRequest:
    """A request to run a job's due instant.

    `due` is the due instant that the job must still have, None when a run that waits in the ledger is meant. `next_due`
    follows; `exhausted` says that nothing does. With `missed`, those instants are entered in the ledger as skipped for
    `missed_reason`, and `run` is the instant to run instead of `due`, or None. `defined_at` tells the definition from
    which they were computed: an edit may lead to the same `due`, and to another `next_due`.
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


@dataclass(frozen=True, slots=True)
class Claimed:
    """What became of a batch of claims: runs granted, and the present state of other jobs.

    `bounded`: the workspaces and users that are at their quota of runs, so that jobs of theirs were not claimed.
    """

    runs: list[Run]
    jobs: list[Job]
    bounded: tuple[str, ...] = ()


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
    """What a run told while it goes on: how far it is, from 0 to 1, and what it logged since the last note."""

    execution_id: str
    progress: float | None
    logs: tuple[LogLine, ...]
    fence: int = 1


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a batch of run results: the executions written, and jobs that have to be armed again."""

    taken: frozenset[str]
    jobs: list[Job]


@dataclass(frozen=True, slots=True)
class Extended:
    """Executions whose claim is lost, and the last heartbeat of each listener alive, by id.

    All that counts of a heartbeat is whether it is another one than before.
    """

    lost: list[Held]
    listeners: Mapping[str, object]
    unsure: list[Held] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rescued:
    """How many runs were taken from the dead, the jobs to arm for it, and why the others could not be ended."""

    runs: int
    jobs: list[Job]
    failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hint:
    """What a channel says of a table; it may be late, doubled or lost.

    `jobs` are plain one-time jobs that travelled whole; `gone` are the ids of deleted rows; `ids` are those of changed
    rows where the channel told them. A hint without any of the three means: poll now, unless you have seen
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
    """What a look at meetings did; `after` continues a page of all, `cursor` the next poll."""

    counts: Mapping[str, int] = field(default_factory=dict)
    cursor: int = 0
    after: str | None = None
