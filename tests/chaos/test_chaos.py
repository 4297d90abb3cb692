"""A short chaos run: a few jobs of every kind, two listeners, a fault every few seconds, and nothing may be lost."""

from __future__ import annotations

import shutil

from chaos.report import broken_promises
from chaos.run import Plan, run_chaos

SHORT = Plan(
    seconds=12,
    jobs=200,
    replicas=2,
    every=3,
    seed=20261121,
    faults=(
        "listener killed (kill -9)",
        "PostgreSQL restarted",
        "Realtime half-open",
        "gateway answers 503",
    ),
)


async def test_every_promise_holds_while_programs_and_roads_break(capsys) -> None:
    """Every due instant has its one final row, no instant runs twice at a time, and nobody writes with a lost lease."""
    outcome = await run_chaos(SHORT, print)
    assert not outcome.violations, f"{broken_promises(outcome)}\n{capsys.readouterr().out}"
    assert {incident.name for incident in outcome.incidents} == set(SHORT.faults)
    assert outcome.statuses["completed"] > SHORT.jobs / 2
    shutil.rmtree(outcome.folder)
