"""Resources that handlers open once for all runs of a listener: clients, pools."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from listener.handler_api.context import Opener


class SharedResources:
    """Opens each resource at its first use; closes all together, the last one first."""

    def __init__(self) -> None:
        self._open: dict[Opener, Any] = {}
        self._stack = AsyncExitStack()
        self._lock = anyio.Lock()

    async def get(self, opener: Opener) -> Any:  # noqa: ANN401 - whatever the opener opens
        """Return the resource of `opener`, opened at the first call; if an opener raises, the next call tries again."""
        if opener not in self._open:
            async with self._lock:
                if opener not in self._open:
                    self._open[opener] = await self._stack.enter_async_context(opener())
        return self._open[opener]

    async def aclose(self) -> None:
        """Close everything; a later `get` opens its resource anew."""
        self._open.clear()
        await self._stack.aclose()
