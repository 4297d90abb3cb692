"""Hold the stack up for a person at a terminal: say what to connect to, and stop at Ctrl-C or SIGTERM."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from rich.console import Console

from listener.local.env_file import remove_stale, written
from listener.local.errors import lone_fault
from listener.local.stack import Stack, running_stack
from listener.local.state import StateFolder
from listener.local.users import add_demo_users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from listener.local.users import DemoUser

SHOWN = (
    "SUPABASE_URL",
    "SUPABASE_ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
    "SUPABASE_SECRET_KEY",
    "DATABASE_URL",
    "LISTENER_HTTP_URL",
)
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def stay_up(state_dir: Path, env_file: Path | None, *, with_listener: bool, direct: bool = False) -> None:
    """Run the stack until a signal asks for its end.

    Args:
        state_dir: The state folder.
        env_file: Holds the environment of the stack's clients while it is up; None is `env` in the state folder.
        with_listener: Start the listener too.
        direct: Let it speak to PostgreSQL itself; the file has `LISTENER_DATABASE_URL` then.

    Raises:
        ListenerError: The stack did not start; see `running_stack`. Or the file is not this command's.
    """
    console = Console()
    state = StateFolder.at(state_dir)
    env_file = env_file or state_dir / "env"
    with state.held():
        remove_stale(env_file)
    with lone_fault(), anyio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_at, signals, console, tasks.cancel_scope)
            async with running_stack(state_dir, with_listener=with_listener, direct=direct) as stack:
                users = await to_thread.run_sync(add_demo_users, stack)
                with written(env_file, {**stack.environment(), "SUPABASE_JWT_SECRET": stack.keys.jwt_secret}):
                    _greet(console, stack, env_file, users, with_listener=with_listener)
                    await anyio.sleep_forever()


async def _stop_at(signals: AsyncIterator[signal.Signals], console: Console, scope: anyio.CancelScope) -> None:
    async for received in signals:
        console.print(f"\n{received.name}: stopping")
        scope.cancel()
        return


def _greet(
    console: Console, stack: Stack, env_file: Path, users: Sequence[DemoUser], *, with_listener: bool = True
) -> None:
    """Show how to connect. Lines are not wrapped, so that they can be copied."""
    environment = stack.environment()
    console.rule("the stack is up")
    for name in SHOWN:
        console.print(f"[bold]{name}[/bold]={environment[name]}", highlight=False, soft_wrap=True)
    console.print(f"[dim]All of them are in[/dim] {env_file}", highlight=False, soft_wrap=True)
    if with_listener:
        console.print("\n[dim]The dashboard:[/dim]")
        console.print(f"{stack.http_url}/dashboard/", highlight=False, soft_wrap=True)
    if users:
        console.print("\n[dim]Sign in as one of these, members of the workspace Demo:[/dim]", highlight=False)
    for user in users:
        line = f"{user.email}  password {user.password}  {user.role}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for title, text in (
        ("Insert a job", curl_line(stack)),
        ("The same with supabase-js, as job.mjs", snippet(stack)),
        ("See it, in another terminal", shown_jobs(env_file)),
    ):
        console.print(f"\n[dim]{title}:[/dim]")
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    console.rule("Ctrl-C stops everything; database and keys stay")


def curl_line(stack: Stack) -> str:
    """Return a shell command that inserts a job and shows its row."""
    return (
        f"curl -s '{stack.url}/rest/v1/scheduled_jobs' -H 'apikey: {stack.service_key}' "
        "-H 'Content-Type: application/json' -H 'Prefer: return=representation' -d '{\"handler\": \"noop\"}'"
    )


def snippet(stack: Stack) -> str:
    """Return a JavaScript module that inserts a job and shows its row."""
    return f"""\
// npm install @supabase/supabase-js ws && node job.mjs
import {{ createClient }} from '@supabase/supabase-js'
import ws from 'ws' // only before Node 22, which has a WebSocket of its own
const supabase = createClient('{stack.url}', '{stack.service_key}', {{ realtime: {{ transport: ws }} }})
const {{ data, error }} = await supabase.from('scheduled_jobs').insert({{ handler: 'noop' }}).select().single()
console.log(data ?? error)"""


def shown_jobs(env_file: Path) -> str:
    """Return a shell command that takes the stack's environment and lists its jobs."""
    path = shlex.quote(str(env_file) if env_file.is_absolute() else f"./{env_file}")
    return f"set -a; . {path}; set +a; {command()} jobs"


def command() -> str:
    """Return what starts `listener` in a shell: its name, or its path where it is not on the PATH."""
    return "listener" if shutil.which("listener") else shlex.quote(sys.argv[0])
