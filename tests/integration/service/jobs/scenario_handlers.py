"""Handlers of the service's tests; they leave marks in a file that the test names, to show what really ran."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel

from listener import Fail, JobContext, Retry, Snooze, handler


class Errand(BaseModel):
    """Instructions of a test for its handler: where to leave marks, how long to take."""

    marks: Path | None = None
    seconds: float = 0.0
    good_from_attempt: int = 1

    def mark(self, word: str, job: JobContext) -> None:
        """Add a line: the word, the process, the attempt."""
        if self.marks is not None:
            with self.marks.open("a") as marks:
                marks.write(f"{word} {os.getpid()} {job.attempt}\n")


class Parcel(BaseModel):
    """A payload with fields that may be wrong."""

    event_id: str
    count: int


@handler("rest")
async def rest(job: JobContext, errand: Errand) -> dict[str, Any]:
    """Wait on the loop; returns its arguments."""
    errand.mark("begun", job)
    try:
        await anyio.sleep(errand.seconds)
    except anyio.get_cancelled_exc_class():
        errand.mark("stopped", job)
        raise
    errand.mark("ended", job)
    return {"test_mode": job.test_mode, "attempt": job.attempt, "scheduled_for": job.scheduled_for.isoformat()}


@handler("rest_in_thread")
def rest_in_thread(job: JobContext, errand: Errand) -> None:
    """Wait in a thread, looking now and then whether to stop."""
    errand.mark("begun", job)
    until = time.monotonic() + errand.seconds
    while time.monotonic() < until:
        if job.cancelled:
            errand.mark("stopped", job)
            job.check_cancelled()
        time.sleep(0.02)
    errand.mark("ended", job)


@handler("rest_in_process", run_in="process")
def rest_in_process(job: JobContext, errand: Errand) -> None:
    """Wait in a worker process, without looking whether to stop."""
    errand.mark("begun", job)
    time.sleep(errand.seconds)
    errand.mark("ended", job)


@handler("rest_by_twos", concurrency=2)
async def rest_by_twos(job: JobContext, errand: Errand) -> None:
    """Wait on the loop, two at a time."""
    await rest(job, errand)


@handler("rest_by_twos_in_thread", concurrency=2)
def rest_by_twos_in_thread(job: JobContext, errand: Errand) -> None:
    """Wait in a thread, two at a time."""
    rest_in_thread(job, errand)


@handler("rest_stale_in_thread")
def rest_stale_in_thread(job: JobContext, errand: Errand) -> None:
    """Wait in a thread without ever looking whether to stop."""
    errand.mark("begun", job)
    time.sleep(errand.seconds)


@handler("cling")
async def cling(job: JobContext, errand: Errand) -> None:
    """Wait on the loop, and take no notice of being cancelled."""
    errand.mark("begun", job)
    with anyio.CancelScope(shield=True):
        await anyio.sleep(errand.seconds)


@handler("swallow")
async def swallow(job: JobContext, errand: Errand) -> None:
    """Wait on the loop, and go on however often it is cancelled."""
    errand.mark("begun", job)
    until = time.monotonic() + errand.seconds
    while time.monotonic() < until:
        with contextlib.suppress(anyio.get_cancelled_exc_class()):
            await anyio.sleep(1)


@handler("ignore_sigterm_in_process", run_in="process")
def ignore_sigterm_in_process(job: JobContext, errand: Errand) -> None:
    """Wait in a worker process that takes no notice of SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    rest_in_process(job, errand)


@handler("fork_in_thread")
def fork_in_thread(job: JobContext, errand: Errand) -> None:
    """Leave a child behind."""
    child = os.fork()
    if child == 0:
        time.sleep(errand.seconds)
        return
    with Path(str(errand.marks)).open("a") as marks:
        marks.write(f"child {child}\n")


@handler("block")
async def block(job: JobContext, errand: Errand) -> None:
    """Hold up the loop."""
    errand.mark("begun", job)
    time.sleep(errand.seconds)  # noqa: ASYNC251 - the point


@handler("fail_first")
async def fail_first(job: JobContext, errand: Errand) -> None:
    """Fail, after a while, until the attempt that is to be good."""
    errand.mark("begun", job)
    await anyio.sleep(errand.seconds)
    if job.attempt < errand.good_from_attempt:
        message = f"attempt {job.attempt} is too early"
        raise RuntimeError(message)


@handler("ask_again")
async def ask_again(job: JobContext) -> int:
    """Ask for a second attempt after a delay of its own choice."""
    if job.attempt == 1:
        raise Retry(after=0.3)
    return job.attempt


@handler("give_up")
async def give_up(_job: JobContext) -> None:
    """Fail for good."""
    raise Fail(reason="no_such_recipient", message="nobody lives there")


@handler("doze")
async def doze(job: JobContext) -> int:
    """Snooze for half a second after its due instant."""
    wanted = job.scheduled_for + timedelta(seconds=0.5)
    if job.now() < wanted:
        raise Snooze(until=wanted)
    return job.attempt


@handler("deliver")
async def deliver(_job: JobContext, payload: Parcel) -> str:
    """Take a payload that has a shape."""
    return payload.event_id
