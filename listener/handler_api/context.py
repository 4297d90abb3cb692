"""The handler's context: the job, and what a handler may use while it runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio.lowlevel

from listener.errors import InvalidValueError, ListenerError, RunStoppedError
from listener.handler_api.jsonable import clean_text
from listener.handler_api.run_log import RunLog
from listener.masking.redaction import hiding, redact_head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from structlog.typing import FilteringBoundLogger

    from listener.domain.job import Run
    from listener.domain.outcome import LogLine
    from listener.masking.masker import Masker
    from listener.ports import Clock

    Opener = Callable[[], AbstractAsyncContextManager[Any]]


MAX_STEP_CHARACTERS = 500


class Unavailable(ListenerError):  # noqa: N818 - names a state of the context
    """A worker process has neither the client nor shared resources: a handler opens its own there."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f'job.{what} is not available in a handler that runs with run_in="process"')


def _no_client() -> Any:  # noqa: ANN401 - stands where a client would
    raise Unavailable(what="client")


async def _not_shared(_: Opener) -> Any:  # noqa: ANN401 - stands where any resource would
    raise Unavailable(what="shared")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The services that all runs of one listener share.

    `client` makes a Supabase client for a run; `options` are settings that handlers read, by their
    names without the prefix, in lower case (`webhook_allow_private`); `shared` opens a resource once for all runs.
    """

    clock: Clock
    client: Callable[[], Any] = _no_client
    options: Mapping[str, Any] = field(default_factory=dict)
    shared: Callable[[Opener], Awaitable[Any]] = _not_shared


class Checkpoint:
    """May be awaited, so that other runs get the loop, or be ignored."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        """Yield to the loop once; a cancelled run ends here."""
        return anyio.lowlevel.checkpoint().__await__()


CHECKPOINT = Checkpoint()


class JobContext:
    """One attempt at one due instant, as its handler sees it."""

    __slots__ = (
        "_client", "_log", "_progress", "_run", "_run_log", "_shown", "_span", "_step", "_stopped", "_surroundings",
        "masker",
    )  # fmt: skip

    def __init__(self, run: Run, surroundings: Surroundings) -> None:
        self._run, self._surroundings = run, surroundings
        self._run_log: RunLog | None = None  # made when first used: thousands of runs may start at one instant
        self._log: FilteringBoundLogger | None = None
        self._client: Any = None
        self._progress: float | None = None
        self._step: str | None = None
        self._shown: tuple[str | None, str | None] = (None, None)  # a step, and how it is shown
        self._span: str | None = None
        self._stopped = False
        self.masker: Masker | None = None  # over the payload's secret values; set by the executor

    @property
    def row(self) -> Mapping[str, Any]:
        """Columns of the job's row, as they were when this run was claimed; the documentation names them."""
        return self._run.row

    @property
    def job_id(self) -> int:
        """The job's `id`."""
        return self._run.job_id

    @property
    def execution_id(self) -> str:
        """The ledger's id of this attempt."""
        return self._run.execution_id

    @property
    def attempt(self) -> int:
        """1 for the first attempt at this due instant."""
        return self._run.attempt

    @property
    def scheduled_for(self) -> datetime:
        """The due instant, the same for all attempts at it; in UTC."""
        return self._run.scheduled_for

    @property
    def test_mode(self) -> bool:
        """Whether the handler should report what it would do instead of doing it."""
        return self._run.test_mode

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts at one due instant, another for any other: `17:2026-03-07T12:00:00+00:00`."""
        return f"{self._run.job_id}:{self._run.scheduled_for.isoformat()}"

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context for requests of this run: that of its own span, else the job's; None: neither."""
        return self._span or self._run.row.get("traceparent")

    @property
    def client(self) -> Any:  # noqa: ANN401 - supabase.AsyncClient, which only listener.supabase may name
        """The Supabase client, with the service's powers; this run's own, so that what it changes is its own too."""
        if self._client is None:
            self._client = self._surroundings.client()
        return self._client

    @property
    def options(self) -> Mapping[str, Any]:
        """Settings of the listener that handlers may read."""
        return self._surroundings.options

    async def shared(self, opener: Opener) -> Any:  # noqa: ANN401 - whatever the opener opens
        """Return what `opener` opens, the same for every run of this listener; closed when the listener stops.

        The opener is a function without arguments that gives an async context manager, which must not hold a task
        group or a cancel scope: it is closed in another task.
        """
        return await self._surroundings.shared(opener)

    @property
    def log(self) -> FilteringBoundLogger:
        """A structlog logger bound to this run; its lines from `info` up are kept in the ledger too."""
        if self._log is None:
            run = self._run
            identity = {"job_id": run.job_id, "execution_id": run.execution_id}
            self._log = self.run_log.logger({**identity, "handler": run.handler, "attempt": run.attempt})
        return self._log

    @property
    def run_log(self) -> RunLog:
        """The log of this run."""
        if self._run_log is None:
            self._run_log = RunLog(self._surroundings.clock, self.masker)
        return self._run_log

    def now(self) -> datetime:
        """Return the database's present instant, in UTC."""
        return self._surroundings.clock.now()

    def progress(self, fraction: float, message: str | None = None) -> Checkpoint:
        """Report the progress of the run, from 0 to 1; values beyond count as the nearer end. It may be awaited.

        Raises:
            InvalidValueError: when the fraction is not a finite number.
        """
        if not isinstance(fraction, int | float) or not math.isfinite(fraction):
            raise InvalidValueError(field="fraction", value=fraction, allowed="a number from 0 to 1")
        self._progress = min(1.0, max(0.0, float(fraction)))
        if message is not None:
            self.log.info(message, progress=self._progress)
            self._step = message if isinstance(message, str) else None
        return CHECKPOINT

    @property
    def fraction(self) -> float | None:
        """The progress last reported, or None."""
        return self._progress

    @property
    def progress_message(self) -> str | None:
        """The message last reported with the progress, masked and cut as a log line is, or None."""
        step = self._step
        if step is not None and step is not self._shown[0]:  # it is asked each second
            with hiding(self.masker):
                self._shown = (step, clean_text(redact_head(step, MAX_STEP_CHARACTERS)))
        return None if step is None else self._shown[1]

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop: a plain handler should check it now and then, an async one is stopped."""
        return self._stopped

    def check_cancelled(self) -> None:
        """Leave a plain handler whose run was asked to stop.

        Raises:
            RunStoppedError: when it was.
        """
        if self._stopped:
            raise RunStoppedError

    def stop(self) -> None:
        """Ask the handler to stop; called by the executor."""
        self._stopped = True

    def belongs_to(self, span: str) -> None:
        """Let `traceparent` name the span of this run; called by the executor."""
        self._span = span

    def carried_row(self) -> dict[str, Any]:
        """Return the row for a worker process, with this run's own `traceparent`; called by the executor."""
        return {**self._run.row, "traceparent": self.traceparent}

    def take_logs(self) -> tuple[LogLine, ...]:
        """Remove and return the lines logged since the last call; called by the executor and the recorder."""
        return self._run_log.take() if self._run_log is not None else ()

    def adopt(self, logs: tuple[LogLine, ...], fraction: float | None) -> None:
        """Take over the log lines and the progress of a worker process; called by the executor."""
        if logs:
            self.run_log.put_back(logs)
        self._progress = fraction if fraction is not None else self._progress
