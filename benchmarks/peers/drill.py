"""The measurement of every peer: the same jobs, in its own process, timed in its own handler.

This module imports nothing but the standard library: each peer runs in an environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

JOBS = {"throughput": 20_000, "lateness": 2_000, "together": 1_000, "pickup": 100}


class Peer(Protocol):
    """A scheduler under test. Its handler calls `drill.started(number)`, and nothing else."""

    async def prepare(self) -> None:
        """Connect and create its tables."""

    async def enqueue(self, due: Sequence[float | None], first: int = 0) -> None:
        """Enqueue jobs numbered from `first`, each due at its time (seconds since 1970), or at once where None."""

    async def work(self) -> None:
        """Start the worker in the background."""


class Drill:
    """One measurement of one peer; `throughput` says how many jobs that one has, where 20,000 take minutes."""

    def __init__(self, name: str, throughput: int = JOBS["throughput"]) -> None:
        self._name, self._count = name, throughput if name == "throughput" else JOBS[name]
        self._began: dict[int, float] = {}
        self._all = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def started(self, number: int) -> None:
        """Note that the handler of job `number` runs, in whatever thread."""
        self._began.setdefault(number, time.time())
        if len(self._began) == self._count and self._loop:
            self._loop.call_soon_threadsafe(self._all.set)

    async def run(self, peer: Peer) -> dict[str, float]:
        """Measure.

        Raises:
            TimeoutError: not every job ran within three minutes.
        """
        self._loop = asyncio.get_running_loop()
        await peer.prepare()
        async with asyncio.timeout(180):
            return await getattr(self, f"_{self._name}")(peer)

    async def _throughput(self, peer: Peer) -> dict[str, float]:
        await peer.enqueue([None] * self._count)
        began = time.time()
        await peer.work()
        await self._all.wait()
        return {"jobs_per_second": round(self._count / (time.time() - began))}

    async def _lateness(self, peer: Peer) -> dict[str, float]:
        chance, start = random.Random(1), time.time() + 8  # noqa: S311 - the same jobs for every peer
        return await self._late(peer, [start + 20 * chance.random() for _ in range(self._count)])

    async def _together(self, peer: Peer) -> dict[str, float]:
        return await self._late(peer, [time.time() + 8] * self._count)

    async def _late(self, peer: Peer, due: Sequence[float]) -> dict[str, float]:
        await peer.work()
        await peer.enqueue(due)
        await self._all.wait()
        return summary([(self._began[number] - at) * 1000 for number, at in enumerate(due)])

    async def _pickup(self, peer: Peer) -> dict[str, float]:
        await peer.work()
        await asyncio.sleep(2)
        seen = []
        for number in range(self._count):
            await peer.enqueue([None], number)
            committed = time.time()
            while number not in self._began:
                await asyncio.sleep(0.001)
            seen.append((self._began[number] - committed) * 1000)
        return summary(seen)


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and the maximum of milliseconds."""
    ordered = sorted(values)
    return {
        "p50_ms": round(ordered[len(ordered) // 2], 2),
        "p99_ms": round(ordered[int(0.99 * len(ordered))], 2),
        "max_ms": round(ordered[-1], 2),
    }


def main(peer: type[Peer], drill: Drill) -> None:
    """Measure and print one line of JSON."""
    print(json.dumps(asyncio.run(drill.run(peer()))), flush=True)
    os._exit(0)  # no peer is waited for
