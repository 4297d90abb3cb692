"""The listener says what it has, runs for users what it exposes alone, and reveals no secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
from psycopg.types.json import Jsonb

from listener.handler_api.registry import Registry

if TYPE_CHECKING:
    from child_listener import Listener

pytestmark = pytest.mark.usefixtures("empty_catalogue")
PASSWORD = "correct-horse-battery-staple"  # noqa: S105 - hidden by the test, or it fails
MODULES = ["handlers", "secret_handlers"]


@pytest.fixture
def alices_job(embedded_stack, project):
    """Insert as a signed-in user would; gives the answer."""
    headers = {"apikey": embedded_stack.anon_key, "Authorization": f"Bearer {embedded_stack.user_token('alice')}"}

    def insert(handler: str, **columns: object) -> httpx.Response:
        row = {"handler": handler, **columns}
        url = f"{embedded_stack.url}/rest/v1/scheduled_jobs"
        return httpx.post(url, json=row, headers={**headers, "Prefer": "return=representation"})

    return insert


def _start(listeners, **settings: object) -> Listener:
    return listeners.start(LISTENER_HANDLERS=",".join(MODULES), **settings)


def test_the_catalogue_is_there_when_the_listener_is_ready(project, listeners, monkeypatch):
    """Each handler with its description, its schema and whether users may schedule it."""
    _start(listeners)
    monkeypatch.syspath_prepend(listeners.handlers)
    reported = {row["name"]: row for row in project.rows("select * from public.job_handlers")}
    for row in Registry.load(MODULES).catalogue():
        kept = reported.pop(row["name"])
        assert (kept["description"], kept["exposed"]) == (row["description"], row["exposed"])
        assert kept["payload_schema"] == (row["payload_schema"] or {})
    assert reported == {}


def test_a_handler_that_is_not_exposed_any_more_does_not_run_for_users(project, listeners, alices_job):
    """Jobs scheduled before end as failed and say why; the service's own job of the same handler runs."""
    before = [{"name": name, "exposed": True} for name in ("powerful", "harmless")]
    project.sql.execute("select public.publish_handlers_v1(%s)", [Jsonb({"handlers": before})])
    answers = [alices_job(name) for name in ("powerful", "harmless")]
    jobs = [answer.json()[0]["id"] for answer in answers]
    jobs.append(project.insert("powerful"))
    _start(listeners)
    assert [project.wait(job)["status"] for job in jobs] == ["failed", "completed", "completed"]
    (run,) = project.ledger(jobs[0])
    assert (run["status"], run["reason"], run["started_at"] and run["result"]) == ("failed", "not_exposed", None)
    assert "'powerful' is not exposed to signed-in users" in run["error"]
    refused = alices_job("powerful")
    assert refused.status_code == 400
    assert "powerful" in refused.json()["message"]


@pytest.mark.parametrize("kind", ["secret", "legacy"])
def test_no_log_line_has_the_key_and_none_a_password_of_a_payload(embedded_stack, project, listeners, kind):
    """At the level debug, with a run that logs and returns it wherever it can; nor do ledger, metrics or debug page."""
    keys = {"secret": embedded_stack.keys.secret_key, "legacy": embedded_stack.service_key}
    listener = _start(
        listeners,
        SUPABASE_SECRET_KEY=keys[kind],
        log_level="debug",
        log_format="json" if kind == "secret" else "console",
        debug=True,
    )
    login = {"user": "ann", "password": PASSWORD}
    good = project.insert("sign_in", metadata=login)
    bad = project.insert("sign_in", metadata={**login, "how": "badly"}, max_attempts=1)
    unfit = project.insert("sign_in", metadata={**login, "user": "nobody"})
    statuses = [project.wait(job)["status"] for job in (good, bad, unfit)]
    assert statuses == ["completed", "failed", "failed"]
    assert project.ledger(unfit)[0]["reason"] == "invalid_payload"
    pages = [httpx.get(f"{listener.url}{page}").text for page in ("/metrics", "/debug/scheduler")]
    listener.stop()
    log = listener.log.read_text()
    ledger = project.rows("select to_jsonb(e) as row from public.job_executions as e")
    lines = project.rows("select to_jsonb(l) as row from public.job_execution_logs as l")
    kept = [project.job(job)[column] for job in (good, bad, unfit) for column in ("result", "error")]
    reported = "\n".join([log, *pages, json.dumps([ledger, lines, kept])])
    assert "signing in with [redacted]" in log
    assert "password [redacted]" in log
    assert "tried [redacted]" in log
    assert "tried [redacted]" in json.dumps(lines)
    assert "horse" not in reported
    assert keys[kind] not in reported
    assert embedded_stack.service_key.rpartition(".")[2] not in reported
