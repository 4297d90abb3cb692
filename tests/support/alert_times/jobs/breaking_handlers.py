"""A handler that fails as its row says."""

from __future__ import annotations

from pydantic import BaseModel

from listener import Fail, JobContext, handler


class Fate(BaseModel):
    """How a run ends."""

    fails: bool


@handler("breaks")
async def breaks(job: JobContext, payload: Fate) -> None:
    """Fail for good where the row says so."""
    del job
    if payload.fails:
        raise Fail(reason="broken", message="it is broken")
