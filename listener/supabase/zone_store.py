"""Corrects plans after a change of the zone database, through SQL functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.domain.messages import Page, ZoneDatabases
from listener.supabase import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from listener.domain.messages import Replan
    from listener.supabase.rpc import Calls

PAGE = 500


class SupabaseZoneStore:
    """`ZoneStore` of `listener.ports`.

    Args:
        rpc: calls the SQL functions.
        listener_id: this process's random id.
    """

    def __init__(self, rpc: Calls, listener_id: str) -> None:
        self._rpc, self._id = rpc, listener_id

    async def zone_database(self, version: str, replanned: str | None = None) -> ZoneDatabases:
        """Note this listener's version; with `replanned`, that what was planned by that version is planned anew."""
        request = {"listener": self._id, "version": version, "replanned": replanned}
        answer = await self._rpc.call("zone_database_v1", request, "planned_by", "older")
        return ZoneDatabases(answer["planned_by"], answer["older"])

    async def planned(self, after: object) -> Page:
        """Read a page of jobs that are planned by the rules of a zone."""
        answer = await self._rpc.call("planned_jobs_v1", {"after": after, "limit": PAGE}, "rows", "cursor", "after")
        return Page(rows.readable(answer["rows"], rows.job), answer["cursor"], answer["after"])

    async def replan(self, changes: Sequence[Replan]) -> int:
        """Replace due instants where they are still the same; returns how many."""
        plans = [
            {"id": change.job_id, "revision": change.revision, "was": change.was, "due": change.due}
            for change in changes
        ]
        return int((await self._rpc.call("replan_jobs_v1", {"plans": plans}, "replanned"))["replanned"])
