"""Supabase out of reach: the listener says so, keeps what it has, and goes on when it is back."""

from __future__ import annotations

import contextlib
import socket
import threading

import httpx
import pytest
from child_listener import free_port
from ways import both_ways, through_postgrest


class Road:
    """A TCP road from a port of its own to another one, which can be closed and opened again."""

    def __init__(self, port: int, to_port: int) -> None:
        self.port, self._to_port = port, to_port
        self._ends: list[socket.socket] = []

    def open(self) -> None:
        """Let connections through."""
        self._gate = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._admit, args=(self._gate,), daemon=True).start()

    def close(self) -> None:
        """Refuse new connections and cut those that there are."""
        for end in [self._gate, *self._ends]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _admit(self, gate: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = gate.accept()
                far = socket.create_connection(("127.0.0.1", self._to_port))
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def road(a_free_port, embedded_stack):
    """Give a road to the stack, open."""
    road = Road(a_free_port, embedded_stack.ports["api"])
    road.open()
    yield road
    road.close()


@pytest.fixture
def roads(road, embedded_stack):
    """Give that road and one to the database, both open."""
    to_database = Road(free_port(), embedded_stack.ports["postgres"])
    to_database.open()
    yield road, to_database
    to_database.close()


@both_ways
def test_an_outage_is_reported_and_nothing_is_lost_in_it(project, listeners, roads, marks, eventually) -> None:
    """Not ready while it lasts, ready after it; what ended or came meanwhile is written and runs, once."""
    listeners.by_ports(*(each.port for each in roads))
    listener = listeners.start(poll_seconds=1)
    going_on = project.insert("rest", metadata={"marks": str(marks), "seconds": 1})
    eventually(lambda: "begun" in marks.read_text(), "the handler has begun")
    due_meanwhile = project.insert(run_date=project.soon(1.5))
    project.sql.execute("select pg_sleep(0.3)")
    for each in roads:
        each.close()
    new = project.insert()
    eventually(lambda: not listener.ready(), "it is not ready")
    answer = httpx.get(f"{listener.url}/readyz")
    assert answer.status_code == 503
    assert "database" in answer.text
    assert httpx.get(f"{listener.url}/livez").is_success
    eventually(lambda: "ended" in marks.read_text(), "the handler has ended")
    project.sql.execute("select pg_sleep(1)")
    assert project.job(going_on)["status"] == "running"

    for each in roads:
        each.open()
    eventually(listener.ready, "it is ready again")
    for job in (going_on, due_meanwhile, new):
        assert project.wait(job)["status"] == "completed"
        assert project.states(job) == [("completed", None)]
    assert [line.split()[0] for line in marks.read_text().splitlines()] == ["begun", "ended"]


def complaints(listener) -> list[str]:
    """Give the warnings and errors that it has logged."""
    return [line for line in listener.log.read_text().splitlines() if "[warning" in line or "[error" in line]


@through_postgrest
def test_a_service_without_a_first_answer_says_once_what_to_do(
    project, listeners, a_free_port, road, eventually
) -> None:
    """The message names the setting to check; the listener goes on when the server answers."""
    road.close()
    with socket.create_server(("127.0.0.1", a_free_port)) as mute:
        listener = listeners.launch(SUPABASE_URL=f"http://127.0.0.1:{a_free_port}")
        for _ in range(4):
            mute.accept()[0].close()
    (complaint,) = complaints(listener)
    assert "database.unreachable" in complaint
    assert "check SUPABASE_URL" in complaint
    assert "database: jobs_v1: " in httpx.get(f"{listener.url}/readyz").text
    road.open()
    listener.wait_until_ready()
    assert project.wait(project.insert())["status"] == "completed"


@through_postgrest
def test_a_wrong_key_is_reported_once_with_the_setting_that_has_it(project, listeners, eventually) -> None:
    """It is reported once, although every stage needs the key."""
    listener = listeners.launch(SUPABASE_SECRET_KEY="sb_secret_wrong")  # noqa: S106 - of nobody
    eventually(lambda: complaints(listener), "it complains", 30)
    eventually(lambda: "Invalid API key" in httpx.get(f"{listener.url}/readyz").text, "it is not ready")
    (complaint,) = complaints(listener)
    assert "database.needs_operator" in complaint
    assert "set SUPABASE_SECRET_KEY" in complaint
