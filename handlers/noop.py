"""A handler for trying things out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio

from listener import JobContext, handler


@handler("noop")
async def noop(_job: JobContext, payload: Mapping[str, Any]) -> None:
    """Do nothing, for `sleep_seconds` if the payload says so."""
    seconds = payload.get("sleep_seconds")
    if seconds:
        await anyio.sleep(float(seconds))
