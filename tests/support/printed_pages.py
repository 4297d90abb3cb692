"""Runs the commands that a README prints, in one shell, as a reader enters them, and gives what they print.

The stack of the tests stands in for the one that `listener up` starts; ports from 8020 to 8039 become free ones.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from child_listener import free_port
from psycopg import sql
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = re.compile(r"\b80[23]\d\b")
SERVER = re.compile(r"listener up|/uvicorn |/aiosmtpd |http\.server")
TABLE = re.compile(r"^create table public\.(\w+)", re.MULTILINE)
SETTING = re.compile(r"export |set -a|[A-Z_]+=\S+$")
USER = re.compile(r"listener token --user (\w+)")
MARK = "=== command "
MOST_SECONDS = 240  # a bound: a busy machine starts slowly
PRELUDE = """
set -e
reached() { until "${@:2}" 2>/dev/null; do sleep 0.05; kill -0 "$1" || exit 9; done }
answers() { curl -sf -o /dev/null -H "apikey: $SERVICE" -H "Authorization: Bearer $SERVICE" "$1"; }
accepts() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }
"""
LISTENER = """#!/bin/bash
case "$1" in
up) set -a; . ./.env.local; set +a; exec "{python}" -m listener.cli run ;;
token) exec cat "{folder}/tokens/$3" ;;
*) exec "{python}" -m listener.cli "$@" ;;
esac
"""
NEW_OBJECTS = """
select 'table', c.oid::regclass::text
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
union all
select 'function', p.oid::regprocedure::text
from pg_proc p
where p.pronamespace = 'public'::regnamespace
union all
select 'source', s.name
from job_scheduler.sources s
"""
HANDLERS = "insert into public.job_handlers select * from jsonb_populate_recordset(null::public.job_handlers, %s)"


@dataclass(frozen=True)
class Step:
    """A command, and what the page shows below it."""

    command: str
    shown: list[str]


def steps(page: Path) -> list[Step]:
    """Read the commands of a page; a line that begins with `>` continues one."""
    found: list[Step] = []
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], []))
            elif line.startswith("> "):
                last = found.pop()
                found.append(Step(f"{last.command}\n{line[2:]}", []))
            else:
                found[-1].shown.append(line)
    return found


def play(stack: Any, page: Path, folder: Path) -> list[list[str]]:
    """Run the commands of a page in `folder`; return the lines that each printed.

    Raises:
        AssertionError: a command failed.
    """
    commands = [step.command for step in steps(page)]
    port = free_port()
    variables = {**stack.environment(), "LISTENER_HTTP_URL": f"http://127.0.0.1:{port}"}
    variables["LISTENER_HTTP_BIND"] = f"127.0.0.1:{port}"
    _furnish(folder, stack, variables, commands)
    script = _with_free_ports(_script(commands, variables))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SUPABASE_", "LISTENER_"))}
    programs = str(stack.cluster.programs)
    environment = {
        **inherited,
        **{name: value for name, value in variables.items() if name.startswith(("SUPABASE_", "LISTENER_HTTP"))},
        "PATH": f"{programs}{os.pathsep}{inherited['PATH']}",
        "LISTENER_DRAIN_SECONDS": "0",
        "SERVICE": stack.service_key,
    }
    with (folder / "errors").open("w+") as errors:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        try:
            printed, _ = shell.communicate(timeout=MOST_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # the servers too, which run on after the shell
        errors.seek(0)
        assert shell.returncode == 0, f"{printed}\n{errors.read()[-8000:]}\n{_logs(folder)}"
    return [part.split("\n", 1)[1].splitlines() for part in printed.split(MARK)[1:]]


def _script(commands: list[str], variables: dict[str, str]) -> str:
    """Return the script: servers start together, and what follows waits until they and new tables can be reached."""
    lines, waits = [PRELUDE], []
    for number, command in enumerate(commands):
        if SERVER.search(command):
            lines.append(f"echo '{MARK}{number}'\n{{ {command}\n}} > server-{number}.log 2>&1 &\n")
            address = variables["LISTENER_HTTP_URL"] + "/readyz"
            check = f"answers {address}" if "listener up" in command else f"accepts {PORT.findall(command)[-1]}"
            lines.append(f"server_{number}=$!\n")
            waits.append(f"reached $server_{number} {check}\n")
            continue
        if not SETTING.match(command):
            lines += waits
            waits = []
        lines.append(f"echo '{MARK}{number}'\n{command}\n")
        for file in re.findall(r"-f (\S+\.sql)", command):
            tables = TABLE.findall((REPOSITORY / file).read_text(encoding="utf-8"))
            waits += [f"reached $$ answers '{variables['SUPABASE_URL']}/rest/v1/{name}?limit=1'\n" for name in tables]
    return "".join([*lines, *waits])


def _logs(folder: Path) -> str:
    return "\n".join(f"{log.name}: {log.read_text()[-8000:]}" for log in sorted(folder.glob("server-*.log")))


def _with_free_ports(script: str) -> str:
    ports = {port: str(free_port()) for port in sorted(set(PORT.findall(script)))}
    return PORT.sub(lambda found: ports[found[0]], script)


def _furnish(folder: Path, stack: Any, variables: dict[str, str], commands: list[str]) -> None:
    """Make what a checkout has after `make install`, and what `listener up` writes."""
    (folder / "examples").symlink_to(EXAMPLES)
    (folder / ".env.local").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    (folder / "tokens").mkdir()
    for user in USER.findall(" ".join(commands)):
        (folder / "tokens" / user).write_text(stack.user_token(user))
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    real = Path(sys.executable).parent
    for name in ("python", "uvicorn", "aiosmtpd"):
        (programs / name).write_text(f'#!/bin/bash\nexec "{real / name}" "$@"\n')
    (programs / "listener").write_text(LISTENER.format(python=real / "python", folder=folder))
    for program in programs.iterdir():
        program.chmod(0o755)


@contextmanager
def leaving_nothing(stack: Any) -> Iterator[None]:
    """Remove what a page adds to the database and to the catalogue: other tests look at all that is in it."""
    with psycopg.connect(stack.admin_dsn, autocommit=True) as database:
        before = set(database.execute(NEW_OBJECTS).fetchall())
        (handlers,) = database.execute("select jsonb_agg(to_jsonb(h)) from public.job_handlers as h").fetchone()
        try:
            yield
        finally:
            added = set(database.execute(NEW_OBJECTS).fetchall()) - before
            for kind, name in sorted(added, key=lambda each: ("source", "table", "function").index(each[0])):
                if kind == "source":
                    database.execute("select job_scheduler.remove_source(%s)", [name])
                else:
                    database.execute(sql.SQL(f"drop {kind} if exists {name} cascade"))
            database.execute("delete from public.job_handlers")
            database.execute(HANDLERS, [Jsonb(handlers or [])])
