"""The listeners: one slot each, with a road and a clock of its own, killed, stopped and replaced as the faults ask."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
from child_listener import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from faulty_proxy import FaultyProxy

    from listener.local.stack import Stack

JOBS = Path(__file__).parent / "jobs"
READY_SECONDS = 60.0
RUN = ("-m", "listener.cli", "run")


@dataclass(eq=False)
class Replica:
    """One process. `died` is when it was seen to be gone, `paused` the spans in which it was stopped; monotonic."""

    slot: int
    process: subprocess.Popen[bytes]
    url: str
    log: Path
    is_doomed: bool = False
    died: float | None = None
    paused: list[tuple[float, float]] = field(default_factory=list)

    @property
    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def end(self, order: signal.Signals) -> None:
        """Send a signal that it will not survive."""
        self.is_doomed = True
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(order)

    async def gone(self, within: float = 40.0) -> int:
        """Wait for its end, and give its exit code."""
        with anyio.fail_after(within):
            while (code := self.process.poll()) is None:
                await anyio.sleep(0.02)
        self.died = time.monotonic()
        return code

    async def freeze(self, seconds: float) -> None:
        """Stop it with SIGSTOP for a while."""
        began = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGSTOP)
            try:
                await anyio.sleep(seconds)
            finally:
                self.process.send_signal(signal.SIGCONT)
                self.paused.append((began, time.monotonic()))

    async def ready(self) -> str:
        """Say why it is not ready, or nothing."""
        answer = await self.readiness()
        return "" if answer.startswith("ok\n") else answer

    async def readiness(self) -> str:
        """Give the text of `/readyz`, which begins with `ok` or why it is not ready."""
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
                return (await http.get(f"{self.url}/readyz")).text
        except httpx.HTTPError as fault:
            return f"{type(fault).__name__} at /readyz"


class Replicas:
    """Keeps every slot filled.

    Args:
        stack: what they listen to.
        roads: for each slot the road to the gateway.
        folder: where logs, records and clocks lie.
        settings: names and values of the environment, the same for all.
    """

    def __init__(
        self,
        stack: Stack,
        roads: list[FaultyProxy],
        folder: Path,
        settings: Mapping[str, object],
    ) -> None:
        self._stack, self.roads, self._folder, self._settings = stack, roads, folder, dict(settings)
        self._command, self._extra = RUN, dict[str, object]()
        self.all: list[Replica] = []
        self.slots: list[Replica] = []
        self.records = folder / "records"
        self.records.mkdir(exist_ok=True)

    async def start_all(self, command: tuple[str, ...] = RUN, **settings: object) -> None:
        """Fill every slot, and wait until all are ready.

        Args:
            command: arguments of Python that start a listener.
            settings: names and values of the environment, beside those that all have.
        """
        self._command, self._extra = command, settings
        self.slots = [self.launch(slot) for slot in range(len(self.roads))]
        for each in self.slots:
            await self.wait_until_ready(each)

    def launch(self, slot: int) -> Replica:
        """Start a process in a slot."""
        port = free_port()
        log = self._folder / f"listener-{slot}-{len(self.all)}.log"
        environment = {
            **os.environ,
            **self._stack.environment(),
            "SUPABASE_URL": f"http://127.0.0.1:{self.roads[slot].port}",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(JOBS), os.environ.get("PYTHONPATH")))),
            "LISTENER_HANDLERS": "handlers,chaos_handlers",
            "LISTENER_HTTP_BIND": f"127.0.0.1:{port}",
            "CHAOS_RECORDS": str(self.records),
            "CHAOS_CLOCK": str(self.clock(slot)),
            **{name: str(value) for name, value in {**self._settings, **self._extra}.items()},
        }
        with log.open("wb") as output:
            command = [sys.executable, *self._command]
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        replica = Replica(slot, process, f"http://127.0.0.1:{port}", log)
        self.all.append(replica)
        return replica

    async def replace(self, slot: int) -> None:
        """Start a new process in a slot; it becomes ready in its own time."""
        await self.slots[slot].gone()
        self.slots[slot] = self.launch(slot)

    async def wait_until_ready(self, replica: Replica, within: float = READY_SECONDS) -> None:
        """Wait until `/readyz` says so."""
        deadline = time.monotonic() + within
        while why := await replica.ready():
            assert replica.is_alive, replica.log.read_text()[-4000:]
            assert time.monotonic() < deadline, (
                f"not ready within {within:g} s: {why}\n{replica.log.read_text()[-4000:]}"
            )
            await anyio.sleep(0.1)

    def clock(self, slot: int) -> Path:
        """Give the file that steps the wall clock of a slot."""
        return self._folder / f"clock-{slot}"

    def died_alone(self) -> list[str]:
        """Report processes that ended although nothing ended them."""
        return [
            f"the listener of {each.log} ended by itself with exit code {each.process.poll()}"
            for each in self.all
            if not each.is_alive and not each.is_doomed
        ]

    def stop_all(self) -> None:
        """End them all."""
        for each in self.all:
            if each.is_alive:
                each.end(signal.SIGKILL)
            each.process.wait()
            each.died = each.died or time.monotonic()
