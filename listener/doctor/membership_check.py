"""Checks that `job_scheduler.memberships()`, which a project may replace, raises for no caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from postgrest.exceptions import APIError

from listener.doctor.finding import Finding
from listener.doctor.interface import RELOAD
from listener.supabase.client import make_client

if TYPE_CHECKING:
    from listener.settings import Settings

SUBJECT = "memberships"
REPLACE = (
    "replace job_scheduler.memberships() by one that raises for nobody: security definer, executable by authenticated,"
    " and with job_scheduler.caller() instead of a cast of the token's subject; until then Realtime may deliver nothing"
    " to anybody; see docs/sql.md, Teams of your own"
)


async def examine_memberships(settings: Settings) -> Finding:
    """Let the database call it as each kind of caller."""
    client = make_client(settings.url, settings.secret_key.get_secret_value())
    try:
        answer = await client.rpc("check_memberships_v1", {"request": {}}).execute()
    except APIError as fault:
        return Finding(SUBJECT, f"not checked: {fault.code} {fault.message}", RELOAD)
    finally:
        await client.postgrest.aclose()
    faults: Any = answer.data
    if faults:
        said = "; ".join(f"raises for {fault['caller']}: {fault['error']}" for fault in faults)
        return Finding(SUBJECT, said, REPLACE)
    return Finding(SUBJECT, "raises for no kind of caller")
