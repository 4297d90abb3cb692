"""Publishes the catalogue of handlers through SQL functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from listener.supabase.rpc import Calls


class SupabaseCatalogue:
    """`CatalogueStore` of `listener.ports`.

    Args:
        rpc: calls the SQL functions.
        listener_id: this process's random id.
    """

    def __init__(self, rpc: Calls, listener_id: str) -> None:
        self._rpc, self._id = rpc, listener_id

    async def publish(self, handlers: Sequence[dict[str, Any]]) -> int:
        """Write handlers, and delete those that nobody has published for long; returns how many were written."""
        request = {"listener": self._id, "handlers": list(handlers)}
        return int((await self._rpc.call("publish_handlers_v1", request, "published"))["published"])
