"""The executor runs handlers.

Takes claimed runs. Gives a report for each. Guarantees that nothing a handler does, except blocking the
loop, affects another run: every end is an outcome, and only the cancellation of the whole service passes through.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import structlog
from anyio import CapacityLimiter, get_cancelled_exc_class
from anyio.lowlevel import checkpoint_if_cancelled

from listener.domain.outcome import Failed
from listener.execution import admission, open_scopes, outcome_mapping
from listener.execution.fair_limiter import FairLimiter
from listener.execution.forks import leave_if_child
from listener.execution.reporter import Reporter, identity
from listener.execution.run_result import SHUTDOWN
from listener.execution.shared_resources import SharedResources
from listener.execution.threads import ThreadCall
from listener.execution.worker import Task
from listener.execution.worker_pool import WorkerPool
from listener.handler_api.context import JobContext, Surroundings
from listener.handler_api.payload import misfit
from listener.masking.masker import Masker
from listener.masking.redaction import hiding, redact_json, redact_text
from listener.observability.events import Event
from listener.observability.metrics import Metrics
from listener.runs.claimed_run import ClaimedRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack

    from anyio import CancelScope

    from listener.domain.job import Run
    from listener.domain.outcome import Outcome, Report
    from listener.handler_api.registry import Handler, Registry
    from listener.ports import Clock


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that all handlers share."""

    threads: int = 64
    processes: int = os.cpu_count() or 2
    tenant_share: float = 0.8  # the part of either, and of a handler's own places, that one tenant or user may take
    thread_grace_seconds: float = 5.0  # between the request to stop a thread and its abandonment
    task_grace_seconds: float = 5.0  # between cancelling an async handler and abandoning it
    sizes: outcome_mapping.Sizes = field(default_factory=outcome_mapping.Sizes)


class Executor:
    """Runs handlers on the loop, in threads and in processes.

    Args:
        registry: the handlers.
        clock: the database's clock.
        client_factory: makes a Supabase client for a run that uses one.
        metrics: where run results are counted.
        limits: limits that all handlers share.
        options: settings that handlers may read, as `JobContext.options`.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        registry: Registry,
        clock: Clock,
        client_factory: Callable[[], Any],
        metrics: Metrics | None = None,
        limits: Limits | None = None,
        *,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._registry, self._clock = registry, clock
        self._metrics, self._limits = metrics or Metrics(), limits or Limits()
        self._sizes, self._grace_seconds = self._limits.sizes, self._limits.task_grace_seconds
        self._shared, self._workers = SharedResources(), WorkerPool()
        self._surroundings = Surroundings(clock, client_factory, options or {}, self._shared.get)
        share = self._limits.tenant_share
        self._threads, self._processes = (FairLimiter(n, share) for n in (self._limits.threads, self._limits.processes))
        self._own = {each.name: FairLimiter(each.concurrency, share) for each in registry if each.concurrency}
        self._readers = CapacityLimiter(1)  # of large payloads: the thread takes the interpreter from the loop
        self._log = structlog.get_logger("executor").bind()
        self._reporter = Reporter(clock, self._metrics, self._log)
        self._running: set[ClaimedRun] = set()
        self.abandoned_threads = 0
        self._metrics.watch_running(lambda: len(self._running))

    def prepare(self, run: Run) -> ClaimedRun:
        """Find the handler and validate the payload, before the run is due; never raises."""
        context = JobContext(run, self._surroundings)
        handler = self._registry.get(run.handler)
        claimed_run = ClaimedRun(run, context, handler, None)
        if handler is None:
            claimed_run.refusal = outcome_mapping.no_handler(run.handler, self._registry.names)
            return claimed_run
        claimed_run.refusal = admission.refusal(run, exposed=handler.exposed)
        if claimed_run.refusal is not None:
            return claimed_run
        claimed_run.is_unread = handler.payload.is_large(run.payload)
        if not claimed_run.is_unread:
            _read(claimed_run, handler)
        return claimed_run

    async def execute(self, claimed_run: ClaimedRun) -> Report:
        """Start the handler now, and report its outcome.

        A run cancelled through `ClaimedRun.cancel` reports `Cancelled`; the cancellation of the surrounding scope
        passes through, and there is no report.
        """
        if claimed_run.is_unread and claimed_run.handler is not None:
            await anyio.to_thread.run_sync(_read, claimed_run, claimed_run.handler, limiter=self._readers)
        if claimed_run.context.masker is None:
            return await self._execute(claimed_run)
        with hiding(claimed_run.context.masker):
            return await self._execute(claimed_run)

    async def _execute(self, claimed_run: ClaimedRun) -> Report:
        outcome: Outcome | None = claimed_run.refusal or claimed_run.cancelled
        if outcome is None:
            self._running.add(claimed_run)
            try:
                outcome = await self._run(claimed_run)
            finally:
                self._running.discard(claimed_run)
        return self._reporter.report(claimed_run, outcome)

    async def aclose(self) -> None:
        """Close the resources that handlers share, and end the worker processes at rest."""
        await self._workers.aclose()
        await self._shared.aclose()

    def lost(self, claimed_run: ClaimedRun, error: BaseException | None = None) -> Report:
        """Report a run whose task ended without a report: its handler has done something to the task."""
        failed = outcome_mapping.task_cancelled()
        if error is not None and not isinstance(error, get_cancelled_exc_class()):
            failed = replace(failed, error=f"{type(error).__name__}: the handler's task was ended by it")
        return self._reporter.report(claimed_run, claimed_run.cancelled or failed)

    def stuck(self) -> list[tuple[ClaimedRun, Report]]:
        """Report the async handlers that did not stop in time; to be called now and then.

        At shutdown there is none: no other listener may start a run while its handler continues here.
        """
        now, found = self._clock.monotonic(), []
        for claimed_run in self._running:
            scope, cancelled = claimed_run.scope, claimed_run.cancelled
            if scope is None or not scope.cancel_called or (cancelled and cancelled.reason == SHUTDOWN):
                continue
            if claimed_run.stopping_since is None:
                claimed_run.stopping_since = now
            is_on_loop = claimed_run.handler is not None and claimed_run.handler.mode == "loop"
            if is_on_loop and not claimed_run.reported and now - claimed_run.stopping_since > self._grace_seconds:
                found.append((claimed_run, scope))
        return [(claimed_run, self._abandon_task(claimed_run, scope)) for claimed_run, scope in found]

    def _abandon_task(self, claimed_run: ClaimedRun, scope: CancelScope) -> Report:
        open_scopes.stop_cancelling(scope)
        self._log.warning(Event.RUN_TASK_ABANDONED, **identity(claimed_run))
        timed_out = outcome_mapping.timed_out(self._limit_seconds(claimed_run))
        unwilling = replace(timed_out, error=f"{timed_out.error}, and goes on although it was cancelled")
        return self._reporter.report(claimed_run, claimed_run.cancelled or unwilling)

    async def _run(self, claimed_run: ClaimedRun) -> Outcome:
        handler, seconds = claimed_run.handler, self._limit_seconds(claimed_run)
        assert handler is not None, "a run without a handler was refused"  # noqa: S101 - states what `prepare` ensures
        outcome: Outcome | None = None
        is_plain = handler.mode == "loop" and handler.concurrency is None  # it starts at once
        scope = open_scopes.scope_for(seconds if is_plain else None)
        try:
            with scope:
                claimed_run.runs_in(scope)
                if is_plain:
                    outcome = await self._attempt(claimed_run, handler, scope)
                else:
                    outcome = await self._attempt_in_slot(claimed_run, handler, scope, seconds)
        except get_cancelled_exc_class():
            await checkpoint_if_cancelled()  # raises again, unless the handler has cancelled its own task
            outcome = outcome or outcome_mapping.task_cancelled()
        except BaseException as error:  # noqa: BLE001 - anyio's complaint of a scope that the handler left open
            open_scopes.leave_open_scopes()
            outcome = self._judged(claimed_run, error)
        if claimed_run.cancelled is not None:
            return claimed_run.cancelled
        if outcome is None or (scope.cancel_called and isinstance(outcome, Failed)):
            return outcome_mapping.timed_out(seconds)  # the exception of a stopped handler is not the cause
        return outcome

    @staticmethod
    def _limit_seconds(claimed_run: ClaimedRun) -> float:
        seconds, handler = claimed_run.run.timeout_seconds, claimed_run.handler
        return min(seconds, (handler and handler.timeout_seconds) or seconds)

    async def _attempt_in_slot(
        self, claimed_run: ClaimedRun, handler: Handler, scope: CancelScope, seconds: float
    ) -> Outcome:
        """Wait for a free slot; neither the timeout nor `started_at` counts the waiting."""
        with claimed_run.slots:
            for limiter in self._limiters(handler):
                await limiter.enter(claimed_run.run, partial(_complain, claimed_run))
                claimed_run.slots.callback(limiter.leave, claimed_run.run)
            open_scopes.limit(scope, seconds)
            return await self._attempt(claimed_run, handler, scope)

    def _limiters(self, handler: Handler) -> list[FairLimiter]:
        """Return the handler's own limiter first: a run that waits for it must not hold a thread or process."""
        own = [self._own[handler.name]] if handler.name in self._own else []
        limiters = {"loop": [], "thread": [self._threads], "process": [self._processes]}
        return own + limiters[handler.mode]

    async def _attempt(self, claimed_run: ClaimedRun, handler: Handler, scope: CancelScope) -> Outcome:
        arguments = (claimed_run.context, claimed_run.payload) if handler.payload.expected else (claimed_run.context,)
        claimed_run.started_at = self._clock.now()
        try:
            if handler.mode == "process":
                return await self._in_process(claimed_run, handler, arguments[1:])
            if handler.mode == "thread":
                value = await self._in_thread(claimed_run, handler, arguments)
            else:
                value = await handler.function(*arguments)
            if not scope.cancel_called and open_scopes.is_about_to_be_cancelled(scope):
                return outcome_mapping.task_cancelled()
            return outcome_mapping.of_result(value, self._sizes)
        except get_cancelled_exc_class() as error:
            await checkpoint_if_cancelled()  # raises again, unless the handler was cancelled from within
            details = outcome_mapping.details_of(error, claimed_run.run.attempt, self._sizes)
            return outcome_mapping.task_cancelled(details)
        except BaseException as error:  # noqa: BLE001 - also SystemExit: a handler must not end the service
            return self._judged(claimed_run, error)
        finally:
            leave_if_child()

    async def _in_thread(self, claimed_run: ClaimedRun, handler: Handler, arguments: tuple[Any, ...]) -> object:
        call = ThreadCall(handler.function, arguments)
        try:
            return await call.run()
        except get_cancelled_exc_class():
            claimed_run.context.stop()
            if not await call.settle(self._limits.thread_grace_seconds):
                self._abandon(claimed_run, call)
            raise

    def _abandon(self, claimed_run: ClaimedRun, call: ThreadCall) -> None:
        self.abandoned_threads += 1
        call.when_ended(self._thread_ended, claimed_run.slots.pop_all())
        self._metrics.thread_abandoned()
        self._log.warning(Event.RUN_THREAD_ABANDONED, **identity(claimed_run))

    def _thread_ended(self, slots: ExitStack) -> None:
        self.abandoned_threads -= 1
        slots.close()

    async def _in_process(self, claimed_run: ClaimedRun, handler: Handler, arguments: tuple[Any, ...]) -> Outcome:
        run = replace(claimed_run.run, payload=dict(claimed_run.run.payload), row=claimed_run.context.carried_row())
        options = dict(self._surroundings.options)
        masker = claimed_run.context.masker
        secrets = masker.secrets if masker else frozenset()
        task = Task(handler.function, run, arguments, options, self._clock.now(), self._sizes, secrets)
        log = partial(claimed_run.context.log.info, source="output")
        answer = await self._workers.call(task, log)
        claimed_run.context.adopt(answer.logs, answer.progress)
        return answer.outcome

    def _judged(self, claimed_run: ClaimedRun, error: BaseException) -> Outcome:
        return outcome_mapping.of_exception(error, claimed_run.run.attempt, self._clock.now(), self._sizes)


def _complain(claimed_run: ClaimedRun) -> None:
    """Report in the log that the run waits: its row already says that it is running."""
    claimed_run.context.log.info("waiting for a free slot: the concurrency limit is reached")


def _read(claimed_run: ClaimedRun, handler: Handler) -> None:
    """Parse the payload, and mask what its model marks as secret."""
    claimed_run.is_unread = False
    try:
        claimed_run.payload = handler.payload.parse(claimed_run.run.payload)
    except Exception as error:  # noqa: BLE001 - a model's own validator may raise anything
        claimed_run.refusal = misfit(error, handler.payload.shown)
    if handler.payload.has_secrets:
        _mask_secrets(claimed_run, handler)


def _mask_secrets(claimed_run: ClaimedRun, handler: Handler) -> None:
    """Mask the values that the payload's model marks as secret, in all texts of this run."""
    payload, metadata = handler.payload, claimed_run.run.payload
    claimed_run.context.masker = Masker(payload.secrets(metadata) | payload.parsed_secrets(claimed_run.payload))
    if claimed_run.refusal is not None:
        with hiding(claimed_run.context.masker):
            error, details = redact_text(claimed_run.refusal.error), redact_json(claimed_run.refusal.details)
        claimed_run.refusal = replace(claimed_run.refusal, error=error, details=details)
