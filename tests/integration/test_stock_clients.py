"""Stock Supabase clients work with the stack as they come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import jwt
import psycopg
import pytest
from supabase import create_client
from supabase.lib.client_options import SyncClientOptions

from listener.local.keys import user_id

if TYPE_CHECKING:
    from listener.local.stack import Stack

pytestmark = pytest.mark.stack


def test_supabase_js_inserts_reads_and_is_refused_as_on_supabase(stack: Stack) -> None:
    """With new-style keys: the service writes, a user sees nothing of it, a stranger may not even look."""
    script = Path(__file__).with_name("supabase_js.mjs")
    environment = {**os.environ, **stack.environment(), "USER_TOKEN": stack.user_token("alice")}
    done = subprocess.run(["node", script], env=environment, capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(done.stdout) == {"inserted": "from-js", "seen": [], "refused": "42501", "unserved": 501}


@pytest.mark.parametrize("kind", ["service_role_key", "secret_key"])
def test_supabase_py_inserts_and_reads_with_either_kind_of_key(stack: Stack, kind: str) -> None:
    """It sends its key as bearer too."""
    with httpx.Client() as http:
        client = create_client(stack.url, getattr(stack.keys, kind), SyncClientOptions(httpx_client=http))
        row = client.table("scheduled_jobs").insert({"handler": "noop", "job_id": "from-py"}).execute().data[0]
        found = client.table("scheduled_jobs").select("id").eq("job_id", "from-py").execute().data
    assert found == [{"id": row["id"]}]


def test_the_token_command_prints_a_token_of_a_user_that_the_database_knows(stack: Stack) -> None:
    """The token alone, so that a shell can take it; the user exists, so that foreign keys to it hold."""
    command = [sys.executable, "-m", "listener.cli", "token", "--user", "alice"]
    state = str(stack.cluster.log_file.parent)
    done = subprocess.run([*command, "--state-dir", state], capture_output=True, text=True, check=True)
    claims = jwt.decode(done.stdout.strip(), stack.keys.jwt_secret, algorithms=["HS256"], audience="authenticated")
    assert claims["sub"] == str(user_id("alice"))
    with psycopg.connect(stack.database_url) as connection:
        assert connection.execute("select id, email from auth.users").fetchall() == [
            (user_id("alice"), "alice@example.com")
        ]


def test_the_token_command_says_in_one_line_that_there_is_no_stack(tmp_path: Path) -> None:
    """No traceback, and nothing on standard output that a shell would take for a token."""
    command = [sys.executable, "-m", "listener.cli", "token", "--user", "alice", "--state-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"listener: {tmp_path} holds no stack; start one with `listener up --state-dir {tmp_path}`\n"
