"""Every IANA zone, every change of its clocks from 1970 to 2037: what schedules promise, without sampling.

Away from a change a zone is an offset, and one day is like another; so each change is looked at from two days before it
to two days after.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from listener.domain.job import DstFold, Trigger, TriggerType
from listener.domain.schedule import next_run, upcoming

pytestmark = pytest.mark.slow  # every change of every zone

LONG_AGO = datetime(1900, 1, 1, tzinfo=UTC)
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
TIMES = ["00:00:00", "01:30:00", "02:30:00", "23:59:59"]


def zones() -> list[list[str]]:
    """Every zone of the tzdata package, with those that are links to it."""
    tzdata = files("tzdata")
    alike: dict[bytes, list[str]] = {}
    for name in tzdata.joinpath("zones").read_text(encoding="utf-8").split():
        if name != "Factory":
            alike.setdefault(tzdata.joinpath("zoneinfo", *name.split("/")).read_bytes(), []).append(name)
    return list(alike.values())


@lru_cache(maxsize=1024)
def changes(name: str) -> list[datetime]:
    """The instants at which clocks in the zone are set, found by comparing days, then by halving."""
    zone, found, day = ZoneInfo(name), [], FIRST
    before = day.astimezone(zone).utcoffset()
    while day < LAST:
        low, day = day, day + DAY
        after = day.astimezone(zone).utcoffset()
        if after != before:
            found.append(_between(zone, low, day))
        before = after
    return found


def _between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    was = low.astimezone(zone).utcoffset()
    while high - low > SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == was else (low, middle)
    return high


def until(trigger: Trigger, start: datetime, end: datetime) -> list[datetime]:
    """The due instants later than `start`, up to `end`."""
    return list(takewhile(lambda instant: instant <= end, upcoming(trigger, start)))


def dates(zone: ZoneInfo, start: datetime, end: datetime) -> set[date]:
    """The local dates that the calendar shows between two instants."""
    steps = int((end - start) / HOUR)
    return {(start + HOUR * n).astimezone(zone).date() for n in range(steps + 1)}


def check_daily(name: str, change: datetime, time: str, fold: DstFold) -> None:
    """One run a local date, in strictly ascending order, the same from wherever it is asked."""
    zone = ZoneInfo(name)
    trigger = Trigger(TriggerType.DAILY, LONG_AGO, {"time": time}, name, dst_fold=fold)
    start, end = change - 2 * DAY, change + 2 * DAY
    runs = until(trigger, start, end)
    for earlier, later in pairwise(runs):
        assert earlier < later, (name, change, time)
        near = [moment for n in range(-8, 9) if earlier < (moment := change + n * HOUR / 4) < later]
        for asked in (earlier, earlier + (later - earlier) / 3, *near, later - timedelta(microseconds=1)):
            assert next_run(trigger, asked) == later, (name, asked, time)
    # A gap over midnight moves a run to the next date: it is counted where its own time lies, or would.
    own = Counter(_meant(zone, run, time) for run in runs)
    inside = sorted(dates(zone, start, end))[1:-1]
    assert all(own[day] == 1 for day in inside), (name, change, time, runs)


def _meant(zone: ZoneInfo, run: datetime, time: str) -> date:
    """The local date whose run this is: where the clock shows the time, else the date that the gap swallowed."""
    local = run.astimezone(zone)
    if f"{local:%H:%M:%S}" == time:
        return local.date()
    before = (run - SECOND).astimezone(zone)
    return before.date() if f"{before:%H:%M:%S}" < time else before.date() + DAY


def check_hourly(name: str, change: datetime) -> None:
    """An hour apart, wherever clocks are set by whole hours."""
    zone = ZoneInfo(name)
    trigger = Trigger(TriggerType.CRON, LONG_AGO, {"expression": "0 * * * *"}, name)
    runs = until(trigger, change - 4 * HOUR, change + 4 * HOUR)
    for earlier, later in pairwise(runs):
        shift = later.astimezone(zone).utcoffset() - earlier.astimezone(zone).utcoffset()
        assert later > earlier, (name, change)
        assert later - earlier == HOUR or shift % HOUR, (name, change, earlier, later)


def test_all_zones_are_looked_at() -> None:
    """None is left out, and every one is asked about each of its changes."""
    assert sum(len(names) for names in zones()) > 590
    assert len(changes("Europe/Berlin")) > 2 * 55
    assert sum(len(changes(names[0])) for names in zones()) > 10_000


def test_a_daily_job_runs_once_on_every_local_date_of_every_zone() -> None:
    """Through every change of clocks since 1970, at the first pass of a fold and at the second."""
    for names in zones():
        for n, change in enumerate(changes(names[0])):
            check_daily(
                names[n % len(names)], change, TIMES[n // 2 % len(TIMES)], (DstFold.FIRST, DstFold.SECOND)[n % 2]
            )
        for time in TIMES:
            check_daily(names[0], FIRST + 20_000 * DAY, time, DstFold.FIRST)


def test_an_hourly_job_runs_every_3600_seconds_in_every_zone() -> None:
    """Through every change of clocks since 1970."""
    for names in zones():
        for n, change in enumerate(changes(names[0])):
            check_hourly(names[n % len(names)], change)
