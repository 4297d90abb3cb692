"""Converts local times to instants: in a gap a local time does not exist, in a fold it occurs twice.

Two regimes, after Vixie cron. A schedule that follows the clock (a wildcard hour or minute) is due whenever the clock
shows one of its times: never in a gap, in both passes of a fold. A fixed time is an appointment: in a gap it is due at
the gap's end, or not at all; in a fold at the first pass, the second, or both, as the job says.

Either way each stream of instants ascends with its local times, so the first answer later than `after` is the next one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from listener.domain.days import HORIZON_YEARS
from listener.domain.job import DstFold, DstGap
from listener.domain.refusal import refuse_column

if TYPE_CHECKING:
    from listener.domain.local_times import LocalTimes

_SECOND = timedelta(seconds=1)
_UTC = ZoneInfo("UTC")
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,31}){0,3}", re.ASCII)
# Names under which an installation stores its own setting, or clocks that count leap seconds: not portable.
_LOCAL_NAMES = re.compile(r"(posix|right)/.*|localtime|posixrules|Factory", re.ASCII)


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the IANA zone `name`.

    Raises:
        InvalidValueError: there is none, in this spelling.
    """
    found = _load(name) if _ZONE_NAME.fullmatch(name) and not _LOCAL_NAMES.fullmatch(name) else None
    if found is None:
        refuse_column("timezone", name, 'an IANA time zone such as "Europe/Berlin"')
    return found


def _load(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):  # unknown; a directory such as "America"; a file that is no zone
        return None


def next_instant(times: LocalTimes, tz: ZoneInfo, after: datetime, gap: DstGap, fold: DstFold) -> datetime | None:
    """Return the first instant later than `after` (in UTC) at which one of `times` is due in `tz`, or None.

    Raises:
        OverflowError: it would lie beyond the year 9999.
    """
    if tz is _UTC:  # the usual one, and its clocks never change
        found = times.at_or_after(after.replace(tzinfo=None, fold=0, microsecond=0) + _SECOND)
        return None if found is None else found.replace(tzinfo=UTC)
    if times.follows_clock:
        gap, fold = DstGap.SKIP, DstFold.BOTH
    here = after.astimezone(tz)
    local = here.replace(tzinfo=None, fold=0, microsecond=0)
    first, second = _offsets(tz, local)
    if first == second:
        return _resolve(times, tz, local + _SECOND, gap, fold)
    begin, end = _changed(tz, local)
    if here.fold == 0 and fold is not DstFold.SECOND:
        found = times.at_or_after(local + _SECOND)
        if found is not None and found < end:
            return _instant(found, first)
    if fold is not DstFold.FIRST:
        found = times.at_or_after(local + _SECOND if here.fold else begin)
        if found is not None and found < end:
            return _instant(found, second)
    return _resolve(times, tz, end, gap, fold)


def offset_change(tz: ZoneInfo, instant: datetime) -> timedelta:
    """Return by how much clocks in `tz` are set forward at `instant` itself: zero at most instants."""
    after = instant.astimezone(tz).utcoffset()
    before = (instant - _SECOND).astimezone(tz).utcoffset()
    return (after or timedelta()) - (before or timedelta())


def _resolve(times: LocalTimes, tz: ZoneInfo, start: datetime, gap: DstGap, fold: DstFold) -> datetime | None:
    """Return the earliest instant of the local times from `start` on, which no pass of a fold precedes."""
    found = times.at_or_after(start)
    while found is not None and found.year <= start.year + HORIZON_YEARS:
        first, second = _offsets(tz, found)
        if first >= second:
            return _instant(found, second if fold is DstFold.SECOND else first)
        _, end = _changed(tz, found)
        if gap is DstGap.RUN_AFTER:
            return _instant(end, second)
        found = times.at_or_after(end)
    return None


def _offsets(tz: ZoneInfo, local: datetime) -> tuple[timedelta, timedelta]:
    """Return the UTC offsets of both readings of `local`: equal as a rule, falling in a fold, rising in a gap."""
    first = local.replace(tzinfo=tz).utcoffset()
    second = local.replace(tzinfo=tz, fold=1).utcoffset()
    return first or timedelta(), second or timedelta()


def _changed(tz: ZoneInfo, local: datetime) -> tuple[datetime, datetime]:
    """Return the local times [begin, end) that the clock change around `local` repeats or omits."""
    offsets = first, second = _offsets(tz, local)
    before, at = _instant(local, max(offsets)), _instant(local, min(offsets))
    while at - before > _SECOND:
        middle = (before + (at - before) / 2).replace(microsecond=0)
        if middle.astimezone(tz).utcoffset() == first:
            before = middle
        else:
            at = middle
    moment = at.replace(tzinfo=None)
    return moment + min(offsets), moment + max(first, second)


def _instant(local: datetime, offset: timedelta) -> datetime:
    return (local - offset).replace(tzinfo=UTC)
