"""The executor runs handlers.

Takes runs that were claimed. Gives a report for each. Guarantees that nothing a handler does, short of blocking the
loop, reaches another run: every end is an outcome, and only the cancellation of the whole service passes through.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_process
import structlog
from anyio import CancelScope, CapacityLimiter, current_time, get_cancelled_exc_class
from anyio.lowlevel import checkpoint_if_cancelled

from listener.domain.outcome import Failed
from listener.execution import admission, outcome_mapping
from listener.execution.fair_limiter import Room
from listener.execution.reporter import Reporter, identity
from listener.execution.shared_resources import SharedResources
from listener.execution.threads import ThreadCall
from listener.execution.worker import Task, work
from listener.handler_api.context import JobContext, Surroundings
from listener.handler_api.payload import misfit
from listener.masking.masker import Cover
from listener.masking.redaction import hiding, redact_json, redact_text
from listener.observability.events import Event
from listener.observability.metrics import Metrics
from listener.runs.claimed_run import Prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack

    from listener.domain.job import Run
    from listener.domain.outcome import Outcome, Report
    from listener.handler_api.registry import Handler, Registry
    from listener.ports import Clock


@dataclass(frozen=True, slots=True)
class Limits:
    """What handlers may use together."""

    threads: int = 64
    processes: int = os.cpu_count() or 2
    thread_grace_seconds: float = 5.0  # between telling a thread to stop and abandoning it
    sizes: outcome_mapping.Sizes = field(default_factory=outcome_mapping.Sizes)


class Executor:
    """Runs handlers on the loop, in threads and in processes.

    Args:
        registry: the handlers.
        clock: the database's clock.
        client_factory: gives the Supabase client, the same one each time.
        metrics: where ends are counted.
        limits: what handlers may use together.
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
        self._shared = SharedResources()
        self._surroundings = Surroundings(clock, client_factory, options or {}, self._shared.get)
        self._threads, self._processes = Room(self._limits.threads), Room(self._limits.processes)
        self._own = {each.name: Room(each.concurrency) for each in registry if each.concurrency}
        self._log = structlog.get_logger("executor").bind()
        self._reporter = Reporter(clock, self._metrics, self._log)
        self._running = 0
        self.abandoned_threads = 0
        self._metrics.watch_running(lambda: self._running)

    def prepare(self, run: Run) -> Prepared:
        """Look the handler up and validate the payload, before the run is due; never raises."""
        context = JobContext(run, self._surroundings)
        handler = self._registry.get(run.handler)
        prepared = Prepared(run, context, handler, None)
        if handler is None:
            prepared.refusal = outcome_mapping.no_handler(run.handler, self._registry.names)
            return prepared
        prepared.refusal = admission.refusal(run, exposed=handler.exposed)
        if prepared.refusal is not None:
            return prepared
        try:
            prepared.payload = handler.payload.parse(run.payload)
        except Exception as error:  # noqa: BLE001 - a model's own validator may raise anything
            prepared.refusal = misfit(error, handler.payload.shown)
        if handler.payload.has_secrets:
            _cover_secrets(prepared, handler)
        return prepared

    async def execute(self, prepared: Prepared) -> Report:
        """Start the handler now, and report its end.

        A run cancelled through `Prepared.cancel` reports `Cancelled`; the cancellation of the surrounding scope passes
        through, and there is no report.
        """
        if prepared.context.cover is None:
            return await self._execute(prepared)
        with hiding(prepared.context.cover):
            return await self._execute(prepared)

    async def _execute(self, prepared: Prepared) -> Report:
        outcome: Outcome | None = prepared.refusal or prepared.cancelled
        if outcome is None:
            self._running += 1
            try:
                outcome = await self._run(prepared)
            finally:
                self._running -= 1
        return self._reporter.report(prepared, outcome)

    async def aclose(self) -> None:
        """Close what handlers share."""
        await self._shared.aclose()

    async def _run(self, prepared: Prepared) -> Outcome:
        handler, seconds = prepared.handler, prepared.run.timeout_seconds
        assert handler is not None, "a run without a handler was refused"  # noqa: S101 - states what `prepare` ensures
        seconds = min(seconds, handler.timeout_seconds or seconds)
        outcome: Outcome | None = None
        with CancelScope() as scope:
            prepared.runs_in(scope)
            if handler.mode == "loop" and handler.concurrency is None:
                outcome = await self._attempt(prepared, handler, scope, seconds)
            else:
                outcome = await self._attempt_in_slot(prepared, handler, scope, seconds)
        if prepared.cancelled is not None:
            return prepared.cancelled
        if outcome is None or (scope.cancel_called and isinstance(outcome, Failed)):
            return outcome_mapping.timed_out(seconds)  # what a handler raises when it is stopped is not why it failed
        return outcome

    async def _attempt_in_slot(
        self, prepared: Prepared, handler: Handler, scope: CancelScope, seconds: float
    ) -> Outcome:
        """Wait for room; neither the timeout nor `started_at` counts the waiting."""
        with prepared.slots:
            for room in self._rooms(handler):
                await room.enter(prepared.run, partial(_complain, prepared))
                prepared.slots.callback(room.leave)
            return await self._attempt(prepared, handler, scope, seconds)

    def _rooms(self, handler: Handler) -> list[Room]:
        """Give the handler's own first: a run that waits for it must not hold a thread or process meanwhile."""
        own = [self._own[handler.name]] if handler.name in self._own else []
        rooms = {"loop": [], "thread": [self._threads], "process": [self._processes]}
        return own + rooms[handler.mode]

    async def _attempt(self, prepared: Prepared, handler: Handler, scope: CancelScope, seconds: float) -> Outcome:
        arguments = (prepared.context, prepared.payload) if handler.payload.expected else (prepared.context,)
        prepared.started_at = self._clock.now()
        scope.deadline = current_time() + seconds
        try:
            if handler.mode == "process":
                return await self._in_process(prepared, handler, arguments[1:])
            if handler.mode == "thread":
                value = await self._in_thread(prepared, handler, arguments)
            else:
                value = await handler.function(*arguments)
            return outcome_mapping.of_result(value, self._limits.sizes)
        except get_cancelled_exc_class() as error:
            await checkpoint_if_cancelled()  # raises again, unless the handler was cancelled by something of its own
            return self._judged(prepared, error)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - also SystemExit: a handler must not end the service
            return self._judged(prepared, error)

    async def _in_thread(self, prepared: Prepared, handler: Handler, arguments: tuple[Any, ...]) -> object:
        call = ThreadCall(handler.function, arguments)
        try:
            return await call.run()
        except get_cancelled_exc_class():
            prepared.context.stop()
            if not await call.settle(self._limits.thread_grace_seconds):
                self._abandon(prepared, call)
            raise

    def _abandon(self, prepared: Prepared, call: ThreadCall) -> None:
        self.abandoned_threads += 1
        call.when_ended(self._thread_ended, prepared.slots.pop_all())
        self._metrics.thread_abandoned()
        self._log.warning(Event.RUN_THREAD_ABANDONED, **identity(prepared))

    def _thread_ended(self, slots: ExitStack) -> None:
        self.abandoned_threads -= 1
        slots.close()

    async def _in_process(self, prepared: Prepared, handler: Handler, arguments: tuple[Any, ...]) -> Outcome:
        run = replace(prepared.run, payload=dict(prepared.run.payload), row=dict(prepared.run.row))
        options = dict(self._surroundings.options)
        cover = prepared.context.cover
        secrets = cover.secrets if cover else frozenset()
        task = Task(handler.function, run, arguments, options, self._clock.now(), self._limits.sizes, secrets)
        unlimited = CapacityLimiter(float("inf"))  # the slot has counted this call already
        answer = await anyio.to_process.run_sync(work, task, cancellable=True, limiter=unlimited)
        prepared.context.adopt(answer.logs, answer.progress)
        return answer.outcome

    def _judged(self, prepared: Prepared, error: BaseException) -> Outcome:
        return outcome_mapping.of_exception(error, prepared.run.attempt, self._clock.now(), self._limits.sizes)


def _complain(prepared: Prepared) -> None:
    """Tell whoever looks at the run, which is claimed, so that its row says that it is running."""
    prepared.context.log.info("waits for room: as many runs as may go on at a time have not ended")


def _cover_secrets(prepared: Prepared, handler: Handler) -> None:
    """Hide what the payload's model marks as secret, in all that this run will tell."""
    payload, metadata = handler.payload, prepared.run.payload
    prepared.context.cover = Cover(payload.secrets(metadata) | payload.parsed_secrets(prepared.payload))
    if prepared.refusal is not None:
        with hiding(prepared.context.cover):
            error, details = redact_text(prepared.refusal.error), redact_json(prepared.refusal.details)
        prepared.refusal = replace(prepared.refusal, error=error, details=details)
