"""`listener run`: the service."""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import TYPE_CHECKING

import structlog

from listener.errors import StageFailedError

if TYPE_CHECKING:
    from listener.app.service import Service
    from listener.settings import Settings

SPARE_SECONDS = 1.5
"""Time for closing the connections, after all runs were handed back."""


def run() -> None:
    """Run the listener against SUPABASE_URL until SIGTERM."""
    import anyio  # noqa: PLC0415 - the settings' faults are told before anything heavy is loaded

    from listener.observability.events import configure_logging  # noqa: PLC0415
    from listener.os_signals import exit_on_early_signal  # noqa: PLC0415
    from listener.settings import read_settings  # noqa: PLC0415

    exit_on_early_signal()
    settings = read_settings()
    configure_logging(settings.log_format, settings.log_level)
    _warn_of_legacy_key(settings.secret_key.get_secret_value())
    import listener.supabase.client  # noqa: PLC0415, F401 - thousands of objects, for the collector to leave alone
    from listener.app.service import Service  # noqa: PLC0415

    _tune_garbage_collection()
    anyio.run(_serve, Service, settings, backend_options={"use_uvloop": True})


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
    service = make(settings, _be_gone)
    failed: list[StageFailedError] = []
    try:
        await service.run()
    except* StageFailedError as group:
        failed += _leaves(group)
    if service.stages.executor.abandoned_threads:  # the interpreter would wait for handlers that did not stop
        sys.stderr.writelines(f"listener: {fault}\n" for fault in failed)
        os._exit(1 if failed else 0)
    if failed:
        raise failed[0]


def _be_gone(within_seconds: float) -> None:
    """End the process, even if a handler that catches its cancellation, or computes, keeps the loop from ending."""
    timer = threading.Timer(within_seconds + SPARE_SECONDS, _cut_short)
    timer.daemon = True
    timer.start()


def _cut_short() -> None:
    from listener.observability.events import Event  # noqa: PLC0415 - as above

    structlog.get_logger("service").error(Event.SERVICE_CUT_SHORT)
    os._exit(1)


def _leaves(group: BaseExceptionGroup[StageFailedError]) -> list[StageFailedError]:
    found: list[StageFailedError] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
