"""Runs a handler as the listener would, without a database, for the tests of handlers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from listener.domain.job import RetryPolicy, Run
from listener.execution.executor import Executor
from listener.execution.worker import CarriedClock
from listener.handler_api.registry import Handler, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from listener.domain.outcome import Report

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
EXECUTION_ID = "00000000-0000-4000-8000-000000000001"


def make_run(handler: str, payload: Mapping[str, Any] | None = None, **changes: Any) -> Run:  # noqa: ANN401
    """Return a first attempt of job 1, due at `NOON`; `changes` are fields of `Run`."""
    fields: dict[str, Any] = {
        "execution_id": EXECUTION_ID,
        "job_id": 1,
        "revision": 1,
        "handler": handler,
        "payload": payload or {},
        "scheduled_for": NOON,
        "start_at": NOON,
        "attempt": 1,
        "cause": "schedule",
        "test_mode": False,
        "timeout_seconds": 300.0,
        "retry": RetryPolicy(),
        "recurring": False,
        "row": {"id": 1, "job_id": "test", "handler": handler, "metadata": dict(payload or {})},
    }
    return Run(**{**fields, **changes})


async def run_handler(
    function: Callable[..., Any],
    payload: Mapping[str, Any] | None = None,
    *,
    client: Any = None,  # noqa: ANN401 - the Supabase client, or what stands in for it
    options: Mapping[str, Any] | None = None,
    now: datetime = NOON,
    **changes: Any,  # noqa: ANN401 - fields of Run
) -> Report:
    """Validate the payload, run the handler once, and return its report: outcome, log lines, progress.

    Args:
        function: a function marked with `@handler`.
        payload: the job's metadata.
        client: what `job.client` gives.
        options: what `job.options` gives.
        now: the clock's instant when the run starts; it goes on from there.
        changes: fields of `listener.domain.job.Run`, such as `attempt=2` or `test_mode=True`.

    Raises:
        InvalidHandlerError: when the function cannot be a handler.
    """
    handler = Handler.of(function)
    executor = Executor(Registry([handler]), CarriedClock(now), lambda: client, options=options)
    try:
        return await executor.execute(executor.prepare(make_run(handler.name, payload, **changes)))
    finally:
        await executor.aclose()
