"""Schedules at clock changes, over all IANA zones from 1970 to 2037, against an oracle that only reads clocks.

The oracle walks through an interval of absolute time in half minutes and notes what the zone's clock shows. From that
list alone it decides when each local time is due. It knows neither folds nor gaps of the `datetime` module.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from listener.domain.job import DstFold, DstGap, Trigger, TriggerType
from listener.domain.schedule import next_run, upcoming

pytestmark = pytest.mark.slow  # thousands of examples, each around a change of clocks

HALF_MINUTE, HOUR, DAY = timedelta(seconds=30), timedelta(hours=1), timedelta(days=1)
LONG_AGO = datetime(1900, 1, 1, tzinfo=UTC)
BUDGET = settings(max_examples=80)


def known_zones() -> list[str]:
    """The zones of the tzdata package, which every machine has in the same version."""
    names = files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return [name for name in names if name != "Factory"]


@lru_cache(maxsize=4096)
def changes(name: str, year: int) -> list[datetime]:
    """The instants of `year` at which clocks in the zone are set, found by reading the clock every half hour."""
    zone, start = ZoneInfo(name), datetime(year, 1, 1, tzinfo=UTC)
    steps = [start + HOUR / 2 * step for step in range(2 * 24 * 366)]
    return [
        next(t for t in (low + HALF_MINUTE * n for n in range(61)) if t.astimezone(zone).utcoffset() == after)
        for low, high in pairwise(steps)
        if low.astimezone(zone).utcoffset() != (after := high.astimezone(zone).utcoffset())
    ]


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and an instant, close to a change of its clocks if that year has one."""
    name = draw(st.sampled_from(known_zones()))
    year = draw(st.integers(1970, 2037))
    near = changes(name, year) or [datetime(year, 6, 1, tzinfo=UTC)]
    return name, draw(st.sampled_from(near)) + timedelta(seconds=draw(st.integers(-43_200, 43_200)))


MINUTES = st.sets(st.integers(0, 59), min_size=1, max_size=4)
HOURS = st.sets(st.one_of(st.integers(0, 3), st.integers(0, 23)), min_size=1, max_size=8)


def cron(name: str, minutes: str, hours: str, gap: DstGap = DstGap.RUN_AFTER, fold: DstFold = DstFold.FIRST) -> Trigger:
    """A job of these minutes and hours, every day."""
    expression = {"expression": f"{minutes} {hours} * * *"}
    return Trigger(TriggerType.CRON, LONG_AGO, expression, name, dst_gap=gap, dst_fold=fold)


def listed(values: set[int]) -> str:
    """The values as a cron field."""
    return ",".join(str(value) for value in sorted(values))


def readings(name: str, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """(instant, what the clock shows) for every half minute of [start, end]."""
    zone, steps = ZoneInfo(name), int((end - start) / HALF_MINUTE) + 1
    instants = (start + HALF_MINUTE * step for step in range(steps))
    return [(instant, instant.astimezone(zone).replace(tzinfo=None, fold=0)) for instant in instants]


def appointments(shown: list[tuple[datetime, datetime]], named, gap: DstGap, fold: DstFold) -> set[datetime]:
    """When fixed local times are due, by reading the clock."""
    passes = defaultdict(list)
    for instant, local in shown:
        if named(local):
            passes[local].append(instant)
    due = set()
    for instants in passes.values():
        due |= {DstFold.FIRST: {instants[0]}, DstFold.SECOND: {instants[-1]}, DstFold.BOTH: set(instants)}[fold]
    for (_, before), (instant, after) in pairwise(shown):
        left_out = (before + HALF_MINUTE * step for step in range(1, int((after - before) / HALF_MINUTE)))
        if gap is DstGap.RUN_AFTER and any(named(local) for local in left_out):
            due.add(instant)
    return due


def until(trigger: Trigger, start: datetime, end: datetime) -> list[datetime]:
    """The due instants later than `start`, up to `end`."""
    found = []
    for instant in upcoming(trigger, start):
        if instant > end:
            break
        found.append(instant)
    return found


@BUDGET
@given(moments(), MINUTES, HOURS, st.sampled_from(DstGap), st.sampled_from(DstFold))
def test_fixed_times_are_kept_as_the_job_says(moment, minutes: set[int], hours: set[int], gap: DstGap, fold: DstFold):
    """A fixed local time is due once a day; in a gap and in a fold as `dst_gap` and `dst_fold` say."""
    name, middle = moment
    start = middle.replace(second=0, microsecond=0) - HOUR * 18
    shown = readings(name, start - DAY, start + 3 * DAY)
    due = appointments(shown, lambda at: at.minute in minutes and at.hour in hours and at.second == 0, gap, fold)
    expected = sorted(instant for instant in due if start < instant <= start + 1.5 * DAY)
    trigger = cron(name, listed(minutes), listed(hours), gap, fold)
    assert until(trigger, start, start + 1.5 * DAY) == expected


@BUDGET
@given(moments(), st.sampled_from([("*/20", None), ("*/45", {1}), ("*", {0, 2}), ("0", None), ("7,30", None)]))
def test_wildcards_follow_the_clock(moment, fields):
    """A schedule with a wildcard hour or minute is due exactly when the clock shows one of its times."""
    name, middle = moment
    minutes, hours = fields
    step = {"*/20": {0, 20, 40}, "*/45": {0, 45}, "*": set(range(60)), "0": {0}, "7,30": {7, 30}}[minutes]
    start = middle.replace(second=0, microsecond=0) - HOUR * 12
    expected = [
        instant
        for instant, local in readings(name, start, start + DAY)
        if instant > start and local.second == 0 and local.minute in step and (hours is None or local.hour in hours)
    ]
    trigger = cron(name, minutes, listed(hours) if hours else "*")
    assert until(trigger, start, start + DAY) == expected


@BUDGET
@given(moments(), MINUTES, HOURS, st.tuples(st.sampled_from(DstGap), st.sampled_from(DstFold)), st.floats(0, 0.999))
def test_the_answer_is_the_same_from_anywhere_between_two_runs(
    moment, minutes: set[int], hours: set[int], rules: tuple[DstGap, DstFold], part: float
):
    """Instants ascend strictly, and however late or early in between the question comes, the next one is the same."""
    name, start = moment
    trigger = cron(name, listed(minutes), listed(hours), *rules)
    for earlier, later in pairwise([start, *islice(upcoming(trigger, start), 12)]):
        assert earlier < later
        between = earlier + (later - earlier) * part
        assert next_run(trigger, min(between, later - timedelta(microseconds=1))) == later


@BUDGET
@given(moments(), st.times(), st.sampled_from([DstFold.FIRST, DstFold.SECOND]))
def test_a_daily_job_runs_once_on_every_local_date(moment, time, fold: DstFold):
    """One run for each date that the zone's calendar has: the clocks may be set forward, back, or by a whole day."""
    name, start = moment
    schedule = {"time": f"{time:%H:%M:%S}"}
    trigger = Trigger(TriggerType.DAILY, LONG_AGO, schedule, name, dst_fold=fold)
    zone = ZoneInfo(name)
    runs = Counter(instant.astimezone(zone).date() for instant in islice(upcoming(trigger, start), 60))
    first, last = min(runs), max(runs)
    calendar = {local.date() for _, local in readings(name, start - DAY, start)[:1]}
    day = datetime(first.year, first.month, first.day, 12, tzinfo=UTC)
    while (local := day.astimezone(zone).date()) <= last:
        calendar.add(local)
        day += HOUR * 12
    for date_ in sorted(calendar):
        if first < date_ < last:
            assert runs[date_] == 1 + moved_over_midnight(zone, date_, time), date_


def moved_over_midnight(zone: ZoneInfo, day: date, time) -> int:
    """How many runs of the date before end up on `day`, because a gap reaches from their time to midnight or on."""
    before = datetime.combine(day - DAY, time).replace(second=0, microsecond=0)
    there = before.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return int(there.replace(tzinfo=None) != before and there.date() == day)


@BUDGET
@given(moments())
def test_an_hourly_cron_job_runs_every_3600_seconds(moment):
    """`0 * * * *` is due every hour of absolute time, unless clocks are set by something else than whole hours."""
    name, start = moment
    zone = ZoneInfo(name)
    for earlier, later in pairwise(islice(upcoming(cron(name, "0", "*"), start), 60)):
        shift = later.astimezone(zone).utcoffset() - earlier.astimezone(zone).utcoffset()
        assert later - earlier == HOUR or shift % HOUR


@BUDGET
@given(
    moments(),
    st.sampled_from(["0", "7", "30", "0,30", "*/20", "5-25/10"]),
    st.sampled_from(["*", "*/2", "0", "1", "2", "23", "1,2", "2,3", "0-4/2"]),
)
def test_cronsim_agrees_where_clocks_are_set_by_whole_hours_at_a_whole_hour(moment, minutes: str, hours: str):
    """Debian's rule, as cronsim has it, without its faults.

    Asked inside a repeated hour, it names an instant in the past; it loses runs where clocks are set by half an hour,
    and stands still where they are set a minute past the hour.
    """
    name, after = moment
    zone = ZoneInfo(name)
    offsets = {(after + HOUR * ahead).astimezone(zone).utcoffset() for ahead in range(24)}
    assume(all((one - other) % HOUR == timedelta() for one in offsets for other in offsets))
    assume(all(change.minute == change.second == 0 for change in changes(name, after.year)))
    after = after.replace(second=0)
    theirs = islice(CronSim(f"{minutes} {hours} * * *", after.astimezone(zone)), 14)
    later = sorted({instant.astimezone(UTC) for instant in theirs if instant.astimezone(UTC) > after})
    assert list(islice(upcoming(cron(name, minutes, hours), after), 10)) == later[:10]
