"""The embedded stack, wired so that a road which can be broken lies between any two of its programs.

listener ──roads[slot]──▶ gateway ──rest──▶ PostgREST ──rest_to_database──▶ PostgreSQL
                             └─────realtime──▶ Realtime ──realtime_to_database──▶ PostgreSQL
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import psutil
from anyio import to_thread
from child_listener import free_port
from faulty_proxy import FaultyProxy, SocketRoad, TcpRoad, running_proxy
from faulty_realtime import FaultyRealtime

from chaos.database import Database
from chaos.disk import Disk, small_disk
from chaos.replicas import Replicas
from listener.local.postgres import bootstrap, cluster_in, create_cluster, postgres_program
from listener.local.postgrest import postgrest_program, postgrest_socket
from listener.local.postgrest_binary import postgrest_binary
from listener.local.program import running
from listener.local.services import gateway_program, realtime_program
from listener.local.stack import Stack
from listener.local.state import StateFolder
from listener.migrate.files import migrations_folder
from listener.migrate.migrator import apply_migrations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from listener.local.postgres import Cluster

AUDIT = Path(__file__).with_name("audit.sql")


@dataclass
class Rig:
    """Everything that may be broken."""

    folder: Path
    stack: Stack
    database: Database
    disk: Disk
    rest: FaultyProxy
    rest_to_database: FaultyProxy
    realtime: FaultyRealtime
    realtime_to_database: FaultyProxy
    replicas: Replicas
    lease_seconds: float

    def kill(self, word: str) -> None:
        """Kill the stack's own program whose command line has `word` in it; the stack starts it again."""
        for each in self.programs(word):
            each.kill()

    def programs(self, word: str) -> list[psutil.Process]:
        """Find the stack's own processes whose command line has `word` in it."""
        return [each for each in psutil.Process().children() if word in " ".join(_command_of(each))]


def _command_of(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


@contextlib.asynccontextmanager
async def running_rig(
    replicas: int, settings: Mapping[str, object], seed: int, disk_megabytes: int = 256
) -> AsyncIterator[Rig]:
    """Run stack and roads until the block is left, and end the listeners then; logs and records stay."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o711)
    async with contextlib.AsyncExitStack() as blocks:
        rig = await _build(blocks, folder, replicas, settings, seed, disk_megabytes)
        await rig.database.rows(AUDIT.read_text())
        try:
            yield rig
        finally:
            rig.replicas.stop_all()


async def _build(  # noqa: PLR0913, PLR0917 - what the block was asked for
    blocks: contextlib.AsyncExitStack,
    folder: Path,
    replicas: int,
    settings: Mapping[str, object],
    seed: int,
    disk_megabytes: int,
) -> Rig:
    state = StateFolder.at(folder / "stack")
    state.root.chmod(0o711)
    blocks.callback(state.discard_outside)
    blocks.callback(shutil.rmtree, state.root / "data", ignore_errors=True)
    keys, ports = state.keys(), state.choose_ports()
    stack = Stack(cluster_in(state, keys, ports["postgres"]), ports)
    await create_cluster(stack.cluster)
    disk = blocks.enter_context(small_disk(folder / "disk", stack.cluster.owner, disk_megabytes))
    await blocks.enter_async_context(running(postgres_program(stack.cluster)))
    await bootstrap(stack.cluster)
    await to_thread.run_sync(apply_migrations, stack.database_url, migrations_folder())
    database = Database(stack.admin_dsn)
    await disk.hold_the_ledger(database)

    near_rest, near_realtime, near_gateway = (_elsewhere(stack.cluster, folder / name) for name in "prg")
    rest_to_database = await blocks.enter_async_context(running_proxy(_postgres_road(stack.cluster, near_rest)))
    realtime_to_database = await blocks.enter_async_context(running_proxy(_postgres_road(stack.cluster, near_realtime)))
    rest = await blocks.enter_async_context(
        running_proxy(SocketRoad(postgrest_socket(near_rest), postgrest_socket(near_gateway)))
    )
    realtime = FaultyRealtime(ports["realtime"], Random(seed))
    await blocks.enter_async_context(realtime.running(free_port()))
    await blocks.enter_async_context(
        running(
            postgrest_program(state, near_rest, await postgrest_binary(state)),
            realtime_program(state, near_realtime, ports["realtime"]),
            gateway_program(state, near_gateway, {**ports, "realtime": realtime.port}),
        )
    )
    roads = [await blocks.enter_async_context(running_proxy(TcpRoad(ports["api"]))) for _ in range(replicas)]
    listeners = Replicas(stack, roads, folder, settings)
    return Rig(
        folder,
        stack,
        database,
        disk,
        rest,
        rest_to_database,
        realtime,
        realtime_to_database,
        listeners,
        float(str(settings["LISTENER_LEASE_SECONDS"])),
    )


def _elsewhere(cluster: Cluster, sockets: Path) -> Cluster:
    """Give the cluster as a program sees it that finds its sockets in another folder."""
    sockets.mkdir()
    return replace(cluster, sockets=sockets)


def _postgres_road(cluster: Cluster, near: Cluster) -> SocketRoad:
    name = f".s.PGSQL.{cluster.port}"
    return SocketRoad(cluster.sockets / name, near.sockets / name)
