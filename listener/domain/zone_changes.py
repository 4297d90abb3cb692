"""Computes where a planned instant goes when the rules of its zone have changed since it was planned."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from listener.domain.schedule import next_run, upcoming

if TYPE_CHECKING:
    from listener.domain.job import Trigger

_TICK = timedelta(microseconds=1)
WINDOW = timedelta(hours=12)
"""No country moves its clocks further, but for those that cross the date line, whose times of day stay."""
MOST_BEFORE = 500
"""Instants looked through: of a schedule that has more in the window, the next one is near enough."""


def moved_instant(trigger: Trigger, planned: datetime, defined_at: datetime) -> datetime | None:
    """Return the instant that stands for the `planned` one by the present rules: the nearest, or `planned` itself.

    It may have passed. None: there is none.

    Raises:
        InvalidValueError: the trigger is not one that `validate` accepts.
    """
    later = next_run(trigger, planned - _TICK)
    if later == planned:
        return planned
    begin = max(planned - WINDOW, defined_at) - _TICK
    before = list(islice(takewhile(lambda instant: instant < planned, upcoming(trigger, begin)), MOST_BEFORE))
    if not before or len(before) == MOST_BEFORE:
        return later
    if later is None or planned - before[-1] <= later - planned:
        return before[-1]
    return later
