"""Handlers that leave a record outside of the database: what began and how it ended, by a clock that never steps."""

from __future__ import annotations

import functools
import json
import os
import time
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel

from listener import JobContext, handler


class Errand(BaseModel):
    """How long to take, and from which attempt on to succeed."""

    seconds: float = 0.0
    good_from_attempt: int = 1


class TooEarlyError(Exception):
    """The attempt is not the one that is to succeed."""


@functools.cache
def _record() -> int:
    """Open this process's file; a line written with O_APPEND is whole, and outlives a kill."""
    folder = Path(os.environ["CHAOS_RECORDS"])
    return os.open(folder / f"{os.getpid()}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def _note(word: str, job: JobContext) -> None:
    line = {"e": word, "x": job.execution_id, "m": time.monotonic()}
    if word == "begin":
        line |= {"j": job.job_id, "s": job.scheduled_for.isoformat(), "a": job.attempt}
    os.write(_record(), json.dumps(line).encode() + b"\n")


def _finish(job: JobContext, errand: Errand) -> dict[str, Any]:
    if job.attempt < errand.good_from_attempt:
        _note("failed", job)
        raise TooEarlyError
    _note("done", job)
    return {"pid": os.getpid()}


@handler("chaos")
async def chaos(job: JobContext, errand: Errand) -> dict[str, Any]:
    """Take a while on the loop."""
    _note("begin", job)
    try:
        await anyio.sleep(errand.seconds)
    except anyio.get_cancelled_exc_class():
        _note("stopped", job)
        raise
    return _finish(job, errand)


@handler("chaos_in_thread")
def chaos_in_thread(job: JobContext, errand: Errand) -> dict[str, Any]:
    """Take a while in a thread."""
    _note("begin", job)
    until = time.monotonic() + errand.seconds
    while time.monotonic() < until:
        if job.cancelled:
            _note("stopped", job)
            job.check_cancelled()
        time.sleep(0.02)
    return _finish(job, errand)
