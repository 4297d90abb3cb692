"""Checks the listener's own connections to PostgreSQL, where `LISTENER_DATABASE_URL` names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.clock import DatabaseClock
from listener.doctor.finding import Finding
from listener.doctor.interface import NOTHING_DUE
from listener.errors import StoreError
from listener.supabase.error_codes import remedy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from listener.settings import Settings

SUBJECT = "own connection"


async def examine_own_connection(settings: Settings) -> AsyncIterator[Finding]:
    """Call a function by such a connection; nothing where there is none."""
    if settings.database_url is None:
        return
    from listener.postgres.pool import DirectCalls  # noqa: PLC0415 - psycopg is loaded where it is used

    calls = DirectCalls(settings.database_url.get_secret_value(), DatabaseClock())
    try:
        await calls.call("due_jobs_v1", NOTHING_DUE, "ids")
    except StoreError as fault:
        yield Finding(SUBJECT, str(fault), remedy(fault))
    else:
        count = settings.database_connections
        yield Finding(SUBJECT, f"keeps its session, with the role service_role; a listener opens up to {count + 1}")
    finally:
        await calls.aclose()
