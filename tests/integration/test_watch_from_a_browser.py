"""The page's way to watch from a browser works, and without its warning one receives nothing."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from listener.local.stack import Stack

pytestmark = pytest.mark.stack
REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "getting-started.md").read_text(encoding="utf-8")
SNIPPET = re.findall(r"^```js\n(.*?)^```$", PAGE.split("### From a browser")[1], re.MULTILINE | re.DOTALL)[0]
WARNED = "await supabase.realtime.setAuth()\n"
AROUND = """
import { createClient } from '@supabase/supabase-js'
const { SUPABASE_URL, SUPABASE_ANON_KEY, TOKEN } = process.env
const session = { token: TOKEN }
const show = (...reported) => { console.log(...reported); process.exit() }
%s
const subscribed = new Promise((done) => supabase.getChannels()[0].on('system', {}, done))
await subscribed
const { error } = await supabase.from('scheduled_jobs').insert({ handler: 'noop', run_date: '2999-01-01T00:00:00Z' })
if (error) throw error
"""


def _printed_by(stack: Stack, snippet: str) -> str:
    script = AROUND % snippet
    command = ["node", "--experimental-websocket", "--input-type=module", "--eval", script]
    environment = {**os.environ, **stack.environment(), "TOKEN": stack.user_token("alice")}
    done = subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_a_user_sees_their_job(stack: Stack):
    """As the snippet shows it: the row has its id and its status."""
    assert re.fullmatch(r"\d+ scheduled", _printed_by(stack, SNIPPET))


def test_without_the_token_first_there_is_no_row(stack: Stack):
    """The warning is right: the channel joins as nobody."""
    assert WARNED in SNIPPET
    assert _printed_by(stack, SNIPPET.replace(WARNED, "")) == "undefined undefined"
