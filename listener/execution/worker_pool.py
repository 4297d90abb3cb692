"""Worker processes, each of which serves one run after another.

Takes tasks. Gives answers, and what was printed meanwhile, by a handler or by what it has started. Guarantees that a
worker that was killed, died, or cannot be relied on any more takes along what its handler started in its session.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import secrets
import signal
import socket
import subprocess
import sys
import time
from multiprocessing import spawn
from typing import TYPE_CHECKING, Any

import anyio
from anyio import BrokenWorkerProcess

from listener.execution.output import Output
from listener.execution.worker_process import LENGTH_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.execution.worker import Answer, Task

IDLE_SECONDS = 300.0
LOOK_SECONDS = 1.0
"""How often to see whether a worker lives that has not answered: its children may hold its socket open."""
END_SECONDS = 1.0
LAST_WORDS_SECONDS = 0.3
PAUSE_SECONDS = 0.01
"""Between reads of output that is not kept any more: whoever prints without end waits meanwhile, not the loop."""
CHUNK_BYTES = 1 << 16


class WorkerPool:
    """Workers at rest; the executor limits how many there are."""

    def __init__(self) -> None:
        self._idle: list[tuple[_Worker, float]] = []

    async def call(self, task: Task, log: Callable[[str], object]) -> Answer:
        """Have one call made.

        Args:
            task: the call.
            log: given each line that is printed while it goes on, and a last one about those that were not kept.

        Raises:
            BrokenWorkerProcess: the worker died before it answered.
            RuntimeError: the handler cannot be loaded in a worker.
        """
        request = pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
        worker = self._take()
        is_sound = False
        try:
            answer: Answer | BaseException = await worker.call(request, Output(worker.mark, log))
            is_sound = worker.is_sound
        finally:
            if is_sound:
                self._idle.append((worker, time.monotonic()))
            else:
                await worker.end()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def aclose(self) -> None:
        """End the workers at rest."""
        while self._idle:
            await self._idle.pop()[0].end()

    def _take(self) -> _Worker:
        """Give the worker that rested last, and end those that have rested for long."""
        while self._idle and self._idle[0][1] < time.monotonic() - IDLE_SECONDS:
            self._idle.pop(0)[0].kill()
        while self._idle:
            worker, _ = self._idle.pop()
            if worker.process.poll() is None:
                return worker
            worker.kill()
        return _Worker()


class _Worker:
    """One process, the socket to it, and the pipe of its output."""

    def __init__(self) -> None:
        self.mark = b"\0" + secrets.token_bytes(16).hex().encode() + b"\0\n"
        self.is_sound = True
        self._wire, theirs = socket.socketpair()
        self._output, into = os.pipe()
        command = [sys.executable, "-u", "-m", "listener.execution.worker_process"]
        with theirs, os.fdopen(into, "wb") as printed:
            self.process = subprocess.Popen(  # noqa: S603 - in this thread, whose end would be the worker's
                [*command, str(theirs.fileno()), str(os.getpid()), self.mark.hex()],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        _alive.add(self)
        for descriptor in (self._wire.fileno(), self._output):
            os.set_blocking(descriptor, False)
        preparation = spawn.get_preparation_data("worker")
        del preparation["authkey"]  # is not to be sent
        self._preparation: bytes | None = pickle.dumps(preparation)

    async def call(self, request: bytes, output: Output) -> Any:  # noqa: ANN401 - what the worker sent
        """Send a request, and give the answer; reads the output meanwhile, and for a moment afterwards.

        Raises:
            BrokenWorkerProcess: it died.
        """
        answer, broken = None, None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, output)
            try:
                for content in filter(None, (self._preparation, request)):
                    await self._send(len(content).to_bytes(LENGTH_BYTES, "big") + content)
                self._preparation = None
                answer = pickle.loads(await self._receive())  # noqa: S301 - our worker has written it
            except (OSError, EOFError) as error:
                broken = error
                self._kill_session()
            with anyio.move_on_after(LAST_WORDS_SECONDS):
                await output.ended.wait()
            tasks.cancel_scope.cancel()
        self.is_sound = output.ended.is_set() and not output.is_cut_off and broken is None
        output.finish()
        if broken is not None:
            await self.end()
            raise BrokenWorkerProcess(_how_it_ended(self.process.returncode)) from broken
        return answer

    async def end(self) -> None:
        """Kill it with all that it started, and see it go."""
        self._kill_session()
        with anyio.CancelScope(shield=True), anyio.move_on_after(END_SECONDS):
            while self.process.poll() is None:  # noqa: ASYNC110 - its death is the event
                await anyio.sleep(0.002)
        self.kill()

    def kill(self) -> None:
        """Kill it with all that it started, and let go of it."""
        if self not in _alive:
            return
        _alive.discard(self)
        self._kill_session()
        self._wire.close()
        os.close(self._output)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.1)

    def _kill_session(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def _send(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            try:
                left = left[self._wire.send(left) :]
            except BlockingIOError:
                await anyio.wait_writable(self._wire)

    async def _receive(self) -> bytes:
        length = await self._read(LENGTH_BYTES)
        return await self._read(int.from_bytes(length, "big"))

    async def _read(self, count: int) -> bytes:
        content = bytearray()
        while len(content) < count:
            try:
                part = self._wire.recv(min(count - len(content), 1 << 20))
            except BlockingIOError:
                with anyio.move_on_after(LOOK_SECONDS) as waiting:
                    await anyio.wait_readable(self._wire)
                if waiting.cancelled_caught and self.process.poll() is not None:
                    raise EOFError from None
                continue
            if not part:
                raise EOFError
            content += part
        return bytes(content)

    async def _listen(self, output: Output) -> None:
        """Read the output until its mark has come, or until its end."""
        while not output.ended.is_set():
            try:
                part = os.read(self._output, CHUNK_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(self._output)
                continue
            if not part:
                output.cut_off()
                break
            output.feed(part)
            await anyio.sleep(PAUSE_SECONDS if output.is_full else 0)


_alive: set[_Worker] = set()


atexit.register(lambda: [*map(_Worker.kill, list(_alive))])


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the worker process was killed by {signal.Signals(-code).name}"
    return f"the worker process ended with code {code}" if code is not None else "the worker process does not answer"
