"""A pooler between clients and PostgreSQL, as Supabase has them: it gives sessions to clients, or to transactions.

Example::

    with running_pooler(dsn, by_transaction=True) as port:
        psycopg.connect(f"host=127.0.0.1 port={port} user=any dbname=any")
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

ENCRYPTION_REQUESTS = {80877103, 80877104}
PARAMETERS = {"client_encoding": "UTF8", "server_version": "18.0", "standard_conforming_strings": "on"}
FIRST_PROCESS = 4_000_000
"""The pooler names backends of its own: no process has these numbers."""
ENDS_A_REQUEST = {b"Q", b"S"}


class Pooler:
    """Serves each client in a thread. The session that was free last is given next, as PgBouncer does it.

    Args:
        dsn: the database, and the role of every session.
        by_transaction: whether a session is free again after each transaction, or when its client leaves.
    """

    def __init__(self, dsn: str, *, by_transaction: bool) -> None:
        self._dsn, self._by_transaction = dsn, by_transaction
        self._free: list[tuple[psycopg.Connection, socket.socket]] = []
        self._lock, self._clients, self._is_closed = threading.Lock(), 0, False
        self._gate = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._gate]
        self.port = self._gate.getsockname()[1]
        threading.Thread(target=self._admit, daemon=True).start()

    def close(self) -> None:
        """End every connection."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        with self._lock:
            self._is_closed = True
            for connection, _ in self._free:
                connection.close()

    def _admit(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._gate.accept()
                self._open.append(client)
                self._clients += 1
                threading.Thread(target=self._serve, args=(client, self._clients), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        session = None
        with contextlib.suppress(OSError, ConnectionError), client:
            while struct.unpack("!i", _read(client, struct.unpack("!i", _read(client, 4))[0] - 4)[:4])[0] in (
                ENCRYPTION_REQUESTS
            ):
                client.sendall(b"N")
            client.sendall(_greeting(FIRST_PROCESS + number))
            while (kind := (message := _message(client))[:1]) != b"X":
                session = session or self._take()
                session[1].sendall(message)
                if kind in ENDS_A_REQUEST and self._carry(session[1], client) == b"I" and self._by_transaction:
                    self._give_back(session)
                    session = None
        if session is not None:
            session[0].close()

    def _carry(self, session: socket.socket, client: socket.socket) -> bytes:
        """Carry the answer to a request; return whether a transaction is open."""
        while True:
            message = _message(session)
            client.sendall(message)
            if message[:1] == b"Z":
                return message[5:6]

    def _take(self) -> tuple[psycopg.Connection, socket.socket]:
        with self._lock:
            if self._free:
                return self._free.pop()
        connection = psycopg.connect(self._dsn, autocommit=True)
        session = socket.socket(fileno=os.dup(connection.fileno()))
        session.setblocking(True)  # noqa: FBT003 - it takes no name
        self._open.append(session)
        return connection, session

    def _give_back(self, session: tuple[psycopg.Connection, socket.socket]) -> None:
        with self._lock:
            if self._is_closed:
                session[0].close()
            else:
                self._free.append(session)


def _read(source: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        piece = source.recv(count - len(content))
        if not piece:
            raise ConnectionError
        content += piece
    return content


def _message(source: socket.socket) -> bytes:
    head = _read(source, 5)
    return head + _read(source, struct.unpack("!i", head[1:])[0] - 4)


def _greeting(process: int) -> bytes:
    said = [b"R" + struct.pack("!ii", 8, 0)]
    for name, value in PARAMETERS.items():
        content = f"{name}\0{value}\0".encode()
        said.append(b"S" + struct.pack("!i", len(content) + 4) + content)
    return b"".join([*said, b"K" + struct.pack("!iii", 12, process, 1), b"Z" + struct.pack("!i", 5) + b"I"])


@contextlib.contextmanager
def running_pooler(dsn: str, *, by_transaction: bool) -> Iterator[int]:
    """Run a pooler, and give its port."""
    pooler = Pooler(dsn, by_transaction=by_transaction)
    try:
        yield pooler.port
    finally:
        pooler.close()
