"""A handler that does nothing, for tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import anyio

from listener import Fail, JobContext, handler


@handler("noop", exposed=True)
async def noop(_job: JobContext, payload: Mapping[str, Any]) -> None:
    """Do nothing, for `sleep_seconds` if the payload says so."""
    seconds = payload.get("sleep_seconds")
    if seconds:
        await anyio.sleep(_finite(seconds))


def _finite(seconds: Any) -> float:  # noqa: ANN401 - JSON of any user: a NaN among the loop's timers would stop them all
    try:
        number = float(seconds)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        message = f"metadata.sleep_seconds: {str(seconds)[:100]!r} is not allowed; expected seconds"
        raise Fail(reason="invalid_payload", message=message)
    return number
