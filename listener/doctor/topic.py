"""Looks who may join the listeners' private topic: a project's policies may let everybody into every one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from postgrest.exceptions import APIError

from listener.doctor.finding import Finding
from listener.supabase.client import make_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from listener.settings import Settings

SUBJECT = "topic"
GUARD = "run `select job_scheduler.guard_topic()` as a role that may create policies on realtime.messages"
NARROW = "let each policy on realtime.messages name its topics, as in using ((select realtime.topic()) like 'room:%')"


async def examine_topic(settings: Settings) -> AsyncIterator[Finding]:
    """Read the policies on the messages of Realtime."""
    client = make_client(settings.url, settings.secret_key.get_secret_value())
    try:
        policies: Any = (await client.rpc("examine_topic_v1", {"request": {}}).execute()).data
    except APIError as fault:
        yield Finding(SUBJECT, f"not examined: {fault.message}", "see the line on migrations")
        return
    finally:
        await client.postgrest.aclose()
    for finding in judge_topic(policies):
        yield finding


def judge_topic(policies: Mapping[str, Any]) -> list[Finding]:
    """Return whether the topic is guarded, and which policies hold for every topic of the project."""
    if policies["guarded"] is None:
        return [Finding(SUBJECT, "this database has no realtime.messages")]
    guarded = Finding(SUBJECT, "only the service key may join the private topic job_scheduler")
    unguarded = Finding(SUBJECT, "a policy may let users join or send to the private topic job_scheduler", GUARD)
    wide = ", ".join(policies["blanket"])
    blanket = Finding("topic policies", f"hold for every private topic of this project: {wide}", NARROW)
    return [guarded if policies["guarded"] else unguarded, *([blanket] if wide else [])]
