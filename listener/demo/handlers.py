"""The handlers of the demo; loaded through LISTENER_HANDLERS like any others."""

from __future__ import annotations

import anyio
from pydantic import BaseModel

from listener import JobContext, handler

STEP_SECONDS = 0.1


class Greeting(BaseModel):
    """The name to greet."""

    name: str


class Stubborn(BaseModel):
    """The attempt that succeeds."""

    succeeds_at: int


class Work(BaseModel):
    """The duration of the work."""

    seconds: float


@handler("demo_greet", exposed=True)
async def greet(job: JobContext, payload: Greeting) -> str:
    """Greet somebody; in test mode, return the greeting's addressee."""
    return f"would greet {payload.name}" if job.test_mode else f"hello, {payload.name}"


@handler("demo_stubborn", exposed=True)
async def stubborn(job: JobContext, payload: Stubborn) -> str:
    """Fail until the attempt at which it succeeds."""
    if job.attempt < payload.succeeds_at:
        message = f"no luck at attempt {job.attempt}"
        raise ConnectionError(message)
    return f"done at attempt {job.attempt}"


@handler("demo_work", exposed=True)
async def work(job: JobContext, payload: Work) -> str:
    """Work for a while and report progress."""
    steps = max(1, round(payload.seconds / STEP_SECONDS))
    for step in range(steps):
        await anyio.sleep(STEP_SECONDS)
        await job.progress((step + 1) / steps)
    return f"worked {payload.seconds:g} s"
