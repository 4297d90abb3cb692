"""What the jobs of the demo do; loaded through LISTENER_HANDLERS as anybody's handlers are."""

from __future__ import annotations

import anyio
from pydantic import BaseModel

from listener import JobContext, handler

STEP_SECONDS = 0.1


class Greeting(BaseModel):
    """Whom to greet."""

    name: str


class Stubborn(BaseModel):
    """At which attempt to give in."""

    succeeds_at: int


class Work(BaseModel):
    """How long to work."""

    seconds: float


@handler("demo_greet", exposed=True)
async def greet(job: JobContext, payload: Greeting) -> str:
    """Greet somebody; in test mode, say whom it would greet."""
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
    """Work for a while and tell how far it is."""
    steps = max(1, round(payload.seconds / STEP_SECONDS))
    for step in range(steps):
        await anyio.sleep(STEP_SECONDS)
        await job.progress((step + 1) / steps)
    return f"worked {payload.seconds:g} s"
