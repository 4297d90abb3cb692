"""Checks whether the database was restored from a dump, so that its jobs wait for a confirmation."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from listener.clock import DatabaseClock
from listener.doctor.finding import Finding
from listener.errors import StoreError
from listener.supabase.error_codes import RESTORED, remedy
from listener.supabase.rpc import Rpc

if TYPE_CHECKING:
    from listener.settings import Settings

SUBJECT = "restore"
NOTHING = {"lease_seconds": 1, "ahead_seconds": 0, "claims": []}


async def examine_restore(settings: Settings) -> Finding:
    """Claim nothing: a restored database refuses that, too."""
    rpc = Rpc(settings.url, settings.secret_key.get_secret_value(), DatabaseClock())
    try:
        await rpc.call("claim_runs_v1", {"listener": str(uuid.uuid4()), **NOTHING}, "runs")
    except StoreError as fault:
        if fault.code == RESTORED and settings.run_restored:
            return Finding(
                SUBJECT, "the database was restored from a dump, and LISTENER_RUN_RESTORED lets its jobs run"
            )
        return Finding(SUBJECT, str(fault), remedy(fault))
    finally:
        await rpc.aclose()
    return Finding(SUBJECT, "the database is no copy, or was confirmed")
