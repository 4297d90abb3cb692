"""One chaos run from start to result."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

import anyio

from chaos.checker import Violation, check
from chaos.clients import Clients
from chaos.evidence import gather, keep
from chaos.faults import FAULTS, add_bystanders
from chaos.figures import Incident, Recovery, percentile, recoveries, starts
from chaos.load import make_load
from chaos.rig import running_rig
from chaos.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chaos.faults import Fault
    from chaos.rig import Rig

LEASE_SECONDS, RESCUE_SECONDS = 6.0, 2.0
SETTINGS = {
    "LISTENER_LEASE_SECONDS": LEASE_SECONDS,
    "LISTENER_RESCUE_SECONDS": RESCUE_SECONDS,
    "LISTENER_DRAIN_SECONDS": 2,
}
OUTAGE_SECONDS = 10.0
"""How long a fault may keep everybody from the database."""
SETTLE_SECONDS = 120.0
"""How long after the last fault everything may take to come to its end."""
FIRST_FAULT_SECONDS = 2.0
LOAD_SHARE = 1.05
"""For how long jobs fall due, as a part of the time in which there are faults: after the last one, too."""
UNSETTLED = """
select count(*) as jobs from public.scheduled_jobs as j
where j.job_id not like 'bystander-%' and (
    j.status in ('scheduled', 'running', 'paused')
    or exists (
        select from public.job_executions as e where e.scheduled_job_id = j.id and e.status in ('queued', 'running')
    )
)
"""


@dataclass(frozen=True)
class Plan:
    """A chaos run: `faults` are names of `FAULTS`, one every `every` seconds; the same seed draws the same run."""

    seconds: float = 600.0
    jobs: int = 20_000
    replicas: int = 3
    every: float = 5.0
    seed: int = 1
    faults: Sequence[str] = tuple(FAULTS)


@dataclass
class Outcome:
    """The result of a run; lateness in seconds."""

    plan: Plan
    folder: Path
    violations: list[Violation]
    recoveries: list[Recovery]
    runs: int
    statuses: Counter[str]
    late_p50: float
    late_p99: float
    late_most: float
    earliest: float
    reruns: int
    seconds: float
    clients: Counter[str]
    is_disk_real: bool
    incidents: list[Incident] = field(default_factory=list)


async def run_chaos(plan: Plan, say: Callable[[str], None]) -> Outcome:
    """Load a stack, break it again and again, let it come to rest, and check."""
    began = time.monotonic()
    chance = Random(plan.seed)
    async with running_rig(plan.replicas, SETTINGS, plan.seed) as rig:
        await rig.replicas.start_all()
        say(f"{plan.replicas} listeners are ready; logs and records are in {rig.folder}")
        await add_bystanders(rig)
        load = make_load(chance, plan.jobs, datetime.now(UTC), plan.seconds * LOAD_SHARE)
        clients, watch, breaker = (
            Clients(rig.stack, load),
            Watch(rig.database, LEASE_SECONDS + RESCUE_SECONDS + OUTAGE_SECONDS),
            Breaker(rig, plan, chance, say),
        )
        async with anyio.create_task_group() as looking:
            looking.start_soon(watch.run)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(clients.run)
                tasks.start_soon(breaker.run)
            say("no more faults, no more jobs; waiting for the rest")
            await _settle(rig, say)
            await watch.look()
            looking.cancel_scope.cancel()
        violations = [
            *(Violation("client refused", refusal) for refusal in clients.refusals),
            *(Violation("listener died", death) for death in rig.replicas.died_alone()),
            *(await _unready(rig)),
            *watch.found,
        ]
        evidence = await gather(rig.database, rig.replicas)
        if len(evidence.jobs) != plan.jobs:
            violations.append(Violation("job gone", f"{len(evidence.jobs)} of {plan.jobs} are there"))
        violations += check(evidence)
        if violations:
            keep(evidence, rig.folder / "evidence.jsonl")
        found = starts(evidence)
        return Outcome(
            plan=plan,
            folder=rig.folder,
            violations=violations,
            recoveries=recoveries(found, breaker.incidents),
            runs=len(evidence.records),
            statuses=Counter(run["status"] for run in evidence.runs),
            late_p50=percentile(found, 0.5),
            late_p99=percentile(found, 0.99),
            late_most=percentile(found, 1),
            earliest=min((start.late.total_seconds() for start in found), default=0.0),
            reruns=sum(run["reason"] == "lease_lost" for run in evidence.runs),
            seconds=time.monotonic() - began,
            clients=clients.counts,
            is_disk_real=rig.disk.is_real,
            incidents=breaker.incidents,
        )


class Breaker:
    """Breaks something every few seconds, each kind once before any comes again.

    Args:
        rig: what is broken.
        plan: how often, and for how long.
        chance: draws the order.
        say: called with the name of each fault.
    """

    def __init__(self, rig: Rig, plan: Plan, chance: Random, say: Callable[[str], None]) -> None:
        self._rig, self._plan, self._chance, self._say = rig, plan, chance, say
        self._bag: list[str] = []
        self._listeners = anyio.Lock()
        self.incidents: list[Incident] = []

    async def run(self) -> None:
        """Break until the plan's time is over."""
        start = anyio.current_time()
        at = start + FIRST_FAULT_SECONDS
        async with anyio.create_task_group() as tasks:
            while at < start + self._plan.seconds:
                await anyio.sleep_until(at)
                tasks.start_soon(self._happen, FAULTS[self._next()])
                at += self._plan.every

    def _next(self) -> str:
        if not self._bag:
            self._bag = self._chance.sample(list(self._plan.faults), len(self._plan.faults))
        return self._bag.pop()

    async def _happen(self, fault: Fault) -> None:
        self._say(f"fault: {fault.name}")
        began = datetime.now(UTC)
        if fault.name.startswith("listener"):  # of these only one at a time: each needs the listeners that it found
            async with self._listeners:
                await fault.happen(self._rig, self._chance)
        else:
            await fault.happen(self._rig, self._chance)
        self.incidents.append(Incident(fault.name, began, datetime.now(UTC)))


async def _settle(rig: Rig, say: Callable[[str], None]) -> None:
    deadline = anyio.current_time() + SETTLE_SECONDS
    reported = anyio.current_time()
    while (left := (await rig.database.rows(UNSETTLED))[0]["jobs"]) and anyio.current_time() < deadline:
        if anyio.current_time() > reported + 10:
            reported = anyio.current_time()
            say(f"{left} jobs have not come to their end")
        await anyio.sleep(0.5)


async def _unready(rig: Rig) -> list[Violation]:
    """Return which listeners are not ready although nothing is broken any more."""
    found = []
    for replica in rig.replicas.slots:
        with anyio.move_on_after(timedelta(seconds=60).total_seconds()):
            while why := await replica.ready():
                await anyio.sleep(0.5)
        if why:
            found.append(Violation("listener not ready after the last fault", f"{replica.log}: {why}"))
    return found
