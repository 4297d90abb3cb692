"""Handlers with the names that the environment lists: the tests' listeners differ by them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from listener import JobContext, handler

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = os.environ.get("POOL_HANDLERS", "pooled").split(",")


def _named(name: str) -> Callable[..., Any]:
    @handler(name)
    async def report(_job: JobContext) -> list[str]:
        """Return the names of all handlers of this listener's pool."""
        return NAMES

    return report


globals().update({name: _named(name) for name in NAMES})
