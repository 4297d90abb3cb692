"""The program of a worker process: one call after another, over a socket that nothing else writes to.

Its standard output and error are a pipe to the listener, which puts what it reads there into the run's log.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import sys
from multiprocessing import spawn
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from listener.execution.worker import Answer

LENGTH_BYTES = 8


def main(wire_number: int, parent: int, mark: bytes) -> None:
    """Serve until the listener closes its end of the socket.

    Args:
        wire_number: the socket's descriptor.
        parent: the listener's process.
        mark: written to the output before and after each call, so that the parent knows whose output lies between.
    """
    from listener.execution.worker import belong_to  # noqa: PLC0415 - in the order of what may fail

    wire = socket.socket(fileno=wire_number)
    wire.set_inheritable(False)  # what a handler starts has no part in it
    belong_to(parent)
    me = os.getpid()
    preparation = _receive(wire)
    if preparation is None:
        return
    spawn.prepare(preparation)
    while (request := _receive(wire)) is not None:
        _mark(mark)
        answer = _answer(request)
        if os.getpid() != me:
            os._exit(0)  # a handler has forked, and its child has come back from it
        content = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        _mark(mark)
        wire.sendall(len(content).to_bytes(LENGTH_BYTES, "big") + content)


def _answer(request: Any) -> Answer | BaseException:  # noqa: ANN401 - a task, or why there is none
    from listener.execution.worker import work  # noqa: PLC0415 - as above

    return request if isinstance(request, BaseException) else work(request)


def _mark(mark: bytes) -> None:
    with contextlib.suppress(OSError):  # a handler has closed it, and the listener will miss the mark
        os.write(1, mark)


def _receive(wire: socket.socket) -> Any:  # noqa: ANN401 - whatever was sent
    length = _read(wire, LENGTH_BYTES)
    content = _read(wire, int.from_bytes(length, "big"))
    if not content:
        return None
    try:
        return pickle.loads(content)  # noqa: S301 - the listener has written it
    except BaseException as error:  # noqa: BLE001 - importing the handler's module may raise anything
        return RuntimeError(f"the handler cannot be loaded in a worker process: {type(error).__name__}: {error}")


def _read(wire: socket.socket, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:
        part = wire.recv(min(count - len(content), 1 << 20))
        if not part:
            return b""
        content += part
    return bytes(content)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), bytes.fromhex(sys.argv[3]))
