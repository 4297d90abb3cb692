"""Evaluates alert rules, through PostgREST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.domain.messages import Evaluated
from listener.errors import StoreError
from listener.supabase.activity import TRANSACTIONS

if TYPE_CHECKING:
    from listener.supabase.rpc import Calls


class SupabaseAlerts:
    """`AlertStore` of `listener.ports`; `rpc` calls the SQL functions."""

    def __init__(self, rpc: Calls) -> None:
        self._rpc, self._limit = rpc, TRANSACTIONS

    async def evaluate(self) -> Evaluated:
        """Evaluate the rules, unless another listener has just done it."""
        try:
            answer = await self._rpc.call(
                "evaluate_alerts_v1", {"limit": self._limit}, "opened", "resolved", "deliveries", "wait_seconds"
            )
        except StoreError as fault:
            if fault.split_batch:
                self._limit = max(1, self._limit // 2)
            raise
        self._limit = min(TRANSACTIONS, self._limit * 2)
        return Evaluated(answer["opened"], answer["resolved"], answer["deliveries"], float(answer["wait_seconds"]))
