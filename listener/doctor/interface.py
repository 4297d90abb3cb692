"""Checks the project's API: is it there, does it accept the key, are the migrations applied, are the grants given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx
from postgrest.exceptions import APIError

from listener.clock import DatabaseClock
from listener.doctor.finding import Finding
from listener.errors import StoreError
from listener.supabase.client import TIMEOUTS, make_client
from listener.supabase.rpc import Rpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from supabase import AsyncClient

    from listener.settings import Settings

FUNCTIONS: Final = (
    "poll_jobs_v1",
    "due_jobs_v1",
    "jobs_v1",
    "unplanned_jobs_v1",
    "plan_jobs_v1",
    "planned_jobs_v1",
    "replan_jobs_v1",
    "zone_database_v1",
    "claim_runs_v1",
    "finish_runs_v1",
    "note_runs_v1",
    "park_runs_v1",
    "extend_leases_v1",
    "leave_v1",
    "sync_sources_v1",
    "rescue_runs_v1",
    "end_unhandled_v1",
    "clean_ledger_v1",
    "roll_up_activity_v1",
    "evaluate_alerts_v1",
    "alert_delivery_v1",
    "end_alert_delivery_v1",
    "publish_handlers_v1",
    "send_probe_v1",
    "mute_v1",
    "listen_v1",
    "delivery_v1",
    "send_queue_message_v1",
)
MEETINGS_FUNCTIONS = ("end_meetings_v1",)
TABLES: Final = ("scheduled_jobs", "job_executions", "job_execution_logs", "job_notifications", "job_alerts")
NOTHING_DUE = {"until": "1970-01-01T00:00:00Z", "limit": 1}
MIGRATE = 'run `listener migrate --db-url "$DATABASE_URL"`, or `listener migrations export` and `supabase db push`'
RELOAD = f"{MIGRATE}; where that was done just now, `notify pgrst, 'reload schema'`"
GRANT_FUNCTIONS = "grant execute on function public.<name>(jsonb) to service_role"
GRANT_TABLES = "grant select, insert, update, delete on table public.<name> to service_role"
CHECK_URL = "look at SUPABASE_URL: https://<project>.supabase.co, or `supabase start`'s http://127.0.0.1:54321; no path"
CHECK_KEY = "set SUPABASE_SECRET_KEY to a secret key (sb_secret_…) of this very project, from its settings"
UNAUTHORIZED = {"401", "403", "PGRST300", "PGRST301", "PGRST302", "PGRST303"}
NO_FUNCTION, FORBIDDEN = "PGRST202", "42501"


async def examine_interface(settings: Settings) -> AsyncIterator[Finding]:
    """Request jobs that are due before 1970: there are none, but the answer shows faults of URL, key and migrations."""
    key = settings.secret_key.get_secret_value()
    rpc = Rpc(settings.url, key, DatabaseClock())
    fault: StoreError | None = None
    try:
        await rpc.call("due_jobs_v1", NOTHING_DUE)
    except StoreError as raised:
        fault = raised
    finally:
        await rpc.aclose()
    findings = judge_answer(settings.url, fault)
    for finding in findings:
        yield finding
    if all(finding.is_well for finding in findings):
        client = make_client(settings.url, key)
        functions = [*FUNCTIONS, *(MEETINGS_FUNCTIONS if settings.meetings else ())]
        yield await _examine_functions(settings.url, key, functions)
        yield await _examine_tables(client, TABLES)
        await client.postgrest.aclose()


def judge_answer(url: str, fault: StoreError | None) -> list[Finding]:
    """Read from an answer whether URL and key are right, as far as it shows that."""
    there = Finding("url", f"{url} answers")
    taken = Finding("key", "accepted, with the role service_role")
    if fault is None or fault.code == NO_FUNCTION:
        missing = [] if fault is None else [Finding("migrations", "due_jobs_v1 is not there", RELOAD)]
        return [there, taken, *missing]
    if fault.code == FORBIDDEN:
        return [there, Finding("key", "accepted, but not with the role service_role", CHECK_KEY)]
    if fault.code in UNAUTHORIZED:
        return [there, Finding("key", f"not accepted: {fault}", CHECK_KEY)]
    return [Finding("url", f"{url} does not answer as a Supabase project does: {fault}", CHECK_URL)]


async def _examine_functions(url: str, key: str, functions: list[str]) -> Finding:
    """Read PostgREST's own description, which lists the functions that this role may call."""
    async with httpx.AsyncClient(headers={"apikey": key, "Authorization": f"Bearer {key}"}, timeout=TIMEOUTS) as http:
        response = await http.get(f"{url}/rest/v1/")
    if not response.is_success:
        return Finding("migrations", "due_jobs_v1 is there; this project does not list its functions")
    missing = [name for name in functions if f"/rpc/{name}" not in response.json()["paths"]]
    if missing:
        what = f"not there, or not granted to service_role: {', '.join(missing)}"
        return Finding("migrations", what, f"{RELOAD}; if they are there: {GRANT_FUNCTIONS}")
    return Finding("migrations", f"applied: {len(functions)} functions")


async def _examine_tables(client: AsyncClient, tables: Iterable[str]) -> Finding:
    faults = [fault for table in tables if (fault := await _fault_of(client, table))]
    if faults:
        return Finding("grants", "; ".join(faults), GRANT_TABLES)
    return Finding("grants", f"{', '.join(tables)} can be read")


async def _fault_of(client: AsyncClient, table: str) -> str | None:
    try:
        await client.table(table).select("*").limit(0).execute()
    except APIError as fault:
        return f"{table}: {fault.code} {fault.message}"
    return None
