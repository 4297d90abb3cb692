"""All stages of one listener, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from listener.maintenance.cleaner import Cleaner
    from listener.maintenance.lease_keeper import LeaseKeeper
    from listener.maintenance.publisher import Publisher
    from listener.maintenance.pulse import Pulse
    from listener.maintenance.recorder import Recorder
    from listener.maintenance.rescuer import Rescuer
    from listener.pipeline.agenda import Agenda
    from listener.pipeline.completer import Completer
    from listener.pipeline.dispatcher import Dispatcher
    from listener.pipeline.executor import Executor
    from listener.pipeline.planner import Planner
    from listener.pipeline.reconciler import Reconciler
    from listener.pipeline.reflector import Reflector
    from listener.pipeline.timekeeper import Timekeeper
    from listener.reactions.meetings import Meetings
    from listener.supabase.feed import RealtimeFeed


@dataclass(frozen=True, slots=True)
class Stages:
    """What a row passes on its way, in that order, and the agents that keep the table honest."""

    feed: RealtimeFeed
    reflector: Reflector
    reconciler: Reconciler
    planner: Planner
    agenda: Agenda
    timekeeper: Timekeeper
    dispatcher: Dispatcher
    executor: Executor
    completer: Completer
    lease_keeper: LeaseKeeper
    rescuer: Rescuer
    recorder: Recorder
    cleaner: Cleaner
    pulse: Pulse
    publisher: Publisher
    meetings: Meetings | None

    def describe(self) -> dict[str, Any]:
        """Describe what each is doing."""
        return {
            "feed_state": self.feed.state,
            "feed_sessions": self.feed.sessions,
            "jobs_armed": len(self.agenda),
            "next_due_ms": self.agenda.next_due(),
            "jobs_waiting_for_room": self.dispatcher.waiting,
            "runs_executing": self.dispatcher.executing,
            "reports_unwritten": self.completer.unwritten,
            "listeners": self.lease_keeper.listeners,
            "meetings": self.meetings.summary if self.meetings else None,
        }
