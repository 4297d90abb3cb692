"""Simulates 3, 10 and 100 listeners over one database: which share of claims is in vain, and who is late when many die.

The listeners' timekeepers and the database's functions are real; time is virtual, handlers take none, and there is
neither PostgREST nor Realtime. `make many-listeners` takes about three minutes; LISTENERS="3 10" names others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import psycopg
from figures import summary

from listener.domain.job import Job
from listener.local.stack import running_stack
from listener.scheduling.agenda import Agenda
from listener.scheduling.peers import Peers
from listener.scheduling.timekeeper import Timekeeper
from listener.testing import NOON

JOBS, SECONDS, STEP_SECONDS = 600, 10.0, 0.025
"""One job every 17 ms; each listener reads all of them when they are inserted, and they are due a second later."""
AHEAD_MS, BELIEVED_SECONDS, BEAT_SECONDS = 250, 15.0, 10.0


class VirtualClock:
    """A clock that stands still until it is advanced."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> datetime:
        """Return the instant."""
        return NOON + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        """Return the seconds since noon."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._seconds += seconds


class Simulated:
    """A listener: its agenda, its peers, and what it was given."""

    def __init__(self, clock: VirtualClock) -> None:
        self.id, self.given, self.dead = str(uuid.uuid4()), [], False
        self.agenda, self.peers = Agenda(clock, AHEAD_MS), Peers(self.id, clock, BELIEVED_SECONDS)
        self.keeper = Timekeeper(self.agenda, SimpleNamespace(add=self.given.extend), self.peers, clock)


class Simulation:
    """So many listeners, of which a part dies when half of the jobs were due."""

    def __init__(self, sql: psycopg.Connection[Any], listeners: int, dying: int) -> None:
        self._sql, self._clock, self._dying = sql, VirtualClock(), dying
        self._begin = self._clock.now()
        self.listeners = [Simulated(self._clock) for _ in range(listeners)]
        self.calls = self.taken = self.refused = 0
        self.late: dict[int, float] = {}

    def run(self) -> dict[str, Any]:
        """Run until all jobs have run and were looked at by all; return what it came to."""
        self._sql.execute("truncate public.scheduled_jobs, public.job_executions cascade")
        due = {row[0]: self._begin + timedelta(seconds=1 + n * SECONDS / JOBS) for n, row in enumerate(self._insert())}
        for each in self.listeners:
            for job_id, at in due.items():
                each.agenda.arm(Job(job_id, 1, "scheduled", 0, at, at, handler="noop"), at)
        beaten, rounds = -BEAT_SECONDS, 0
        while any(len(each.agenda) for each in self.listeners if not each.dead):
            now = (self._clock.now() - self._begin).total_seconds()
            if now >= beaten + BEAT_SECONDS:
                beaten, rounds = now, rounds + 1
                self._beat(rounds)
            for each in self.listeners[: self._dying] if now >= 1 + SECONDS / 2 else ():
                each.dead = True
            for each in self.listeners:
                if not each.dead:
                    self._step(each, due)
            self._clock.advance(STEP_SECONDS)
        late = summary([1000 * max(0.0, seconds) for seconds in self.late.values()])
        share = {
            "calls_a_job": self.calls / JOBS,
            "taken_a_job": self.taken / JOBS,
            "refused_a_job": self.refused / JOBS,
        }
        return {"dying": self._dying, **{name: round(value, 2) for name, value in share.items()}, **late}

    def _insert(self) -> list[tuple[int]]:
        query = (
            "insert into public.scheduled_jobs (handler, run_date) "
            "select 'noop', '2001-01-01' from generate_series(1, %s) returning id"
        )
        return self._sql.execute(query, [JOBS]).fetchall()  # due long ago: time is virtual

    def _beat(self, number: int) -> None:
        alive = dict.fromkeys((each.id for each in self.listeners if not each.dead), number)
        for each in self.listeners:
            each.peers.received(alive)

    def _step(self, each: Simulated, due: dict[int, Any]) -> None:
        each.keeper.run_once()
        if not each.given:
            return
        jobs, self.calls = {job.id: job for job in each.given}, self.calls + 1
        each.given.clear()
        claims = [{"id": job.id, "due": "2001-01-01T00:00:00Z", "turn": job.turn or None} for job in jobs.values()]
        request = {
            "listener": each.id,
            "handlers": ["noop"],
            "lease_seconds": 600,
            "ahead_seconds": 1,
            "claims": claims,
        }
        query = "select public.claim_runs_v1(%s::jsonb)"
        (answer,) = self._sql.execute(query, [json.dumps(request)]).fetchone() or ({},)
        granted = set(answer["runs"].get("id", ()))
        for job_id in granted:
            self.late[job_id] = (self._clock.now() - due[job_id]).total_seconds()
        self.taken += answer["taken"]
        self.refused += len(answer["rows"])
        theirs = [(job.id, job.handler) for job in jobs.values() if job.turn]
        left = [one for one in theirs if one[0] in granted]
        each.peers.judge(left, [one for one in theirs if one[0] not in granted])


async def main(counts: list[int]) -> None:
    """Simulate, and print a line for each."""
    with tempfile.TemporaryDirectory(prefix="listener-many-") as folder:
        Path(folder).chmod(0o711)
        async with running_stack(Path(folder)) as stack:
            with psycopg.connect(stack.database_url, autocommit=True) as sql:
                for count in counts:
                    for dying in (0, count // 3):
                        print(count, json.dumps(Simulation(sql, count, dying).run()), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listeners", nargs="*", type=int, default=[3, 10, 100])
    anyio.run(main, parser.parse_args().listeners)
