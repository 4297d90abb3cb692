"""The zoo: ways of ending badly, one small function each, and what the ledger is to say of it; and innocent handlers.

A kind is a module. An animal touches the file `mark` of its payload when it begins. Innocents stay until theirs exists,
and then tell whether anything has reached them.
"""

from __future__ import annotations

import asyncio
import decimal
import os
import time
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import BaseModel

from listener import JobContext, handler

if TYPE_CHECKING:
    from collections.abc import Callable

COLOUR: ContextVar[str] = ContextVar("colour", default="none")


class Visit(BaseModel):
    """Where an animal says that it has begun."""

    mark: Path


@dataclass(frozen=True)
class Expected:
    """What the ledger is to say: the status, the reason, and a part of the error."""

    status: str
    reason: str | None
    error: str
    lingers: bool
    kind: str


ANIMALS: dict[str, Expected] = {}


def animal(  # noqa: PLR0913 - what the ledger may say
    status: str = "failed",
    reason: str | None = None,
    error: str = "",
    *,
    run_in: Any = None,
    timeout: float | None = None,
    lingers: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a handler as one that ends badly; one that lingers ends seconds after it was told to stop."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        kind = function.__module__.rpartition(".")[2]
        ANIMALS[function.__name__] = Expected(status, reason, error, lingers, kind)
        return handler(run_in=run_in, timeout=timeout)(function)

    return mark


process: dict[str, Any] = {"run_in": "process"}


def what_reached_me() -> list[str]:
    """Name what another run has left where this one runs."""
    found = {
        "context variable": COLOUR.get() != "none",
        "decimal context": decimal.getcontext().prec != 28,
        "log context": bool(structlog.contextvars.get_contextvars()),
        "folder": Path.cwd() == Path("/"),
        "environment": "STAINED" in os.environ,
    }
    return [name for name, has_come in found.items() if has_come]


@handler
async def innocent(job: JobContext, visit: Visit) -> list[str]:
    """Stay beside animals on the loop."""
    while not visit.mark.exists():
        await asyncio.sleep(0.01)
    for _ in range(10):
        await asyncio.sleep(0.005)
    task = asyncio.current_task()
    cancelled = ["cancellation"] if job.cancelled or task is None or task.cancelling() else []
    return what_reached_me() + cancelled


@handler
async def innocent_with_a_client(job: JobContext, visit: Visit) -> list[str]:
    """Stay beside animals on the loop, and ask the database."""
    while not visit.mark.exists():
        await job.client.table("job_handlers").select("name").limit(1).execute()
        await asyncio.sleep(0.05)
    await job.client.table("job_handlers").select("name").limit(1).execute()
    return what_reached_me()


@handler
def innocent_in_thread(job: JobContext, visit: Visit) -> list[str]:
    """Stay beside animals in a thread."""
    while not visit.mark.exists():
        time.sleep(0.01)
    time.sleep(0.05)
    return what_reached_me() + (["cancellation"] if job.cancelled else [])


@handler(run_in="process")
def innocent_in_process(job: JobContext, visit: Visit) -> list[str]:
    """Stay beside animals in a process."""
    return innocent_in_thread(job, visit)


def stain() -> None:
    """Leave something behind wherever that is possible."""
    COLOUR.set("red")
    decimal.getcontext().prec = 3
    structlog.contextvars.bind_contextvars(tenant="another")
