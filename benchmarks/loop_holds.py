"""How long the loop is held while runs with large payloads, results, exceptions and log fields go through the executor.

    .venv/bin/python benchmarks/loop_holds.py [runs]

No database: the answer of a claim is read, runs are prepared and executed, and their results become a request, as the
store, the dispatcher, the executor and the completer do it. Printed for each kind: the longest time in which the loop
began nothing else, and the time of the process for one run.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - its policy measures each step of the loop
import io
import sys
import time
from typing import Any

import anyio
import anyio.lowlevel
from pydantic_core import from_json, to_json

from listener import JobContext, handler
from listener.commands.run import _tune_garbage_collection
from listener.execution.executor import Executor
from listener.execution.worker import CarriedClock
from listener.handler_api.registry import Handler, Registry
from listener.handlers.log import log
from listener.observability.events import configure_logging
from listener.testing import NOON, make_run

KILOBYTES = 200 * 1024


@handler
async def returns(_: JobContext, payload: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever it was given
    """Give the payload back."""
    return payload


@handler
async def raises(_: JobContext, payload: dict[str, Any]) -> None:
    """Raise the payload."""
    raise ValueError(str(payload["text"]))


@handler
async def logs(job: JobContext, payload: dict[str, Any]) -> None:
    """Log the payload, as fields and as the message."""
    job.log.info(str(payload)[:KILOBYTES], **payload)


def _deep(levels: int) -> Any:  # noqa: ANN401 - JSON
    value: Any = "Bearer abc"
    for _ in range(levels):
        value = {"a": value}
    return value


TEXT = {"text": "https://a:b " * (KILOBYTES // 12)}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "log: message and fields": (log, {"message": "Bearer abc " * 700, "fields": TEXT}),
    "log: many small fields": (log, {"message": "m", "fields": {"a": [{"k": i} for i in range(KILOBYTES // 12)]}}),
    "logs 200 KB of text": (logs, TEXT),
    "logs deep JSON": (logs, {"deep": _deep(60), "text": "x" * KILOBYTES}),
    "returns 200 KB of text": (returns, TEXT),
    "returns small objects": (returns, {"a": [{"k": i} for i in range(KILOBYTES // 12)]}),
    "raises 200 KB": (raises, TEXT),
    "raises lines": (raises, {"text": "Bearer abc\n" * (KILOBYTES // 11)}),
}


class _Holds:
    """Times every step of the loop, by the processor's time of this thread: other programs do not count."""

    def __init__(self) -> None:
        self.longest = 0.0
        run = asyncio.Handle._run  # noqa: SLF001 - what the loop calls for each step

        def timed(step: asyncio.Handle) -> None:
            began = time.thread_time()
            run(step)
            self.longest = max(self.longest, time.thread_time() - began)

        asyncio.Handle._run = timed  # type: ignore[method-assign] # noqa: SLF001


async def _measure(holds: _Holds, function: Any, payload: dict[str, Any], runs: int) -> tuple[float, float, int]:  # noqa: ANN401
    handlers = [Handler.of(each) for each in (log, returns, raises, logs)]
    executor = Executor(Registry(handlers), CarriedClock(NOON), lambda: None)
    body = to_json(payload)
    name = Handler.of(function).name

    async def one(prepared: Any) -> None:  # noqa: ANN401 - a claimed run
        report = await executor.execute(prepared)
        to_json({"outcome": report.outcome, "logs": report.logs}, fallback=str)

    await anyio.lowlevel.checkpoint()
    holds.longest, began = 0.0, time.process_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(runs):
            tasks.start_soon(one, executor.prepare(make_run(name, from_json(body))))
            await anyio.lowlevel.checkpoint()
    longest, spent = holds.longest, time.process_time() - began
    await executor.aclose()
    return longest * 1000, spent / runs * 1000, len(body)


def main() -> None:
    """Print a row for each kind."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    configure_logging("json", "info", io.StringIO())
    _tune_garbage_collection()
    holds = _Holds()
    print(f"{'kind':28}{'payload':>10}{'longest hold':>16}{'a run':>12}")
    for kind, (function, payload) in KINDS.items():
        longest, each, size = anyio.run(_measure, holds, function, payload, runs)
        print(f"{kind:28}{size:>8} B{longest:>13.1f} ms{each:>9.1f} ms")


if __name__ == "__main__":
    main()
