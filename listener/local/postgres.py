"""Runs real PostgreSQL: created once in the state folder, run as a user who is not root, recoverable after a kill."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from listener.local.errors import ProgramFailedError, UnsuitablePostgresError
from listener.local.installation import Installation, installed_postgres
from listener.local.keys import open_private, write_private
from listener.local.program import Program, leashed
from listener.local.reach import reachable_by, reachable_copy
from listener.local.stale import clear_stale_postmaster

if TYPE_CHECKING:
    from pathlib import Path

    from listener.local.keys import Keys
    from listener.local.state import StateFolder

UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root; this account exists everywhere
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "shared_buffers": "256MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "max_slot_wal_keep_size": "1GB",  # a slot that nobody reads may not fill the disk
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "listener",
}


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL cluster and how to reach it. `owner` is its (uid, gid), None for our own."""

    installation: Installation
    data: Path
    sockets: Path
    port: int
    keys: Keys
    owner: tuple[int, int] | None
    log_file: Path

    @property
    def programs(self) -> Path:
        """The folder of `initdb` and `postgres`."""
        return self.installation.programs

    @property
    def database_url(self) -> str:
        """The URL for users: role postgres, no superuser, over TCP."""
        return f"postgresql://postgres:{self.keys.postgres_password}@127.0.0.1:{self.port}/postgres"

    @property
    def admin_dsn(self) -> str:
        """The stack's own superuser, over the Unix socket."""
        return self._socket_dsn("supabase_admin", self.keys.admin_password)

    @property
    def authenticator_dsn(self) -> str:
        """PostgREST's role, over the Unix socket."""
        return self._socket_dsn("authenticator", self.keys.authenticator_password)

    def _socket_dsn(self, role: str, password: str) -> str:
        return f"host={self.sockets} port={self.port} dbname=postgres user={role} password={password}"


def cluster_in(state: StateFolder, keys: Keys, port: int) -> Cluster:
    """Return the cluster of `state`, with folders and programs where the user that runs it can reach them.

    Raises:
        MissingProgramError: PostgreSQL is not installed.
        UnsuitablePostgresError: It is too old.
    """
    owner = _unprivileged() if os.geteuid() == 0 else None
    home = state.root if reachable_by(owner, state.root) else state.outside()
    sockets = state.sockets_below(home)
    sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
    _give(sockets, owner)
    installation = reachable_copy(installed_postgres(), home, owner)
    return Cluster(installation, home / "data", sockets, port, keys, owner, state.log("postgres"))


async def create_cluster(cluster: Cluster) -> None:
    """Initialise the data folder unless it is there; it appears complete or not at all.

    Raises:
        ProgramFailedError: `initdb` failed.
        UnsuitablePostgresError: The data folder is another version's.
    """
    if cluster.data.exists():
        _check_version(cluster)
        return
    draft = cluster.data.with_name("data.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    _give(draft, cluster.owner)
    password = cluster.sockets / "initdb.password"
    write_private(password, cluster.keys.admin_password)
    _give(password, cluster.owner)
    try:
        await _initdb(cluster, draft, password)
    finally:
        password.unlink()
    draft.rename(cluster.data)


def _check_version(cluster: Cluster) -> None:
    maker, found = (cluster.data / "PG_VERSION").read_text().strip(), cluster.installation
    if maker != str(found.major):
        reason = f"{cluster.data} was made by PostgreSQL {maker}; choose another folder with --state-dir"
        raise UnsuitablePostgresError(found.programs, found.version, reason)


async def _initdb(cluster: Cluster, folder: Path, password: Path) -> None:
    command = [
        str(cluster.programs / "initdb"),
        f"--pgdata={folder}",
        "--username=supabase_admin",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        *cluster.installation.locale_options,
        "--no-instructions",
        "--no-sync",  # nothing is in it yet, and the draft counts only once it is complete
    ]
    with open_private(cluster.log_file) as log_file:
        process = await asyncio.create_subprocess_exec(
            *leashed(command, signal.SIGKILL, cluster.owner), stdout=log_file, stderr=log_file
        )
        code = await process.wait()
    if code != 0:
        raise ProgramFailedError(command[0], f"failed with exit code {code}", cluster.log_file)


def postgres_program(cluster: Cluster) -> Program:
    """Return the server: fast shutdown when it is stopped, immediate when this process is killed."""

    async def before_start() -> None:
        await clear_stale_postmaster(cluster.data)

    async def ready() -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(cluster.admin_dsn, connect_timeout=2)
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True

    settings = {"port": str(cluster.port), "unix_socket_directories": str(cluster.sockets), **SETTINGS}
    command = [str(cluster.programs / "postgres"), "-D", str(cluster.data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return Program(
        name="postgres",
        command=command,
        log_file=cluster.log_file,
        ready=ready,
        owner=cluster.owner,
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGQUIT,
        ready_seconds=60.0,  # recovery after a kill may have much to replay
        before_start=before_start,
    )


async def bootstrap(cluster: Cluster) -> None:
    """Give the database the objects of a new Supabase project; may be repeated."""
    parts = {
        "listener.local": "bootstrap.sql",
        "listener.local.auth": "schema.sql",
        "listener.local.realtime": "schema.sql",
    }
    scripts = [files(package) / name for package, name in parts.items()]
    passwords = {
        "postgres": cluster.keys.postgres_password,
        "authenticator": cluster.keys.authenticator_password,
    }
    async with await psycopg.AsyncConnection.connect(cluster.admin_dsn) as connection:
        for script in scripts:
            await connection.execute(script.read_bytes())
        for role, password in passwords.items():
            change = sql.SQL("alter role {} with password {}")
            await connection.execute(change.format(sql.Identifier(role), sql.Literal(password)))


def _unprivileged() -> tuple[int, int]:
    account = pwd.getpwnam(UNPRIVILEGED)
    return account.pw_uid, account.pw_gid


def _give(path: Path, owner: tuple[int, int] | None) -> None:
    if owner is not None:
        os.chown(path, *owner)
