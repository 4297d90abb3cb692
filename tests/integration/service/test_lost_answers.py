"""The database does what it was asked, and its answer never arrives: nothing waits for a lease or a list for that."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from ways import through_postgrest

pytestmark = through_postgrest
"""The answers are lost between the listener and the gateway."""
SELDOM = {"channels": "none", "stale_poll_seconds": 60, "relist_seconds": 60, "lease_seconds": 60, "drain_seconds": 0}
"""So that nothing but the repeated call can fix it in the time that the tests wait."""


class Forgetful(BaseHTTPRequestHandler):
    """Passes requests on, and drops the answers of functions as often as `lose` says."""

    target, lose, lost = "", Counter(), Counter()
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """Pass on."""
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name: self.headers[name] for name in ("apikey", "authorization") if self.headers[name]}
        answer = httpx.post(
            f"{self.target}{self.path}", content=body, headers={**headers, "Content-Type": "application/json"}
        )
        function = self.path.rsplit("/", 1)[-1]
        if self.lose[function] > 0 and answer.is_success:
            self.lose[function] -= 1
            self.lost[function] += 1
            self.close_connection = True
            return
        self.send_response(answer.status_code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def forgetful(embedded_stack):
    """A road to the stack that loses answers; its URL, and what to lose."""
    handler = type("Road", (Forgetful,), {"target": embedded_stack.url, "lose": Counter(), "lost": Counter()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()


def test_a_claim_whose_answer_is_lost_starts_all_the_same(project, listeners, forgetful) -> None:
    """Twice in a row; in the first attempt, of one-time and of recurring jobs, long before a lease could run out."""
    url, road = forgetful
    road.lose["claim_runs_v1"] = 2
    every = {"trigger_type": "interval", "schedule": {"seconds": 3600}, "max_runs": 1}
    jobs = [project.insert(), project.insert(**every), project.insert(concurrency_key="one at a time")]
    listeners.start(SUPABASE_URL=url, **SELDOM)
    for job in jobs:
        project.wait(job)
        assert project.states(job) == [("completed", None)]
        assert project.ledger(job)[0]["attempt"] == 1
    assert road.lost["claim_runs_v1"] == 2


def test_an_end_whose_answer_is_lost_arms_the_retry_that_it_queued(project, listeners, forgetful) -> None:
    """Before the next list, and without a channel; it is counted once."""
    url, road = forgetful
    road.lose["finish_runs_v1"] = 2
    job = project.insert("fail_first", metadata={"good_from_attempt": 2}, retry_delay_seconds=1)
    listeners.start(SUPABASE_URL=url, **SELDOM)
    row = project.wait(job)
    assert [status for status, _ in project.states(job)] == ["failed", "completed"]
    assert (row["total_runs"], row["failed_runs"]) == (1, 0)
    assert road.lost["finish_runs_v1"] == 2
