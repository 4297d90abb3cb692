"""Checks whether the catalogue has the handlers of this environment, and live listeners those that jobs name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from postgrest.exceptions import APIError

from listener.doctor.finding import Finding
from listener.errors import ListenerError
from listener.handler_api.registry import Registry
from listener.supabase.client import make_client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from listener.settings import Settings

SUBJECT = "catalogue"
RESTART = "a listener publishes its handlers when it starts: start it again with this code and these LISTENER_HANDLERS"
GRANT = "grant select on table public.job_handlers to service_role; or see what the line on migrations says"
COMPARED = ("payload_schema", "exposed")
WAITING = "handlers of jobs"
SERVE = (
    "add the modules that declare them to LISTENER_HANDLERS of a listener, and start it; or cancel the jobs:"
    " update scheduled_jobs set status = 'cancelled' where handler = '<name>'"
)
MOST = 1000
"""The database counts no more jobs of a handler."""
SHOWN = 10
"""Handlers that a line names."""


async def examine_catalogue(settings: Settings) -> Finding:
    """Compare the published handlers with those of this environment."""
    try:
        wanted = Registry.load(settings.handlers).catalogue()
    except ListenerError:
        return Finding(SUBJECT, "not compared: the handlers cannot be loaded", "see the line on handlers")
    client = make_client(settings.url, settings.secret_key.get_secret_value())
    try:
        answer = await client.table("job_handlers").select("name,payload_schema,exposed").execute()
    except APIError as fault:
        return Finding(SUBJECT, f"job_handlers: {fault.code} {fault.message}", GRANT)
    finally:
        await client.postgrest.aclose()
    published: Any = answer.data
    return judge_catalogue(wanted, published)


async def examine_waiting(settings: Settings) -> Finding:
    """Look for handlers that active jobs name and no live listener has."""
    try:
        here = Registry.load(settings.handlers).names
    except ListenerError:
        here = []
    client = make_client(settings.url, settings.secret_key.get_secret_value())
    try:
        request = {"request": {"lease_seconds": settings.lease_seconds}}
        answer: Any = (await client.rpc("missing_handlers_v1", request).execute()).data
    except APIError as fault:
        return Finding(WAITING, f"not examined: {fault.message}", "see the line on migrations")
    finally:
        await client.postgrest.aclose()
    return judge_waiting(here, answer)


def judge_waiting(here: Sequence[str], answer: Mapping[str, Any]) -> Finding:
    """Report the handlers that lack a listener; those of this environment lack no more than a start of one."""
    lacking = [row for row in answer["missing"] if row["name"] not in here]
    startable = [row for row in answer["missing"] if row["name"] in here]
    if lacking:
        return Finding(WAITING, f"no live listener has {_counted(lacking)}", SERVE)
    if startable:
        return Finding(WAITING, f"wait until a listener starts with these handlers: {_counted(startable)}")
    return Finding(WAITING, f"each is on a live listener ({answer['listeners']} live)")


def _counted(missing: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        f"{row['name']!r} ({row['jobs']} {'job' if row['jobs'] == 1 else 'jobs'}{' or more' * (row['jobs'] >= MOST)})"
        for row in missing[:SHOWN]
    ]
    return ", ".join(shown + [f"{len(missing) - SHOWN} others"] * (len(missing) > SHOWN))


def judge_catalogue(wanted: Sequence[Mapping[str, Any]], published: Sequence[Mapping[str, Any]]) -> Finding:
    """Report the differences; handlers that only other listeners have are ignored."""
    if not published:
        return Finding(SUBJECT, "empty until the first listener starts")
    known = {row["name"]: row for row in published}
    missing = [row["name"] for row in wanted if row["name"] not in known]
    other = [row["name"] for row in wanted if row["name"] in known and _differ(row, known[row["name"]])]
    if missing or other:
        what = [f"not there: {', '.join(missing)}"] * bool(missing) + [f"not as here: {', '.join(other)}"] * bool(other)
        return Finding(SUBJECT, "; ".join(what), RESTART)
    exposed = [row["name"] for row in wanted if row["exposed"]]
    return Finding(SUBJECT, f"{len(wanted)} handlers; users may schedule {', '.join(exposed) or 'none'}")


def _differ(wanted: Mapping[str, Any], published: Mapping[str, Any]) -> bool:
    return any((wanted[column] or {}) != (published[column] or {}) for column in COMPARED)
