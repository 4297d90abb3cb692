"""A run between its claim and its report."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from listener.domain.outcome import Cancelled

if TYPE_CHECKING:
    from datetime import datetime

    from anyio import CancelScope

    from listener.domain.job import Run
    from listener.domain.outcome import Failed, LogLine
    from listener.handler_api.context import JobContext
    from listener.handler_api.registry import Handler


class ClaimedRun:
    """A run that is ready to start, or already refused; made before it is due, so that the start costs little."""

    __slots__ = (
        "_cancelled",
        "_scope",
        "context",
        "ended",
        "handler",
        "is_unread",
        "payload",
        "refusal",
        "reported",
        "run",
        "slots",
        "started_at",
        "stopping_since",
        "trusted_since",
    )

    def __init__(self, run: Run, context: JobContext, handler: Handler | None, payload: Any) -> None:  # noqa: ANN401
        self.run, self.context, self.handler, self.payload = run, context, handler, payload
        self.refusal: Failed | None = None
        self.is_unread = False  # whether the payload is so large that it is parsed later, beside the loop
        self.started_at: datetime | None = None
        self.trusted_since = 0.0  # the monotonic time of the request that made, or last extended, the claim
        self.slots = ExitStack()
        self.stopping_since: float | None = None  # the monotonic time at which its stop was first seen
        self.reported = self.ended = False  # its end was passed on; its task has ended, which may come later
        self._scope: CancelScope | None = None
        self._cancelled: Cancelled | None = None

    @property
    def cancelled(self) -> Cancelled | None:
        """How the run ends if it was cancelled, or None."""
        return self._cancelled

    @property
    def scope(self) -> CancelScope | None:
        """The scope that ends the handler, once it has begun."""
        return self._scope

    @property
    def progress(self) -> float | None:
        """The progress that the handler last reported, from 0 to 1; may be read while it runs."""
        return self.context.fraction

    @property
    def step(self) -> str | None:
        """The message that the handler last reported with its progress; may be read while it runs."""
        return self.context.progress_message

    def take_logs(self) -> tuple[LogLine, ...]:
        """Remove and return the lines logged since the last call; the report has those that nobody took."""
        return self.context.take_logs()

    def cancel(self, reason: str | None = None) -> None:
        """End the run as cancelled, whether it has started or not; of several reasons the first stays."""
        if self._cancelled is None:
            self._cancelled = Cancelled(reason)
            self.context.stop()
        if self._scope is not None:
            self._scope.cancel()

    def runs_in(self, scope: CancelScope) -> None:
        """Let `cancel` end this scope."""
        self._scope = scope
