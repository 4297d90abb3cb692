"""What becomes of a due instant that the service comes to late, and of those that passed meanwhile.

An instant that is late by no more than the grace still runs as if it were on time. One that is later is a misfire, and
the job's policy says whether it runs. Bounds keep one neglected job from holding up the others: the latest instants
run, because they are the ones that still matter; what has no room is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from listener.domain.definition import interval
from listener.domain.job import Misfire, Trigger, TriggerType
from listener.domain.schedule import next_run, upcoming

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

MAX_RUNS = 100
MAX_SKIPPED = 1_000
MAX_EXAMINED = 2_000
"""Instants looked at one by one, 15 µs each: a minute's cron job after a day and a half."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """The verdict on every due instant up to now: each is in `run` or in `skipped`, or counted in `more`.

    `run` and `skipped` ascend; `skipped` holds the earliest misfires, at most `MAX_SKIPPED`, and `more` how many others
    were skipped. `more_is_exact` is false where there were too many to count, and `more` is then a lower bound.
    `next_due` is later than now; None means that the job is exhausted.
    """

    run: tuple[datetime, ...]
    skipped: tuple[datetime, ...]
    next_due: datetime | None
    more: int = 0
    more_is_exact: bool = True


def settle(  # noqa: PLR0913 - the columns that decide it, and the bound
    trigger: Trigger, due: datetime, now: datetime, misfire: Misfire, grace_seconds: float, *, at_most: int = MAX_RUNS
) -> Settlement:
    """Decide about `due` and the later due instants of the job up to `now`.

    Args:
        trigger: when the job is due.
        due: the first instant that has neither run nor been skipped; one of the trigger's, or that of a snooze.
        now: the present, aware.
        misfire: the policy for instants missed by more than the grace.
        grace_seconds: how late a run may start and still count as on time.
        at_most: how many runs may start; the earliest give way.

    Raises:
        InvalidValueError: the trigger is not one that `schedule.validate` accepts.
    """
    if now < due:
        return Settlement((), (), due)
    passed = [due, *islice(_passed(trigger, due, now), MAX_EXAMINED)]
    counted = len(passed) <= MAX_EXAMINED
    latest = passed if counted else _latest(trigger, due, now, at_most)
    run = _chosen(latest, now - timedelta(seconds=grace_seconds), misfire, at_most)
    running = set(run)
    skipped = [instant for instant in passed if instant not in running]
    more, exact = len(skipped[MAX_SKIPPED:]), counted
    if not counted and trigger.type == TriggerType.INTERVAL:
        more, exact = _interval_count(trigger, due, now) - len(run) - MAX_SKIPPED, True
    return Settlement(run, tuple(skipped[:MAX_SKIPPED]), next_run(trigger, now), more, exact)


def _passed(trigger: Trigger, after: datetime, now: datetime) -> Iterator[datetime]:
    return takewhile(lambda instant: instant <= now, upcoming(trigger, after))


def _chosen(passed: list[datetime], on_time_from: datetime, misfire: Misfire, at_most: int) -> tuple[datetime, ...]:
    missed = [instant for instant in passed if instant < on_time_from]
    on_time = [instant for instant in passed if instant >= on_time_from]
    wanted = {Misfire.RUN_ONCE: missed[-1:], Misfire.RUN_ALL: missed, Misfire.SKIP: []}[misfire] + on_time
    return tuple(wanted[max(0, len(wanted) - at_most) :])


def _latest(trigger: Trigger, due: datetime, now: datetime, count: int) -> list[datetime]:
    """The last `count` due instants up to `now`, of many more: halve the search until few enough are left to list."""
    few, many = now, due
    while True:
        middle = many + (few - many) / 2
        found = list(islice(_passed(trigger, middle, now), 4 * count + 4))
        if len(found) < count:
            few = middle
        elif len(found) == 4 * count + 4:
            many = middle
        else:
            return found[len(found) - count :]


def _interval_count(trigger: Trigger, due: datetime, now: datetime) -> int:
    """How many instants of an interval lie in [due, now]."""
    step, start = interval(trigger.schedule), trigger.run_date
    end = now if trigger.ends_at is None else min(now, trigger.ends_at)
    return 1 + (end - start) // step - (due - start) // step
