"""The faults: each breaks one thing, holds it, and fixes it."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import psycopg
from faulty_proxy import FaultyProxy, Mode
from faulty_realtime import Mischief

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from random import Random

    from chaos.rig import Rig

HOLD_SECONDS = 3.0
BYSTANDERS = 5_000


@dataclass(frozen=True)
class Fault:
    """A way to break things, for a while of `hold` seconds; once that is over, everything works as before."""

    name: str
    breaking: Callable[[Rig, Random], AbstractAsyncContextManager[None]]
    hold: float = HOLD_SECONDS

    async def happen(self, rig: Rig, chance: Random) -> None:
        """Break, wait, fix."""
        async with self.breaking(rig, chance):
            await anyio.sleep(self.hold)


FAULTS: dict[str, Fault] = {}


def fault(name: str, hold: float = HOLD_SECONDS) -> Callable[[Callable[[Rig, Random], AsyncIterator[None]]], None]:
    """Enter a fault under a name: a generator that breaks, yields, and fixes."""

    def enter(breaking: Callable[[Rig, Random], AsyncIterator[None]]) -> None:
        FAULTS[name] = Fault(name, asynccontextmanager(breaking), hold)

    return enter


# Listeners.


@fault("listener killed (kill -9)", hold=0)
async def _kill(rig: Rig, chance: Random) -> AsyncIterator[None]:
    slot = chance.randrange(len(rig.replicas.slots))
    rig.replicas.slots[slot].end(signal.SIGKILL)
    await rig.replicas.replace(slot)
    yield


@fault("listener stopped (SIGTERM) and replaced, one after another", hold=0)
async def _roll(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    for slot, replica in enumerate(list(rig.replicas.slots)):
        replica.end(signal.SIGTERM)
        await rig.replicas.replace(slot)
        await rig.replicas.wait_until_ready(rig.replicas.slots[slot])
    yield


@fault("listener frozen (SIGSTOP) for longer than its lease", hold=0)
async def _freeze(rig: Rig, chance: Random) -> AsyncIterator[None]:
    await chance.choice(rig.replicas.slots).freeze(rig.lease_seconds + 3)
    yield


@fault("listener's clock stepped by an hour")
async def _step(rig: Rig, chance: Random) -> AsyncIterator[None]:
    clock = rig.replicas.clock(chance.randrange(len(rig.replicas.slots)))
    clock.write_text(str(chance.choice((-3600, 3600))))
    yield
    clock.write_text("0")


# Roads to the gateway.


@asynccontextmanager
async def _mode(proxies: list[FaultyProxy], mode: Mode) -> AsyncIterator[None]:
    for proxy in proxies:
        proxy.mode = mode
    try:
        yield
    finally:
        for proxy in proxies:
            proxy.mode = Mode.PASS


def _on_roads(name: str, mode: Mode, hold: float = HOLD_SECONDS, *, status: int = 503) -> None:
    async def breaking(rig: Rig, _chance: Random) -> AsyncIterator[None]:
        for road in rig.replicas.roads:
            road.status = status
        async with _mode(rig.replicas.roads, mode):
            yield

    fault(name, hold)(breaking)


_on_roads("gateway refuses connections", Mode.REFUSE)
_on_roads("gateway resets connections", Mode.RESET)
_on_roads("gateway answers 503", Mode.ANSWER, status=503)
_on_roads("gateway answers 500", Mode.ANSWER, status=500)
_on_roads("gateway half-open for all", Mode.HALF_OPEN)


@fault("one listener cut off for longer than its lease", hold=0)
async def _cut_off(rig: Rig, chance: Random) -> AsyncIterator[None]:
    async with _mode([chance.choice(rig.replicas.roads)], Mode.HALF_OPEN):
        await anyio.sleep(rig.lease_seconds + 3)
        yield


@fault("one listener's requests arrive late, past its lease", hold=0)
async def _late(rig: Rig, chance: Random) -> AsyncIterator[None]:
    road = chance.choice(rig.replicas.roads)
    road.delay_up = rig.lease_seconds + 2
    await anyio.sleep(rig.lease_seconds)
    road.delay_up = 0.0
    await anyio.sleep(2)
    yield


@fault("slow roads (300 ms each way)")
async def _slow(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    for road in rig.replicas.roads:
        road.delay_up = road.delay_down = 0.3
    yield
    for road in rig.replicas.roads:
        road.delay_up = road.delay_down = 0.0


# PostgREST.


@fault("PostgREST killed", hold=0)
async def _kill_rest(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    rig.kill("postgrest.conf")
    yield


@fault("PostgREST unreachable")
async def _no_rest(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    async with _mode([rig.rest], Mode.REFUSE):
        yield


@fault("PostgREST loses its database")
async def _rest_alone(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    async with _mode([rig.rest_to_database], Mode.RESET):
        yield


# Realtime.


@fault("Realtime killed", hold=0)
async def _kill_realtime(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    rig.kill("listener.local.realtime")
    yield


@fault("Realtime loses its database")
async def _realtime_alone(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    async with _mode([rig.realtime_to_database], Mode.RESET):
        yield


@fault("Realtime half-open", hold=0)
async def _stale(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    rig.realtime.mark_stale()
    yield


@fault("Realtime joins slowly")
async def _slow_join(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    async with _mischief(rig, Mischief(join_delay_seconds=2)):
        rig.kill("listener.local.realtime")
        yield


@fault("Realtime token expired", hold=0)
async def _expired(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    await rig.realtime.expire_tokens()
    yield


@fault("Realtime sends malformed frames", hold=0)
async def _garbage(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    await rig.realtime.send_garbage()
    yield


@asynccontextmanager
async def _mischief(rig: Rig, mischief: Mischief) -> AsyncIterator[None]:
    rig.realtime.mischief = mischief
    try:
        yield
    finally:
        rig.realtime.mischief = Mischief()


@fault("Realtime events doubled and out of order")
async def _disorder(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    async with _mischief(rig, Mischief(doubled_share=0.5, reordered_share=0.5)):
        yield


@fault("Realtime events dropped at random")
async def _drops(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    async with _mischief(rig, Mischief(dropped_share=0.5)):
        yield


@fault("Realtime swallows everything for a while")
async def _swallows(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    async with _mischief(rig, Mischief(swallows=True)):
        yield


# PostgreSQL.


@fault("PostgreSQL restarted", hold=0)
async def _restart(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    for postmaster in rig.programs("bin/postgres"):
        postmaster.send_signal(signal.SIGINT)
    await anyio.sleep(0.3)
    await rig.database.rows("select 1")
    yield


@fault("PostgreSQL crashed (SIGQUIT)", hold=0)
async def _crash(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    for postmaster in rig.programs("bin/postgres"):
        postmaster.send_signal(signal.SIGQUIT)
    await anyio.sleep(0.3)
    await rig.database.rows("select 1")
    yield


@fault("all backends terminated", hold=0)
async def _terminate(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    try:
        async with rig.database.session() as connection:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
                "and backend_type in ('client backend', 'walsender')"
            )
    except psycopg.OperationalError:
        pass  # another fault has the server
    yield


@fault("publication dropped and made again")
async def _publication(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    tables = await rig.database.rows(
        "select string_agg(format('%I.%I', schemaname, tablename), ', ') as names from pg_publication_tables "
        "where pubname = 'supabase_realtime'"
    )
    await rig.database.rows("drop publication if exists supabase_realtime")
    yield
    await rig.database.rows(f"create publication supabase_realtime for table {tables[0]['names']}")


@fault("disk full")
async def _full(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    await rig.disk.fill(rig.database)
    yield
    await rig.disk.clear(rig.database)


@fault("5,000 rows updated in one transaction", hold=0)
async def _bulk(rig: Rig, _chance: Random) -> AsyncIterator[None]:
    await rig.database.rows("update public.scheduled_jobs set metadata = metadata where job_id like 'bystander-%'")
    yield


async def add_bystanders(rig: Rig) -> None:
    """Insert the jobs that the bulk update touches: due in a year, so that they never run."""
    await rig.database.rows(
        "insert into public.scheduled_jobs (job_id, handler, run_date) "
        "select 'bystander-' || n, 'chaos', now() + interval '1 year' from generate_series(1, %s) as n",
        [BYSTANDERS],
    )
