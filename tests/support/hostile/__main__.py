"""`make hostile`: each attack beside a neighbour whose jobs must start on time.

Writes the table of docs/security.md with `--write`; exits with 1 where an attack was not held.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
from child_listener import Listener, listeners_on
from measured_page import write_between_markers
from supabase_project import connected

from hostile.attacks import ATTACKS, Scene
from hostile.floods import FLOODS
from hostile.neighbour import Neighbour, punctuality
from hostile.report import Finding, table
from listener.local.stack import temporary_stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.local.stack import Stack

PAGE = Path(__file__).parents[3] / "docs" / "security.md"
CARELESS = Path(__file__).parent / "careless"
QUIET = "nothing"
ALL = {**ATTACKS, **FLOODS}


def main() -> int:
    """Run the attacks that were chosen, report each, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make hostile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each attack lasts")
    parser.add_argument("--only", default="", help="words, by commas: attacks with one of them in their name")
    parser.add_argument("--write", action="store_true", help="put the table into docs/security.md")
    options = parser.parse_args()
    words = options.only.split(",")
    chosen = [QUIET, *(name for name in ALL if any(word in name for word in words))]
    findings = anyio.run(run_attacks, chosen, options.seconds, _print_line)
    print(f"\n{table(findings)}")
    if options.write:
        write_between_markers(PAGE, "hostile", table(findings))
    return 0 if all(each.is_held for each in findings) else 1


async def run_attacks(names: list[str], seconds: float, report: Callable[[str], None]) -> list[Finding]:
    """Run attacks one after the other, each against a stack and a listener of its own."""
    findings = []
    for name in names:
        async with temporary_stack() as stack:
            finding = await run_attack(stack, name, seconds)
        findings.append(finding)
        report(table([finding]).splitlines()[-1])
    return findings


async def run_attack(stack: Stack, name: str, seconds: float) -> Finding:
    """Run one attack for so many seconds beside a neighbour; return what it did to the neighbour."""
    async with contextlib.AsyncExitStack() as blocks:
        logs = Path(blocks.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))
        listeners = blocks.enter_context(listeners_on(stack, logs, CARELESS))
        settings = {"handlers": "handlers,careless_handlers", "webhook_allow_private": "true"}
        listener = await anyio.to_thread.run_sync(lambda: listeners.start(**settings))
        project = blocks.enter_context(connected(stack))
        clients: dict[str, httpx.AsyncClient] = {}

        def user(who: str) -> httpx.AsyncClient:
            key = stack.service_key if who == "service" else stack.anon_key
            token = key if who == "service" else stack.user_token(who)
            if who not in clients:
                headers = {"apikey": key, "authorization": f"Bearer {token}"}
                clients[who] = httpx.AsyncClient(base_url=f"{stack.url}/rest/v1", headers=headers, timeout=60)
                blocks.push_async_callback(clients[who].aclose)
            return clients[who]

        neighbour = Neighbour(user("alice"))
        neighbour.client.headers["prefer"] = "return=representation"
        scene = Scene(stack, user, user("service"), listener.url)
        answers: list[bool] = []
        async with anyio.create_task_group() as tasks:
            if name != QUIET:
                tasks.start_soon(ALL[name], scene)
            await anyio.sleep(seconds / 4)
            tasks.start_soon(neighbour.work)
            tasks.start_soon(_watch, listener, answers)
            await anyio.sleep(seconds * 3 / 4)
            tasks.cancel_scope.cancel()
        seen = await punctuality(project, neighbour)
        did = ", ".join(f"{count:,} {what}" for what, count in scene.done.items()) or "nothing"
        return Finding(name, did, seen, answers.count(False), len(answers))


async def _watch(listener: Listener, answers: list[bool]) -> None:
    """Note twice a second whether `/readyz` is ok."""
    async with httpx.AsyncClient(timeout=2) as client:
        while True:
            try:
                answers.append((await client.get(f"{listener.url}/readyz")).is_success)
            except httpx.HTTPError:
                answers.append(False)
            await anyio.sleep(0.5)


def _print_line(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
