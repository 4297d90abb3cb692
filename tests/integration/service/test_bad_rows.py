"""Bad rows over plain curl: refused by name, or ended with a reason; the next job runs all the same."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from patience import until

pytestmark = pytest.mark.usefixtures("listener")


@pytest.fixture
def curl(embedded_stack):
    """Send a request with curl; give the status and the body."""

    def send(method: str, path: str, body: object, *, user: str | None = None):
        key = embedded_stack.service_key if user is None else embedded_stack.anon_key
        token = key if user is None else embedded_stack.user_token(user)
        headers = [f"apikey: {key}", f"Authorization: Bearer {token}", "Content-Type: application/json"]
        options = [word for header in [*headers, "Prefer: return=representation"] for word in ("--header", header)]
        url = f"{embedded_stack.url}/rest/v1/{path}"
        command = [
            "curl",
            "--silent",
            "--request",
            method,
            *options,
            "--data",
            "@-",
            "--write-out",
            "\n%{http_code}",
            url,
        ]
        done = subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, timeout=20, check=True)
        text, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(text or "null")

    return send


@pytest.fixture(autouse=True)
def _the_loop_goes_on(project):
    yield
    assert project.wait(project.insert())["status"] == "completed"


HOURLY = {"trigger_type": "interval", "schedule": {"seconds": 3600}}
REFUSED = {
    "trigger": ({"trigger_type": "hourly"}, ["trigger_type", "hourly", "interval"]),
    "cron": (
        {"trigger_type": "cron", "schedule": {"expression": "61 * * * *"}},
        ["scheduled_jobs.schedule", "61", "59"],
    ),
    "cron words": (
        {"trigger_type": "cron", "schedule": {"expression": "now and then"}},
        ["scheduled_jobs.schedule", "now and then", "five fields"],
    ),
    "zone": ({"timezone": "Mars/Olympus"}, ["timezone", "Mars/Olympus", "IANA"]),
    "weekday": (
        {"trigger_type": "weekly", "schedule": {"time": "10:00", "days": ["funday"]}},
        ["scheduled_jobs.schedule", "funday", "monday"],
    ),
    "time": ({"trigger_type": "daily", "schedule": {"time": "25:00"}}, ["scheduled_jobs.schedule", "25:00", "23:59"]),
    "interval": ({**HOURLY, "schedule": {"seconds": -5}}, ["scheduled_jobs.schedule", "-5", "from 1 to"]),
    "foreign key": ({**HOURLY, "schedule": {"seconds": 5, "days": [1]}}, ["schedule", "days", "seconds"]),
    "status": ({"status": "completed"}, ["status", "completed", "scheduled"]),
    "owned column": ({"next_run_at": "2030-01-01T00:00:00Z"}, ["next_run_at", "service"]),
    "counter": ({"total_runs": 7}, ["total_runs", "service"]),
    "forged owner": ({"created_by": "00000000-0000-4000-8000-000000000001"}, ["created_by", "service"]),
    "oversize": ({"metadata": {"text": "x" * 300_000}}, ["metadata", "262144"]),
    "absurd": (
        {"trigger_type": "cron", "schedule": {"expression": "1," * 5000 + "1 * * * *"}},
        ["scheduled_jobs.schedule", "255 characters"],
    ),
    "attempts": ({"max_attempts": 0}, ["max_attempts", "0", "1"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_invalid_row_is_refused_at_once(curl, project, name) -> None:
    """The answer names the column, the value and what is allowed; nothing is written."""
    columns, words = REFUSED[name]
    before = project.rows("select count(*) as n from public.scheduled_jobs")
    status, answer = curl("POST", "scheduled_jobs", {"handler": "noop", **columns})
    assert status in {400, 403}, answer
    assert [word for word in words if word not in answer["message"]] == [], answer["message"]
    assert project.rows("select count(*) as n from public.scheduled_jobs") == before


def test_the_same_key_twice_is_a_conflict(curl) -> None:
    """HTTP 409, so that an insert may be repeated."""
    row = {"handler": "noop", "job_id": "only-once"}
    assert [curl("POST", "scheduled_jobs", row)[0] for _ in range(2)] == [201, 409]


def test_an_unknown_handler_is_refused_with_the_names_that_there_are(curl) -> None:
    """The catalogue knows them all."""
    status, answer = curl("POST", "scheduled_jobs", {"handler": "nope"})
    assert status == 400
    assert 'scheduled_jobs.handler: "nope" is not allowed' in answer["message"]
    assert re.search(r'expected a handler that a listener has published: ("\w+", )+', answer["message"])


def test_a_job_whose_handler_no_live_listener_has_waits_and_says_so(curl, project) -> None:
    """The listener that published it is gone, and may come back."""
    project.sql.execute("insert into public.job_handlers (name) values ('gone') on conflict do nothing")
    status, rows = curl("POST", "scheduled_jobs", {"handler": "gone"})
    assert status == 201
    reported = 'no live listener has the handler "gone"; the job waits until one has it'
    until(lambda: project.job(rows[0]["id"])["error"] == reported, "it says so", 30)
    assert project.job(rows[0]["id"])["status"] == "scheduled"
    assert project.ledger(rows[0]["id"]) == []
    project.delete(rows[0]["id"])


def test_a_payload_that_does_not_fit_the_published_schema_is_refused_and_names_the_field(curl) -> None:
    """As far as the top level says."""
    status, answer = curl(
        "POST", "scheduled_jobs", {"handler": "deliver", "metadata": {"event_id": "e", "count": "many"}}
    )
    assert status == 400
    assert [word for word in ("metadata", "count", "many", "integer") if word not in answer["message"]] == []


def test_a_payload_that_does_not_fit_ends_the_execution_and_names_the_field(curl, project) -> None:
    """Reason invalid_payload, and no second attempt: only the model sees that this text is no number."""
    status, rows = curl(
        "POST", "scheduled_jobs", {"handler": "deliver", "metadata": {"event_id": "e", "count": "7 or 8"}}
    )
    assert status == 201
    assert project.wait(rows[0]["id"])["status"] == "failed"
    (run,) = project.ledger(rows[0]["id"])
    assert (run["status"], run["reason"]) == ("failed", "invalid_payload")
    assert "count" in run["error"]
    assert "7 or 8" in run["error"]


@pytest.mark.parametrize("target", ["running", "completed", "failed", "paused", "done"])
def test_an_illegal_transition_is_refused(curl, project, target) -> None:
    """A finished job may only be scheduled again; nothing changes."""
    job = project.insert()
    project.wait(job, "completed")
    status, answer = curl("PATCH", f"scheduled_jobs?id=eq.{job}", {"status": target})
    if target == "completed":  # what it is already
        assert status == 200
    else:
        assert status == 400
        assert "scheduled_jobs.status" in answer["message"]
        assert f'"{target}"' in answer["message"]
    assert project.job(job)["status"] == "completed"


def test_a_column_of_the_service_cannot_be_changed(curl, project) -> None:
    """Not even with the service key."""
    job = project.insert(run_date=project.soon(3600))
    status, answer = curl("PATCH", f"scheduled_jobs?id=eq.{job}", {"successful_runs": 9})
    assert status == 403
    assert "successful_runs" in answer["message"]
    assert project.job(job)["successful_runs"] == 0


def test_somebody_elses_row_is_out_of_reach(curl, project) -> None:
    """It is not seen, not changed, not deleted, not cancelled, not run."""
    status, rows = curl("POST", "scheduled_jobs", {"handler": "noop", "run_date": project.soon(3600)}, user="alice")
    assert status == 201
    job = rows[0]["id"]
    assert curl("GET", f"scheduled_jobs?id=eq.{job}", None, user="bob") == (200, [])
    assert curl("PATCH", f"scheduled_jobs?id=eq.{job}", {"name": "mine"}, user="bob") == (200, [])
    assert curl("DELETE", f"scheduled_jobs?id=eq.{job}", None, user="bob") == (200, [])
    for function in ("cancel_job", "run_job_now"):
        assert curl("POST", f"rpc/{function}", {"job": job}, user="bob")[0] == 404
    assert (project.job(job)["status"], project.job(job)["name"], project.ledger(job)) == ("scheduled", None, [])
