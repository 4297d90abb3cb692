"""The SQL reference says what the database does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx
    import psycopg

REFERENCE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")


def test_the_reference_names_every_limit_and_its_value(database: psycopg.Connection[Any]):
    """One row of the table for each row of the table."""
    section = REFERENCE.split("## Limits")[1].split("##")[0]
    documented = {name: int(value) for name, value in re.findall(r"^\| `(\w+)` \| (\d+) \|", section, re.MULTILINE)}
    rows = database.execute("select name, value from job_scheduler.limits").fetchall()
    assert documented == {row["name"]: int(row["value"]) for row in rows}


def test_the_reference_quotes_messages_as_they_are(alice: httpx.Client):
    """Whoever searches for a message finds it."""
    job = alice.post("/scheduled_jobs", json={"handler": "noop", "status": "paused"}).json()[0]["id"]
    alice.post("/rpc/cancel_job", json={"job": job})
    answers = [
        alice.post("/scheduled_jobs", json={"handler": "noop", "timezone": "Mars/Base"}),
        alice.post("/scheduled_jobs", json={"handler": "noop", "next_run_at": "2030-01-01T00:00:00Z"}),
        alice.post("/rpc/cancel_job", json={"job": 0}),
    ]
    for answer in answers:
        message = answer.json()["message"].replace("no job 0", "no job 42")
        assert f"| {answer.status_code} | `{answer.json()['code']}` |" in REFERENCE
        assert f"`{message}`" in REFERENCE


def test_the_reference_names_every_function_of_clients(database: psycopg.Connection[Any]):
    """With the names of its arguments, which are part of the call."""
    query = """
        select p.proname || '(' || pg_get_function_arguments(p.oid) || ')' as call from pg_proc as p
        where p.pronamespace = 'public'::regnamespace and has_function_privilege('authenticated', p.oid, 'execute')
    """
    for row in database.execute(query).fetchall():
        assert f"`{row['call'].replace('DEFAULT', 'default')}`" in REFERENCE
