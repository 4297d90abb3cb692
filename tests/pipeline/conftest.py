"""A clock that stands still until a test moves it, a store with prepared answers, and stages built on both."""

from __future__ import annotations

import inspect
import itertools
from collections import deque
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import anyio
import pytest
from anyio.lowlevel import checkpoint

from listener import handler
from listener.domain.job import Job
from listener.domain.messages import Claimed, Finished
from listener.domain.shares import Shares
from listener.execution.completer import Completer
from listener.execution.dispatcher import Dispatcher
from listener.execution.executor import Executor
from listener.handler_api.registry import Handler, Registry
from listener.observability.metrics import Metrics
from listener.runs.held_runs import HeldRuns
from listener.scheduling.agenda import Agenda
from listener.scheduling.peers import Peers
from listener.scheduling.planner import Planner
from listener.scheduling.reconciler import Reconciler
from listener.testing import NOON, make_run

HORIZON = timedelta(minutes=5)


class VirtualClock:
    """Noon, until a test moves it."""

    def __init__(self):
        self._seconds = 1000.0
        self._asleep: dict[anyio.Event, object] = {}

    def now(self):
        return NOON + timedelta(seconds=self._seconds - 1000)

    def monotonic(self):
        return self._seconds

    async def sleep_until(self, instant):
        while self.now() < instant:
            wake = anyio.Event()
            self._asleep[wake] = instant
            await wake.wait()

    def advance(self, seconds):
        self._seconds += seconds
        for wake in [wake for wake, instant in self._asleep.items() if instant <= self.now()]:
            del self._asleep[wake]
            wake.set()


class ScriptedStore:
    """Every port at once: each method has a list of answers, or a function of its arguments; errors are raised."""

    def __init__(self, **scripts):
        self.requests: list[tuple] = []
        scripts = {"park": lambda *_: None, "explain": lambda *_: None, **scripts}
        self._scripts = {name: each if callable(each) else deque(each) for name, each in scripts.items()}

    def asked(self, method):
        return [arguments for name, *arguments in self.requests if name == method]

    def __getattr__(self, method):
        async def ask(*arguments, **named):
            self.requests.append((method, *arguments))
            await checkpoint()
            script = self._scripts[method]
            answer = script(*arguments, **named) if callable(script) else script.popleft()
            if inspect.isawaitable(answer):
                answer = await answer
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return ask


@handler
async def idle(job):
    """Do nothing."""


def a_job(job_id=1, due_in=0.0, **changes):
    """Make a plain one-time job due so many seconds after noon."""
    due = NOON + timedelta(seconds=due_in)
    return replace(Job(job_id, 1, "scheduled", 0, due, due), **changes)


def granted(claims, revision=1, **changes):
    """Answer that every claim was granted."""
    return Claimed([a_run(claim, revision=revision, **changes) for claim in claims], [])


_numbers = itertools.count(1)


def a_run(claim, handler="idle", **changes):
    """Make the run that a granted claim answers."""
    at = claim.due or NOON
    fields = {"job_id": claim.job_id, "execution_id": f"execution-{next(_numbers)}", "start_at": at}
    return make_run(handler, **{**fields, "scheduled_for": at, **changes})


def taken(run_results):
    """Answer that every run_result was written."""
    return Finished(frozenset(run_result.execution_id for run_result in run_results), [])


def stages(  # noqa: PLR0913 - what tests vary
    store, clock, *functions, concurrency=10, batch_size=10, ahead_ms=0, tenant_share=0.8, horizon_jobs=1000
):
    """Build the real stages on a scripted store."""
    runs, metrics = HeldRuns(), Metrics()
    agenda = Agenda(clock, ahead_ms, Shares(horizon_jobs))
    peers = Peers("me", clock, believed_seconds=15)
    planner = Planner(store, clock)
    reconciler = Reconciler(agenda, planner, runs, clock, HORIZON)
    planner.sink = reconciler
    executor = Executor(Registry(map(Handler.of, (idle, *functions))), clock, lambda: None, metrics)
    completer = Completer(
        store,
        runs,
        reconciler,
        lambda: 0.5,
        batch_size,
    )
    dispatcher = Dispatcher(
        store=store,
        executor=executor,
        runs=runs,
        agenda=agenda,
        reconciler=reconciler,
        clock=clock,
        metrics=metrics,
        peers=peers,
        sink=completer,
        concurrency=concurrency,
        batch_size=batch_size,
        tenant_share=tenant_share,
        trusted_seconds=24.0,
    )
    completer.upstream = dispatcher
    return SimpleNamespace(**{name: value for name, value in locals().items() if name != "functions"})


async def settled(turns=20):
    """Let every task that can go on do so."""
    for _ in range(turns):
        await checkpoint()


@pytest.fixture(scope="session")
def parts():
    """Give what tests are made of; one object, because tests of this folder cannot import from one another."""
    return SimpleNamespace(
        VirtualClock=VirtualClock,
        ScriptedStore=ScriptedStore,
        a_job=a_job,
        a_run=a_run,
        granted=granted,
        taken=taken,
        stages=stages,
        settled=settled,
    )


@pytest.fixture
def clock():
    """A clock that a test moves."""
    return VirtualClock()


@pytest.fixture
def naps(monkeypatch, clock):
    """Make sleeping move the clock instead of waiting; gives the list of sleeps."""
    taken_naps: list[float] = []

    async def sleep(seconds):
        taken_naps.append(seconds)
        clock.advance(seconds)
        await checkpoint()

    monkeypatch.setattr(anyio, "sleep", sleep)
    return taken_naps
