"""A handler that does nothing, for tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import anyio

from listener import Fail, JobContext, handler

LONGEST_SECONDS = 60.0
"""It is exposed: whoever may sign in must not hold slots with it."""


@handler("noop", exposed=True)
async def noop(job: JobContext, payload: Mapping[str, Any]) -> None:
    """Do nothing, for `sleep_seconds` if the payload says so; of a user's job, for a minute at most."""
    seconds = payload.get("sleep_seconds")
    if seconds:
        await anyio.sleep(_bounded(seconds, LONGEST_SECONDS if job.row.get("exposed_only") else math.inf))


def _bounded(seconds: Any, most: float) -> float:  # noqa: ANN401 - JSON of any user: a NaN would stop all the loop's timers
    try:
        number = float(seconds)
    except (TypeError, ValueError):
        number = math.nan
    if not (0 <= number <= most and number < math.inf):
        allowed = "seconds" if most == math.inf else f"at most {most:g} seconds"
        message = f"metadata.sleep_seconds: {str(seconds)[:100]!r} is not allowed; expected {allowed}"
        raise Fail(reason="invalid_payload", message=message)
    return number
