"""The README's examples work as they are shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from child_listener import listeners_on
from supabase import create_client
from supabase.lib.client_options import SyncClientOptions

from listener.domain.job import TriggerType
from listener.testing import run_handler

if TYPE_CHECKING:
    from listener.local.stack import Stack

pytestmark = pytest.mark.stack
REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CLIENT = """
import { createClient } from '@supabase/supabase-js'
import ws from 'ws'
const { SUPABASE_URL, SUPABASE_SECRET_KEY } = process.env
const supabase = createClient(SUPABASE_URL, SUPABASE_SECRET_KEY, { realtime: { transport: ws } })
"""


def _block(language: str, words: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    [block] = [block for block in blocks if words in block]
    return block


def _jobs(stack: Stack) -> list[tuple[Any, ...]]:
    with psycopg.connect(stack.database_url) as connection:
        return connection.execute("select handler, metadata ->> 'message', trigger_type from scheduled_jobs").fetchall()


def _environment(stack: Stack) -> dict[str, str]:
    return {**os.environ, **stack.environment()}


def test_the_insert_of_supabase_js(stack: Stack):
    """And the answer is the job."""
    script = f"{CLIENT}{_block('js', '.insert(')}; console.log(JSON.stringify(job)); process.exit(0)"
    command = ["node", "--input-type=module", "--eval", script]
    environment = _environment(stack)
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["run_date"] == "2026-12-24T17:00:00+00:00"
    assert _jobs(stack) == [("log", "hello", "once")]


def test_the_insert_of_curl(stack: Stack):
    """Pasted into a shell; the answer is the job."""
    command = ["bash", "-ec", _block("sh", "curl")]
    done = subprocess.run(command, env=_environment(stack), capture_output=True, check=True)
    assert [row["status"] for row in json.loads(done.stdout)] == ["scheduled"]
    assert _jobs(stack) == [("log", "hello", "once")]


def test_the_insert_of_sql(stack: Stack):
    """As in the SQL editor, which is role postgres."""
    with psycopg.connect(stack.database_url) as connection:
        connection.execute(_block("sql", "insert into"))
    assert _jobs(stack) == [("log", "hello", "daily")]


def test_the_insert_of_python(stack: Stack):
    """With supabase-py."""
    with httpx.Client() as http:
        client = create_client(stack.url, stack.keys.secret_key, SyncClientOptions(httpx_client=http))
        exec(_block("python", ".insert("), {"client": client})  # noqa: S102 - it is our own page
    assert _jobs(stack) == [("log", "hello", "once")]


def test_the_subscription_of_supabase_js(stack: Stack):
    """It receives how the job ends."""
    row = "{ handler: 'noop' }"
    insert = f"const {{ data: job }} = await supabase.from('scheduled_jobs').insert({row}).select().single();"
    cancel = "setTimeout(() => supabase.rpc('cancel_job', { job: job.id }).then(() => {}), 3000);"
    end = "const say = console.log; console.log = (...words) => { say(...words); process.exit(0) };"
    script = CLIENT + insert + end + cancel + _block("js", "postgres_changes")
    command = ["node", "--input-type=module", "--eval", script]
    environment = _environment(stack)
    done = subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout == "cancelled null\n"


def test_the_python_client(stack: Stack, tmp_path: Path):
    """With a listener, whose job is watched up to its end."""
    with listeners_on(stack, tmp_path, tmp_path) as listeners:
        listeners.start(handlers="handlers")
        command = [sys.executable, "-c", _block("python", "listener.client")]
        done = subprocess.run(
            command, env=_environment(stack), cwd=tmp_path, capture_output=True, text=True, check=True, timeout=40
        )
    assert done.stdout.splitlines()[-1] == "completed"
    assert sorted(_jobs(stack)) == [("log", "good morning", "daily"), ("log", "hello", "once")]


@pytest.mark.anyio
async def test_the_handler_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """It takes the payload that it declares, and refuses another."""
    (tmp_path / "readme_jobs.py").write_text(_block("python", "@handler("), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    from readme_jobs import event_reminder  # noqa: PLC0415 - it was made just now

    report = await run_handler(event_reminder, {"event_id": 7})
    assert report.outcome.reason == "invalid_payload"


def test_the_table_of_triggers_is_complete_and_its_schedules_are_taken(stack: Stack):
    """Each row is an insert that succeeds."""
    rows = re.findall(r"^\| `(\w+)`[^|]*\| (?:`(\{.*\})`)? ?\|", README, re.MULTILINE)
    assert [kind for kind, _ in rows] == [str(kind) for kind in TriggerType]
    with psycopg.connect(stack.database_url) as connection:
        for kind, schedule in rows:
            insert = "insert into scheduled_jobs (handler, trigger_type, schedule) values ('noop', %s, %s)"
            connection.execute(insert, (kind, schedule or "{}"))
    assert len(_jobs(stack)) == len(rows)
