"""The local wall-clock times of a schedule, before any time zone: a rule for dates and a set of times of day."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from listener.domain.days import DayRule

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LocalTimes:
    """Every combination of the hours, minutes and seconds (each ascending, none empty) on every date of `days`.

    `follows_clock` means that hours or minutes are a wildcard: such a schedule means "every so often", no time of day.
    """

    days: DayRule
    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...] = (0,)
    follows_clock: bool = False

    def at_or_after(self, local: datetime) -> datetime | None:
        """Return the first of these times not before `local` (naive, whole seconds); None when there is none.

        Raises:
            OverflowError: it would lie beyond the year 9999.
        """
        today = local.date()
        day = self.days.at_or_after(today)
        if day == today:
            found = self._later_that_day(local)
            if found is not None:
                return found
            day = self.days.at_or_after(today + _ONE_DAY)
        return None if day is None else self._on(day, self.hours[0], self.minutes[0], self.seconds[0])

    def __contains__(self, local: datetime) -> bool:
        """Whether `local` (naive, whole seconds) is one of these times."""
        return self.at_or_after(local) == local

    def _later_that_day(self, local: datetime) -> datetime | None:
        hours, minutes, seconds = self.hours, self.minutes, self.seconds
        hour = bisect_left(hours, local.hour)
        if hour < len(hours) and hours[hour] == local.hour:
            minute = bisect_left(minutes, local.minute)
            if minute < len(minutes) and minutes[minute] == local.minute:
                second = bisect_left(seconds, local.second)
                if second < len(seconds):
                    return self._on(local, hours[hour], minutes[minute], seconds[second])
                minute += 1
            if minute < len(minutes):
                return self._on(local, hours[hour], minutes[minute], seconds[0])
            hour += 1
        return self._on(local, hours[hour], minutes[0], seconds[0]) if hour < len(hours) else None

    @staticmethod
    def _on(day: date, hour: int, minute: int, second: int) -> datetime:
        return datetime(day.year, day.month, day.day, hour, minute, second)  # noqa: DTZ001 - a wall clock, no instant
