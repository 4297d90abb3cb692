"""All stages of one listener, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from listener.app.feeds import Feeds
    from listener.execution.completer import Completer
    from listener.execution.dispatcher import Dispatcher
    from listener.execution.executor import Executor
    from listener.maintenance.activity import ActivityCounter
    from listener.maintenance.alerts import AlertEvaluator
    from listener.maintenance.cleaner import Cleaner
    from listener.maintenance.lease_keeper import LeaseKeeper
    from listener.maintenance.publisher import Publisher
    from listener.maintenance.recorder import Recorder
    from listener.maintenance.rescuer import Rescuer
    from listener.maintenance.watchdog import Watchdog
    from listener.scheduling.agenda import Agenda
    from listener.scheduling.muter import Muter
    from listener.scheduling.planner import Planner
    from listener.scheduling.reconciler import Reconciler
    from listener.scheduling.reflector import Reflector
    from listener.scheduling.replanner import Replanner
    from listener.scheduling.sources import SourceSync
    from listener.scheduling.timekeeper import Timekeeper

ARMED_SHOWN = 20
"""How many of the next jobs `/debug/scheduler` lists."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages that a row passes, in that order, and the maintenance agents."""

    feeds: Feeds
    reflector: Reflector
    muter: Muter
    reconciler: Reconciler
    planner: Planner
    replanner: Replanner
    agenda: Agenda
    timekeeper: Timekeeper
    dispatcher: Dispatcher
    executor: Executor
    completer: Completer
    lease_keeper: LeaseKeeper
    rescuer: Rescuer
    recorder: Recorder
    cleaner: Cleaner
    activity_counter: ActivityCounter
    alert_evaluator: AlertEvaluator
    watchdog: Watchdog
    publisher: Publisher
    sources: SourceSync

    def describe(self) -> dict[str, Any]:
        """Describe the state of each stage."""
        return {
            **self.feeds.describe(),
            "jobs_armed": len(self.agenda),
            "next_due_ms": self.agenda.next_due(),
            "armed_next": [
                {"id": job.id, "next_run_at": job.next_run_at and job.next_run_at.isoformat()}
                for job in self.agenda.upcoming(ARMED_SHOWN)
            ],
            "jobs_waiting_for_slot": self.dispatcher.waiting,
            "runs_executing": self.dispatcher.executing,
            "reports_unwritten": self.completer.unwritten,
            "listeners": self.lease_keeper.listeners,
            "evaluates_alerts": self.alert_evaluator.is_evaluating,
            "meetings": self.sources.meetings,
            "sources": self.sources.summary,
        }
