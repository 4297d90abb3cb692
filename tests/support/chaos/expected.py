"""Computes the due instants of a job from what clients defined: by the domain's arithmetic, not by the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from listener.domain.job import DstFold, DstGap, Trigger, TriggerType
from listener.domain.schedule import first_run, next_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ACTIVE = {"scheduled", "running"}
"""A job that has ended may be given a new time; that alone does not make it due."""
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass
class Stretch:
    """The due instants of one definition, from `first` on; those before `reached` must be in the ledger."""

    trigger: Trigger
    first: datetime | None
    reached: datetime = NEVER

    def instants(self) -> Iterator[datetime]:
        """Give them all, in order."""
        instant = self.first
        while instant is not None:
            yield instant
            instant = next_run(self.trigger, instant) if self.trigger.type != TriggerType.ONCE else None

    def required(self) -> Iterator[datetime]:
        """Give those that must be in the ledger."""
        return takewhile(lambda instant: instant < self.reached, self.instants())


def stretches(changes: Sequence[dict[str, Any]]) -> list[Stretch]:
    """Read the history of one job, in its order, into the stretches of due instants that it had."""
    found: list[Stretch] = []
    current: Stretch | None = None
    trigger: Trigger | None = None
    for change in changes:
        if change["definition"] is not None:
            trigger = read_trigger(change["definition"])
        assert trigger is not None, "a job begins with its definition"
        if change["by_service"]:
            _follow_service(current, change)
        elif change["status"] == "cancelled" or _is_paused_unplanned(change):
            _close(current, change)
            current = None
        elif change["definition"] is not None and not (_is_resumed(change) and current):
            _close(current, change)
            current = Stretch(trigger, _first(trigger, change)) if change["status"] in ACTIVE else None
            found += [current] if current else []
    return found


def read_trigger(definition: dict[str, Any]) -> Trigger:
    """Read the audit's words."""
    ends_at = definition["ends_at"]
    return Trigger(
        TriggerType(definition["type"]),
        datetime.fromisoformat(definition["run_date"]),
        definition["schedule"],
        definition["timezone"],
        datetime.fromisoformat(ends_at) if ends_at else None,
        DstGap(definition["dst_gap"]),
        DstFold(definition["dst_fold"]),
    )


def _first(trigger: Trigger, change: dict[str, Any]) -> datetime | None:
    if trigger.type == TriggerType.ONCE:
        return None if change["due"] == NEVER else change["due"]
    return first_run(trigger, change["defined_at"])


def _is_paused_unplanned(change: dict[str, Any]) -> bool:
    return change["status"] == "paused" and change["due"] is None


def _is_resumed(change: dict[str, Any]) -> bool:
    """Whether a pause ended with the due instant that it began with: the instants go on."""
    return change["old_status"] == "paused" and change["due"] is not None and change["due"] == change["old_due"]


def _close(stretch: Stretch | None, change: dict[str, Any]) -> None:
    """End a stretch at the instant that the service had yet to settle."""
    if stretch is not None:
        stretch.reached = change["old_due"] or datetime.min.replace(tzinfo=UTC)


def _follow_service(stretch: Stretch | None, change: dict[str, Any]) -> None:
    """A one-time job that is to run again at an instant that it has had gets a new one from the service."""
    is_moved = change["due"] not in (None, NEVER, change["old_due"])
    if stretch is not None and stretch.trigger.type == TriggerType.ONCE and is_moved:
        stretch.first = change["due"]
