"""The metrics at `/metrics`, as methods that report events; metric names occur here and in `run_tally`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, generate_latest

from listener.observability.run_tally import RunTally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LATENESS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 15, 60)
DURATION_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 1800)
POLL_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 15)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
FEED_STATES = ["down", "connecting", "joined", "receiving"]
"""`joined` has the join's reply; `receiving` has received a probe."""


class Metrics:
    """All metrics of one listener, in a registry of their own, so that two listeners in one process do not collide.

    Args:
        registry: the registry of the metrics; a new one when absent.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._runs()
        self._stages()
        self._feed()

    def _runs(self) -> None:
        of = self.registry
        self._tally = RunTally(DURATION_BUCKETS, LATENESS_BUCKETS)
        of.register(self._tally)
        self._running = Gauge("listener_runs_in_progress", "Runs between their start and their report.", registry=of)
        self._abandoned = Counter(
            "listener_threads_abandoned", "Plain handlers that did not stop in time.", registry=of
        )

    def _stages(self) -> None:
        of = self.registry
        self._pings = Counter("listener_heartbeat_pings", "Pings of the monitor, by outcome.", ["outcome"], registry=of)
        self._wheel = Gauge("listener_wheel_entries", "Jobs armed in the wheel.", registry=of)
        claims = Counter("listener_claims", "Claims, by the database's answer.", ["answer"], registry=of)
        self._granted, self._refused, self._taken = map(claims.labels, ("granted", "refused", "taken"))
        self._skipped = Counter(
            "listener_instants_skipped", "Due instants that ran nothing, by why.", ["reason"], registry=of
        )
        self._leases = Gauge("listener_leases_held", "Runs whose lease this listener holds.", registry=of)
        self._leases_lost = Counter("listener_leases_lost", "Leases that were taken over.", registry=of)
        self._rescued = Counter("listener_runs_rescued", "Runs taken over from listeners that died.", registry=of)
        self._alerts = Counter(
            "listener_alerts", "Alerts opened and resolved, and messages of them to send.", ["what"], registry=of
        )
        self._unwritten = Gauge("listener_reports_unwritten", "Reports that wait to be written.", registry=of)
        self._tasks = Gauge("listener_tasks", "Tasks on the loop.", registry=of)
        self._loop_lag = Histogram(
            "listener_loop_lag_seconds", "How late the loop wakes.", buckets=LAG_BUCKETS, registry=of
        )

        self._overdue = Gauge(
            "listener_work_overdue_seconds", "For how long work has waited although slots are free.", registry=of
        )

        self._not_armed = Gauge(
            "listener_due_not_armed", "Jobs that are due and wait, by what they wait for.", ["reason"], registry=of
        )
        self._without_handler = Gauge(
            "listener_jobs_without_handler", "Due jobs whose handler no live listener has.", registry=of
        )

    def _feed(self) -> None:
        of = self.registry
        self._hints = Counter("listener_feed_hints", "Hints, by the channel that rang.", ["source"], registry=of)
        self._missed = Counter(
            "listener_feed_changes_missed", "Changes that a poll found and no hint had announced.", registry=of
        )
        self._probes = Counter("listener_feed_probes", "Probes, by what came of it.", ["outcome"], registry=of)
        self._stale = Counter(
            "listener_feed_channels_stale", "Channels that went stale while others received.", ["channel"], registry=of
        )
        self._mutes = Counter(
            "listener_feed_mutes", "Requests to mute notifications, by the database's answer.", ["answer"], registry=of
        )
        self._unreadable = Counter(
            "listener_feed_frames_unreadable", "Frames of Realtime that its client could not read.", registry=of
        )
        self._sessions = Counter(
            "listener_feed_sessions", "Sessions begun, by feed: `realtime` or `notify`.", ["feed"], registry=of
        )
        self._state = Enum(
            "listener_feed_session", "State of each feed's session.", ["feed"], states=FEED_STATES, registry=of
        )
        self._poll = Histogram(
            "listener_poll_duration_seconds", "How long polls take.", buckets=POLL_BUCKETS, registry=of
        )
        self._poll_failures = Counter("listener_poll_failures", "Polls that failed.", registry=of)

    def run_ended(self, handler: str, status: str, lateness_seconds: float, duration_seconds: float) -> None:
        """Count an attempt that was started; `status` as in the ledger, or `snoozed`."""
        self._tally.started(handler, status, lateness_seconds, duration_seconds)

    def run_refused(self, handler: str, status: str) -> None:
        """Count an attempt whose handler was not called."""
        self._tally.refused(handler, status)

    def watch_running(self, count: Callable[[], int]) -> None:
        """Read the number of runs in progress from `count` at every scrape."""
        self._running.set_function(count)

    def thread_abandoned(self) -> None:
        """Count a plain handler that continued after its run had ended."""
        self._abandoned.inc()

    def watch_wheel(self, count: Callable[[], int]) -> None:
        """Read the number of the wheel's entries from `count` at every scrape."""
        self._wheel.set_function(count)

    def claims_answered(self, granted: int, refused: int, taken: int = 0) -> None:
        """Count the answers of one batch of claims."""
        self._granted.inc(granted)
        self._refused.inc(refused)
        self._taken.inc(taken)

    def alerts_evaluated(self, opened: int, resolved: int, deliveries: int) -> None:
        """Count what an evaluation of alert rules came to."""
        for what, count in (("opened", opened), ("resolved", resolved), ("deliveries", deliveries)):
            self._alerts.labels(what).inc(count)

    def instants_skipped(self, counts: Mapping[str, int]) -> None:
        """Count due instants that the database entered as skipped, by the ledger's reason."""
        for reason, count in counts.items():
            self._skipped.labels(reason).inc(count)

    def watch_leases(self, count: Callable[[], int]) -> None:
        """Read the number of leases held from `count` at every scrape."""
        self._leases.set_function(count)

    def leases_lost(self, count: int = 1) -> None:
        """Count leases that another listener took over."""
        self._leases_lost.inc(count)

    def runs_rescued(self, count: int) -> None:
        """Count runs taken over from a listener that died."""
        self._rescued.inc(count)

    def watch_unwritten(self, count: Callable[[], int]) -> None:
        """Read the number of reports that wait to be written from `count` at every scrape."""
        self._unwritten.set_function(count)

    def watch_tasks(self, count: Callable[[], int]) -> None:
        """Read the number of tasks on the loop from `count` at every scrape."""
        self._tasks.set_function(count)

    def loop_lagged(self, seconds: float) -> None:
        """Observe how late the loop woke."""
        self._loop_lag.observe(seconds)

    def work_waits(self, seconds: float) -> None:
        """Show for how long work has waited although slots are free."""
        self._overdue.set(seconds)

    def jobs_without_handler(self, count: int) -> None:
        """Set how many due jobs, of all listeners, wait for a handler; the database counts no more than 1000."""
        self._without_handler.set(count)

    def due_not_armed(self, reason: str, count: int) -> None:
        """Show how many jobs are due and wait for `memory`, `slots` or a `quota`."""
        self._not_armed.labels(reason).set(count)

    def hints_received(self, source: str, count: int = 1) -> None:
        """Count hints; `source` is the channel: `postgres_changes`, `broadcast` or `notify`."""
        self._hints.labels(source).inc(count)

    def changes_missed(self, count: int) -> None:
        """Count changes that only a poll found."""
        self._missed.inc(count)

    def probe_sent(self, outcome: str) -> None:
        """Count a probe: `sent`, or `unsent` where the database did not answer."""
        self._probes.labels(outcome).inc()

    def pinged(self, outcome: str) -> None:
        """Count a ping of the monitor: `sent` or `unsent`."""
        self._pings.labels(outcome).inc()

    def mute_answered(self, answer: str) -> None:
        """Count a request to mute notifications: `granted` or `refused`."""
        self._mutes.labels(answer).inc()

    def channel_stale(self, channel: str) -> None:
        """Count a channel that a session no longer receives."""
        self._stale.labels(channel).inc()

    def frame_unreadable(self) -> None:
        """Count a frame that could not be read."""
        self._unreadable.inc()

    def feed_session_begun(self, feed: str) -> None:
        """Count a session."""
        self._sessions.labels(feed).inc()

    def feed_state(self, feed: str, state: str) -> None:
        """Show the state of a feed's session, one of `FEED_STATES`."""
        self._state.labels(feed).state(state)

    def polled(self, seconds: float) -> None:
        """Observe a poll that succeeded."""
        self._poll.observe(seconds)

    def poll_failed(self) -> None:
        """Count a poll that failed."""
        self._poll_failures.inc()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
