"""Counts what ended, through SQL functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.errors import StoreError

if TYPE_CHECKING:
    from listener.supabase.rpc import Calls

TRANSACTIONS = 200_000
"""In one request: fewer follow one that took too long."""


class SupabaseActivity:
    """`ActivityStore` of `listener.ports`; `rpc` calls the SQL functions."""

    def __init__(self, rpc: Calls) -> None:
        self._rpc, self._limit = rpc, TRANSACTIONS

    async def roll_up(self) -> tuple[int, bool]:
        """Add the runs that ended since the last call to their hours; returns how many, and whether more are left."""
        try:
            answer = await self._rpc.call("roll_up_activity_v1", {"limit": self._limit}, "counted", "more")
        except StoreError as fault:
            if fault.split_batch:
                self._limit = max(1, self._limit // 2)
            raise
        self._limit = min(TRANSACTIONS, self._limit * 2)
        return answer["counted"], answer["more"]
