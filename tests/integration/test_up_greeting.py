"""What `listener up` shows works as it is shown."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from listener.local.up import curl_line, snippet

if TYPE_CHECKING:
    from listener.local.stack import Stack

pytestmark = pytest.mark.stack
REPOSITORY = Path(__file__).parents[2]


def _handlers(stack: Stack) -> list[tuple[str]]:
    with psycopg.connect(stack.database_url) as connection:
        return connection.execute("select handler from public.scheduled_jobs").fetchall()


def test_the_curl_line_inserts_a_job_and_shows_it(stack: Stack) -> None:
    """Pasted into a shell."""
    done = subprocess.run(["bash", "-c", curl_line(stack)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0]["handler"] == "noop"
    assert _handlers(stack) == [("noop",)]


def test_the_snippet_inserts_a_job_and_shows_it(stack: Stack) -> None:
    """Pasted into a module beside the project's node_modules."""
    command = ["node", "--input-type=module", "--eval", snippet(stack)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=30)
    assert "handler: 'noop'" in done.stdout
    assert _handlers(stack) == [("noop",)]
