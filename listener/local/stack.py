"""The embedded stack as one block: everything runs inside it, and nothing afterwards.

Example::

    async with running_stack(Path(".listener")) as stack:
        create_client(stack.url, stack.service_key)
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from listener.local import keys as stack_keys
from listener.local.postgres import Cluster, bootstrap, cluster_in, create_cluster, postgres_program
from listener.local.postgrest import postgrest_program
from listener.local.postgrest_binary import postgrest_binary
from listener.local.program import running
from listener.local.services import auth_program, gateway_program, listener_program, realtime_program
from listener.local.state import StateFolder
from listener.migrate.files import migrations_folder
from listener.migrate.migrator import apply_migrations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from listener.local.keys import Keys


@dataclass(frozen=True)
class Stack:
    """A running stack, with its URLs and keys."""

    cluster: Cluster
    ports: Mapping[str, int]
    is_direct: bool = False  # whether its listeners have connections of their own

    @property
    def keys(self) -> Keys:
        """Every secret of the stack."""
        return self.cluster.keys

    @property
    def url(self) -> str:
        """The `SUPABASE_URL` of clients."""
        return f"http://127.0.0.1:{self.ports['api']}"

    @property
    def anon_key(self) -> str:
        """The JWT of role anon."""
        return self.keys.anon_key

    @property
    def service_key(self) -> str:
        """The JWT of role service_role."""
        return self.keys.service_role_key

    @property
    def database_url(self) -> str:
        """PostgreSQL over TCP, as role postgres, which is no superuser."""
        return self.cluster.database_url

    @property
    def admin_dsn(self) -> str:
        """PostgreSQL over its Unix socket, as the superuser supabase_admin."""
        return self.cluster.admin_dsn

    @property
    def http_url(self) -> str:
        """The URL at which a listener of this stack serves `/readyz`, if one was started."""
        return f"http://127.0.0.1:{self.ports['listener']}"

    def user_token(self, name: str) -> str:
        """Return the JWT of the signed-in user called `name`."""
        return stack_keys.user_token(self.keys, name)

    def environment(self) -> dict[str, str]:
        """Return the environment for a client of the stack, or for a listener on it."""
        return {
            "SUPABASE_URL": self.url,
            "SUPABASE_ANON_KEY": self.anon_key,
            "SUPABASE_SERVICE_ROLE_KEY": self.service_key,
            "SUPABASE_PUBLISHABLE_KEY": self.keys.publishable_key,
            "SUPABASE_SECRET_KEY": self.keys.secret_key,
            "DATABASE_URL": self.database_url,
            "LISTENER_HTTP_BIND": f"127.0.0.1:{self.ports['listener']}",
            "LISTENER_HTTP_URL": self.http_url,
            "LISTENER_DEBUG": "true",  # for developers: on loopback, nobody else can read it
            **({"LISTENER_DATABASE_URL": self.database_url} if self.is_direct else {}),
        }


@contextlib.asynccontextmanager
async def temporary_stack(*, with_listener: bool = False) -> AsyncIterator[Stack]:
    """Run a stack that leaves nothing behind, not even its logs; raises what `running_stack` raises."""
    with tempfile.TemporaryDirectory(prefix="listener-") as folder:
        state = StateFolder.at(Path(folder))
        state.root.chmod(0o711)  # PostgreSQL must get in, as another user where we are root
        try:
            async with running_stack(state.root, with_listener=with_listener) as stack:
                yield stack
        finally:
            state.discard_outside()


@contextlib.asynccontextmanager
async def running_stack(
    state_dir: Path, *, migrations: Path | None = None, with_listener: bool = False, direct: bool = False
) -> AsyncIterator[Stack]:
    """Run the stack on `state_dir`, its database migrated, until the block is left.

    Args:
        state_dir: Created if need be; databases, keys and ports in it last over restarts.
        migrations: Folder of the migrations; by default the project's own.
        with_listener: Start `listener run` too, and wait until it is ready.
        direct: Let it speak to PostgreSQL itself, by connections of its own.

    Raises:
        StateFolderInUseError: Another stack runs on `state_dir`.
        MissingProgramError: A program of the stack is not installed.
        ProgramFailedError: A program of the stack did not start.
        MigrationError: A migration failed.
    """
    state = StateFolder.at(state_dir)
    async with contextlib.AsyncExitStack() as programs:
        programs.enter_context(state.held())
        keys, ports = state.keys(), state.choose_ports()
        stack = Stack(cluster_in(state, keys, ports["postgres"]), ports, direct)
        binary = await postgrest_binary(state)
        await create_cluster(stack.cluster)
        await programs.enter_async_context(running(postgres_program(stack.cluster)))
        await bootstrap(stack.cluster)
        await to_thread.run_sync(apply_migrations, stack.database_url, migrations or migrations_folder())
        await programs.enter_async_context(
            running(
                postgrest_program(state, stack.cluster, binary),
                auth_program(state, stack.cluster, f"{stack.url}/auth/v1"),
                realtime_program(state, stack.cluster, ports["realtime"]),
                gateway_program(state, stack.cluster, ports),
            )
        )
        if with_listener:
            await programs.enter_async_context(running(listener_program(state, stack.environment())))
        yield stack
