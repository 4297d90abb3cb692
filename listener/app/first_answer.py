"""Waits for the database's first answer: with a wrong key or URL, one line says what to do."""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.observability.events import Event
from listener.supabase.error_codes import remedy

if TYPE_CHECKING:
    from listener.app.shared import Shared

PAUSES_SECONDS = (0.25, 0.5, 1.0, 2.0)
LAST_PAUSE_SECONDS = 4.0
NOTICE_SECONDS = 60.0


async def first_answer(shared: Shared) -> None:
    """Return once the database answers, or refuses a row; log at most once a minute why it does not."""
    log = structlog.get_logger("service")
    reported_at = -NOTICE_SECONDS
    for pause in chain(PAUSES_SECONDS, repeat(LAST_PAUSE_SECONDS)):
        try:
            await shared.store.read(())
        except StoreError as fault:
            last = fault
        else:
            return
        if last.split_batch:
            return
        shared.health.poll_failed(str(last))
        now = shared.clock.monotonic()
        if (
            not last.needs_operator and now >= reported_at + NOTICE_SECONDS
        ):  # what needs an operator the call has logged
            reported_at = now
            log.error(Event.DATABASE_UNREACHABLE, error=str(last), remedy=remedy(last))
        await anyio.sleep(pause)
