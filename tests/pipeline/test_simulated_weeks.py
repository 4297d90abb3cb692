"""Weeks of recurring jobs, lived through in a second by all stages together: time jumps to whatever comes next.

Two ways: the stages as tasks on a loop whose time jumps, or each moved by its own `run_once`, for ten thousand runs.
The store grants every claim and keeps the rows; the database's own part is tested in `tests/property`.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the loop itself is the clock here
import logging
import math
import selectors
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import anyio
import pytest
import structlog
from anyio.lowlevel import checkpoint

from listener import handler
from listener.domain.job import Job, Trigger, TriggerType
from listener.domain.messages import Claimed, Finished, Listing, Page
from listener.execution.completer import Completer
from listener.execution.dispatcher import Dispatcher
from listener.execution.executor import Executor
from listener.handler_api.registry import Handler, Registry
from listener.observability.health import Health
from listener.observability.metrics import Metrics
from listener.runs.held_runs import HeldRuns
from listener.scheduling import agenda as agendas
from listener.scheduling.agenda import Agenda
from listener.scheduling.left_to_peers import LeftToPeers
from listener.scheduling.peers import Peers
from listener.scheduling.planner import Planner
from listener.scheduling.reconciler import Reconciler
from listener.scheduling.reflector import Reflector
from listener.scheduling.timekeeper import Timekeeper
from listener.testing import make_run

pytestmark = pytest.mark.slow  # weeks, minute by minute

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 10, 19, 22, tzinfo=UTC)
"""A Tuesday in Berlin, five days before clocks go back."""
HORIZON = timedelta(hours=6)
RUN_SECONDS = 7.0
POLL_SECONDS = 1800.0


class JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: where the loop would sleep, its time jumps."""

    now = 0.0

    def select(self, timeout=None):
        assert timeout is not None, "nothing will ever happen again"
        self.now += max(timeout, 0)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop on the time of its selector."""

    def __init__(self):
        self.jumping = JumpingSelector()
        super().__init__(self.jumping)
        self._clock_resolution = 1e-6  # beyond 2^24 seconds, a nanosecond more is the same float, and no timer ends

    def time(self):
        return self.jumping.now


class LoopClock:
    """The loop's time, as dates."""

    def now(self):
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self):
        return anyio.current_time()

    async def sleep_until(self, instant):
        while (left := (instant - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - time is the event
            await anyio.sleep(max(left, 1e-6))


class JumpingClock:
    """A clock that is where somebody wants to sleep to."""

    def __init__(self):
        self._now = START

    def now(self):
        return self._now

    def monotonic(self):
        return (self._now - START).total_seconds()

    async def sleep_until(self, instant):
        self._now = max(self._now, instant)


class GrantingStore:
    """A table of a few jobs that grants each claim of what is due; it remembers each decision in its order."""

    def __init__(self, clock, jobs):
        self._clock = clock
        self.jobs = {job.id: job for job in jobs}
        self.granted = {job.id: [] for job in jobs}
        self.missed = {job.id: [] for job in jobs}
        self.ended = {job.id: [] for job in jobs}
        self.lateness = []
        self._running = {}

    def _page(self, wanted):
        return Page([job for job in self.jobs.values() if wanted(job)], 1, None)

    async def poll(self, _cursor, until, _after, _most=None, _share=None):
        await checkpoint()
        return self._page(lambda job: job.unplanned or (job.next_run_at and job.next_run_at <= until))

    async def due(self, until, _most):
        await checkpoint()
        return Listing(
            [id_ for id_, job in self.jobs.items() if job.next_run_at and job.next_run_at <= until], 1, until
        )

    async def read(self, ids):
        await checkpoint()
        return self._page(lambda job: job.id in ids)

    async def unplanned(self, _after):
        await checkpoint()
        return self._page(lambda job: job.unplanned)

    async def plan(self, plans):
        await checkpoint()
        for plan in plans:
            job = self.jobs[plan.job_id]
            self.jobs[job.id] = replace(job, due_at=plan.due, next_run_at=plan.due, unplanned=False)

    async def claim(self, claims):
        await checkpoint()
        return Claimed([self._grant(claim) for claim in claims], [])

    def _grant(self, claim):
        job = self.jobs[claim.job_id]
        assert claim.due == job.due_at, "what is claimed is what is due"
        assert claim.due <= self._clock.now() + timedelta(seconds=1.25)
        self.missed[job.id] += claim.missed or ()
        due = claim.due if claim.missed is None else claim.run
        self.jobs[job.id] = replace(job, due_at=claim.next_due, next_run_at=claim.next_due)
        self.granted[job.id].append(due)
        execution_id = f"{job.id}/{due.isoformat()}"
        self._running[execution_id] = (job.id, due)
        return make_run(
            "work", job_id=job.id, execution_id=execution_id, scheduled_for=due, start_at=due, recurring=True
        )

    async def finish(self, run_results):
        await checkpoint()
        for run_result in run_results:
            assert run_result.status == "completed"
            job_id, due = self._running.pop(run_result.execution_id)
            self.ended[job_id].append(due)
            self.lateness.append((run_result.started_at - due).total_seconds())
        return Finished(frozenset(run_result.execution_id for run_result in run_results), [])


@handler
async def work(job):
    """Take a while."""
    await anyio.sleep(RUN_SECONDS)


@handler("work")
async def quick_work(job):
    """Take no time."""


def recurring(job_id, kind, schedule, timezone="UTC"):
    """Make a job as it is inserted: without a due instant."""
    trigger = Trigger(TriggerType(kind), START, schedule, timezone)
    return Job(job_id, 1, "scheduled", 0, None, None, trigger=trigger, defined_at=START, unplanned=True)


@pytest.fixture
def anyio_backend():
    """Run on a loop whose time jumps."""
    return "asyncio", {"loop_factory": JumpingLoop}


def build(store, clock, function):
    """Wire all stages as the service wires them."""
    runs, metrics, health = HeldRuns(), Metrics(), Health(clock)
    agenda = Agenda(clock, 250)
    planner = Planner(store, clock)
    reconciler = Reconciler(agenda, planner, runs, clock, HORIZON)
    planner.sink = reconciler
    executor = Executor(Registry([Handler.of(function)]), clock, lambda: None, metrics)
    completer = Completer(
        store, runs, reconciler, lambda: 0.5, 100,
    )  # fmt: skip
    peers = Peers("the only one", clock, math.inf)
    dispatcher = Dispatcher(
        store=store, executor=executor, runs=runs, agenda=agenda, reconciler=reconciler, clock=clock,
        metrics=metrics, sink=completer, concurrency=50,
        peers=peers, batch_size=100, tenant_share=0.8, trusted_seconds=24.0,
    )  # fmt: skip
    completer.upstream = dispatcher
    reflector = Reflector(
        store=store, reconciler=reconciler, clock=clock, health=health, metrics=metrics,
        left_out=LeftToPeers(store, reconciler, peers, clock, 1000), horizon=HORIZON, horizon_jobs=1000,
        poll_seconds=POLL_SECONDS, stale_poll_seconds=POLL_SECONDS, relist_seconds=7200,
    )  # fmt: skip
    return SimpleNamespace(
        reflector=reflector, planner=planner, agenda=agenda,
        timekeeper=Timekeeper(agenda, dispatcher, peers, clock), dispatcher=dispatcher, executor=executor,
        completer=completer, runs=runs,
    )  # fmt: skip


def lived(days, store, runs, cpu_seconds):
    """Return the rows that a life left behind."""
    print(f"{days} days, {len(store.lateness)} runs: {cpu_seconds:.2f} s of CPU")  # noqa: T201
    return SimpleNamespace(store=store, held=len(runs), end=START + timedelta(days=days))


@pytest.fixture(autouse=True)
def _quiet():
    """Log warnings only: a line for each run would be what takes the time."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.configure(**before)


@pytest.fixture
def live(monkeypatch):
    """Give what lives through some days with these jobs, each stage a task of its own."""
    # A clock that is no estimate is right for as long as a wait takes.
    monkeypatch.setattr(agendas, "LONGEST_WAIT_SECONDS", math.inf)

    async def run(days, *jobs):
        clock = LoopClock()
        store = GrantingStore(clock, jobs)
        stages = build(store, clock, work)
        began = time.process_time()
        with anyio.move_on_after(days * 86400 + RUN_SECONDS + 1):
            async with anyio.create_task_group() as tasks:
                for stage in ("completer", "dispatcher", "timekeeper", "planner", "reflector"):
                    tasks.start_soon(getattr(stages, stage).run)
        await stages.executor.aclose()
        return lived(days, store, stages.runs, time.process_time() - began)

    return run


async def go_on():
    """Yield to nobody: there is one task."""


@pytest.fixture
def step(monkeypatch):
    """Give what lives through some days with these jobs in one task, which moves one stage after the other."""
    monkeypatch.setitem(globals(), "checkpoint", go_on)

    async def run(days, *jobs):
        clock = JumpingClock()
        store = GrantingStore(clock, jobs)
        stages = build(store, clock, quick_work)
        end, started, poll_at = START + timedelta(days=days), [], START
        began = time.process_time()
        while (nearest := min(poll_at, upcoming(stages.agenda) or poll_at)) <= end:
            await clock.sleep_until(nearest)
            if nearest == poll_at:
                await stages.reflector.run_once()
                await stages.planner.run_once()
                poll_at += timedelta(seconds=POLL_SECONDS)
            if stages.timekeeper.run_once():
                await stages.dispatcher.run_once(started.append)
                while started:
                    await stages.dispatcher.execute(started.pop())
                await stages.completer.run_once()
        return lived(days, store, stages.runs, time.process_time() - began)

    return run


def upcoming(agenda):
    """When the agenda has something to do, or None."""
    at = agenda.next_due()
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC)


def check(lived, job_id, expected):
    """Each instant was granted and ended once, in order, and none was early or missed."""
    store = lived.store
    assert store.granted[job_id] == expected
    assert store.ended[job_id] == expected
    assert store.missed[job_id] == []
    assert all(0 <= late < 0.01 for late in store.lateness)
    assert lived.held == 0


async def test_a_week_of_minutes_runs_each_of_them_once(step):
    """Ten thousand instants, none twice, none left out."""
    lived = await step(7, recurring(1, "cron", {"expression": "* * * * *"}))
    check(lived, 1, [START + timedelta(minutes=n) for n in range(7 * 24 * 60 + 1)])


async def test_a_daily_job_keeps_its_local_time_when_clocks_go_back(live):
    """Half past two comes twice on that Sunday, and means the first; the day is 25 hours long."""
    lived = await live(7, recurring(1, "daily", {"time": "02:30"}, "Europe/Berlin"))
    days = [datetime(2026, 10, 20 + n, 2, 30, tzinfo=BERLIN).astimezone(UTC) for n in range(7)]
    check(lived, 1, days)
    assert timedelta(hours=25) in {later - earlier for earlier, later in pairwise(days)}


async def test_a_monthly_job_meets_the_last_day_of_every_month(live):
    """A year in which nothing else happens; each wait is longer than the horizon."""
    lived = await live(365, recurring(1, "monthly", {"time": "09:00", "days": [-1]}, "Europe/Berlin"))
    firsts = [datetime(2026 + (9 + n) // 12, (9 + n) % 12 + 1, 1, 9, tzinfo=BERLIN) for n in range(1, 13)]
    check(lived, 1, [(first - timedelta(days=1)).astimezone(UTC) for first in firsts])


async def test_jobs_of_every_rhythm_do_not_disturb_one_another(live):
    """A week of five together: each has its own instants, as if it were alone."""
    lived = await live(
        7,
        recurring(1, "interval", {"seconds": 247}),
        recurring(2, "cron", {"expression": "*/15 8-17 * * 1-5"}, "Europe/Berlin"),
        recurring(3, "daily", {"time": "00:00"}, "Europe/Berlin"),
        recurring(4, "weekly", {"time": "02:59", "days": ["sunday"]}, "Europe/Berlin"),
        recurring(5, "monthly", {"time": "12:00", "days": [22, 31]}),
    )
    check(lived, 1, [START + timedelta(seconds=247 * n) for n in range(7 * 86400 // 247 + 1)])
    office = [datetime(2026, 10, day, hour, minute, tzinfo=BERLIN) for day in (20, 21, 22, 23, 26)
              for hour in range(8, 18) for minute in range(0, 60, 15)]  # fmt: skip
    check(lived, 2, [instant.astimezone(UTC) for instant in office if instant <= lived.end])
    midnights = [datetime(2026, 10, 20 + n, tzinfo=BERLIN).astimezone(UTC) for n in range(8)]
    check(lived, 3, [instant for instant in midnights if instant <= lived.end])
    check(lived, 4, [datetime(2026, 10, 25, 2, 59, tzinfo=BERLIN).astimezone(UTC)])
    check(lived, 5, [datetime(2026, 10, 22, 12, tzinfo=UTC)])
