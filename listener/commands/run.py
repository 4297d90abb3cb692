"""`listener run`: the service."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

import structlog

from listener.errors import InvalidValueError, StageFailedError

if TYPE_CHECKING:
    from listener.app.service import Service
    from listener.settings import Settings

LEFT_BEHIND_SECONDS = 1.0
"""For tasks that handlers have left behind to end when they are cancelled."""
SPARE_SECONDS = 1.5
"""Time for closing the connections, after all runs were handed back."""


def run() -> None:
    """Run the listener against SUPABASE_URL until SIGTERM."""
    # The settings' faults are reported before anything heavy is loaded.
    from listener.app.telemetry import add_trace_to_log  # noqa: PLC0415
    from listener.observability.events import configure_logging  # noqa: PLC0415
    from listener.os_signals import exit_on_early_signal  # noqa: PLC0415
    from listener.settings import read_settings  # noqa: PLC0415

    exit_on_early_signal()
    settings = read_settings()
    configure_logging(settings.log_format, settings.log_level)
    add_trace_to_log(settings)
    _warn_of_legacy_key(settings.secret_key.get_secret_value())
    import listener.supabase.client  # noqa: PLC0415, F401 - thousands of objects, for the collector to leave alone
    from listener.app.event_loop import run_to_its_end  # noqa: PLC0415
    from listener.app.service import Service  # noqa: PLC0415

    _check_address(*settings.http_address)
    _tune_garbage_collection()
    run_to_its_end(_serve(Service, settings))


def _check_address(host: str, port: int) -> None:
    """Refuse an address that is taken before anything is claimed."""
    from listener.app.http_server import listening_at  # noqa: PLC0415 - as above

    try:
        listening_at(host, port).close()
    except OSError as fault:
        free = "an address of this machine that no other program uses"
        raise InvalidValueError(field="LISTENER_HTTP_BIND", value=f"{host}:{port}", allowed=free) from fault


def _warn_of_legacy_key(key: str) -> None:
    from listener.api_key import is_legacy  # noqa: PLC0415 - as above
    from listener.observability.events import Event  # noqa: PLC0415

    if is_legacy(key):
        structlog.get_logger("service").warning(
            Event.SERVICE_LEGACY_KEY, advice="make a secret key (sb_secret_…) and set SUPABASE_SECRET_KEY"
        )


def _tune_garbage_collection() -> None:
    """Exempt the objects of the start-up from garbage collection, and collect often: requests leave short-lived cycles.

    Measured: a collection at 50,000 new objects holds the loop for 20 to 90 ms, at 2,000 for 4 ms at most, and 20,000
    jobs due now end sooner. With the interpreter's own thresholds, a fifth of the time goes into scanning live objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 50, 50)


async def _serve(make: type[Service], settings: Settings) -> None:
    from anyio.lowlevel import current_token  # noqa: PLC0415 - as above

    from listener.execution.protected_tasks import end_left_behind  # noqa: PLC0415
    from listener.maintenance.loop_watch import LoopWatch  # noqa: PLC0415
    from listener.observability.events import Event  # noqa: PLC0415

    service = make(settings, lambda within_seconds: watch.be_gone(within_seconds + SPARE_SECONDS))
    watch = LoopWatch(service.shared.health)
    watch.start(current_token().native_token)
    failed: list[StageFailedError] = []
    try:
        await service.run()
    except* StageFailedError as group:
        failed += _leaves(group)
    if service.stages.dispatcher.unended:  # handlers that did not stop
        structlog.get_logger("service").error(Event.SERVICE_CUT_SHORT)
    elif not service.stages.executor.abandoned_threads:  # otherwise the interpreter would wait for them
        left_behind = await end_left_behind(LEFT_BEHIND_SECONDS)
        if not left_behind:
            if failed:
                raise failed[0]
            return
        structlog.get_logger("service").warning(Event.SERVICE_LEFT_BEHIND, what=left_behind)
    sys.stderr.writelines(f"listener: {fault}\n" for fault in failed)
    os._exit(1 if failed or service.stages.dispatcher.unended else 0)


def _leaves(group: BaseExceptionGroup[StageFailedError]) -> list[StageFailedError]:
    found: list[StageFailedError] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
