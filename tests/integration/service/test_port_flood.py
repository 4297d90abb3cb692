"""A flood of the service's own port delays nobody's jobs, and large payloads of one tenant do not either."""

from __future__ import annotations

import threading
from collections import Counter

import httpx
import pytest

PATIENCE_SECONDS = 15
PAGES = {
    "previews": "/api/preview?n=100&timezone=Europe/Berlin&cron=0 0 29 2 */8",
    "invalid previews": '/api/preview?trigger=daily&schedule={"time":' + "[" * 1000,
    "readiness": "/readyz",
    "metrics": "/metrics",
}


@pytest.fixture(params=PAGES)
def flood(request, listener):
    """Let sixteen clients ask for a page as fast as they are answered, and count the answers."""
    answers: Counter[int | str] = Counter()
    done = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=PATIENCE_SECONDS) as client:
            while not done.is_set():
                try:
                    answers[client.get(listener.url + PAGES[request.param]).status_code] += 1
                except (httpx.RemoteProtocolError, httpx.ReadError):  # a connection ends after a while
                    answers["closed"] += 1

    clients = [threading.Thread(target=ask) for _ in range(16)]
    for client in clients:
        client.start()
    try:
        yield answers
    finally:
        done.set()
        for client in clients:
            client.join()


def test_jobs_run_while_sixteen_clients_ask(project, listener, flood, eventually):
    """They start, and the loop is not held: the service stays ready."""
    for _ in range(10):
        assert project.wait(project.insert(), within=PATIENCE_SECONDS)["status"] == "completed"
    assert httpx.get(f"{listener.url}/livez", timeout=PATIENCE_SECONDS).text == "ok"
    assert "loop: ok" in httpx.get(f"{listener.url}/readyz", timeout=PATIENCE_SECONDS).text
    eventually(lambda: sum(flood.values()) >= 16, "each client has been answered")
    assert set(flood) <= {200, 400, 503, "closed"}


def test_forty_large_payloads_are_claimed_in_parts_and_all_run(project, listener):
    """As many as fit in an answer at a time; the others follow at once."""
    large = {"text": "x" * 200_000}
    jobs = [project.insert(metadata=large) for _ in range(10)]
    one_post = project.client.table("scheduled_jobs").insert([{"handler": "noop", "metadata": large}] * 40).execute()
    neighbour = project.insert()
    for job in [neighbour, *jobs, *(row["id"] for row in one_post.data)]:
        assert project.wait(job, within=PATIENCE_SECONDS)["status"] == "completed"
