"""Decides what happens with a late due instant, and with those that passed meanwhile.

An instant that is late by no more than the grace still runs as if it were on time. One that is later is a misfire, and
the job's policy says whether it runs. Limits stop one neglected job from delaying the others: the latest instants
run, because they still matter; those beyond the limit are skipped. Many missed instants are settled in steps, the
earliest instants first, so that every one of them gets its outcome and no step takes long.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, islice
from typing import TYPE_CHECKING

from listener.domain.job import Misfire, Trigger
from listener.domain.schedule import next_run, upcoming

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

MAX_RUNS = 100
STEP = 500
"""Instants skipped at a time, 15 µs each to compute and as long to enter."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """The outcome of the due instants from the first one on: each one before `next_due` is in `run` or in `skipped`.

    Both ascend. `next_due` is later than now, or the first instant of the next step: then nothing runs
    yet. None means that the job is exhausted.
    """

    run: tuple[datetime, ...]
    skipped: tuple[datetime, ...]
    next_due: datetime | None


def settle(  # noqa: PLR0913 - the columns that decide it, and the bound
    trigger: Trigger, due: datetime, now: datetime, misfire: Misfire, grace_seconds: float, *, step: int = STEP
) -> Settlement:
    """Decide about `due` and the later due instants of the job up to `now`.

    Args:
        trigger: when the job is due.
        due: the first instant that has neither run nor been skipped; one of the trigger's, or that of a snooze.
        now: the present, aware.
        misfire: the policy for instants missed by more than the grace.
        grace_seconds: how late a run may start and still count as on time.
        step: how many instants may be skipped while more are left, at least 1.

    Raises:
        InvalidValueError: the trigger is not one that `schedule.validate` accepts.
    """
    on_time_from = now - timedelta(seconds=grace_seconds)
    follows = next_run(trigger, due)
    if on_time_from <= due <= now and (follows is None or follows > now):
        return Settlement((due,), (), follows)  # nothing was missed: the usual case
    instants = chain([due], upcoming(trigger, due))
    passed: list[datetime] = []
    follows = _take(instants, now, passed, step + 1)
    # The last few may run. None of the first `step` is among them, if the one after those is missed for good too.
    may_run = 0 if misfire is not Misfire.RUN_ALL and passed and passed[-1] < on_time_from else MAX_RUNS
    if len(passed) > step:
        follows = _take(instants, now, passed, may_run)
    if len(passed) > step + may_run:
        return Settlement((), tuple(passed[:step]), passed[step])
    run = _chosen(passed, on_time_from, misfire)
    running = set(run)
    return Settlement(run, tuple(instant for instant in passed if instant not in running), follows)


def _take(instants: Iterator[datetime], now: datetime, passed: list[datetime], count: int) -> datetime | None:
    """Append up to `count` instants that have passed; return the first one that has not, if there is one."""
    for instant in islice(instants, count):
        if instant > now:
            return instant
        passed.append(instant)
    return None


def _chosen(passed: list[datetime], on_time_from: datetime, misfire: Misfire) -> tuple[datetime, ...]:
    """Return the instants that run: always the last ones, so that an instant with `MAX_RUNS` later ones is skipped."""
    missed = [instant for instant in passed if instant < on_time_from]
    on_time = [instant for instant in passed if instant >= on_time_from]
    wanted = {Misfire.RUN_ONCE: missed[-1:], Misfire.RUN_ALL: missed, Misfire.SKIP: []}[misfire] + on_time
    return tuple(wanted[-MAX_RUNS:])
