"""An application beside a listener: schedulers of every kind against the session's stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from child_listener import free_port, listeners_on
from psycopg import sql

from listener.client import AsyncSupabaseJobScheduler, SupabaseJobScheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from listener.local.stack import Stack

HERE = Path(__file__).parent
HANDLERS = "handlers,client_handlers"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the stack."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="module")
def listener(
    embedded_stack: Stack, tables_to_empty: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Run one listener for all tests of a module, on a database that began empty."""
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as connection:
        connection.execute("delete from auth.users")
        connection.execute(sql.SQL("truncate {} cascade").format(sql.SQL(", ").join(map(sql.SQL, tables_to_empty))))
    with listeners_on(embedded_stack, tmp_path_factory.mktemp("listener"), HERE / "jobs") as listeners:
        listeners.start(handlers=HANDLERS)
        yield


@pytest.fixture
def open_scheduler(embedded_stack: Stack) -> Iterator[Callable[..., SupabaseJobScheduler]]:
    """Give a maker of blocking schedulers: of a signed-in user, or with the service key."""
    opened: list[SupabaseJobScheduler] = []

    def make(user: str | None = None, **options: object) -> SupabaseJobScheduler:
        key = embedded_stack.anon_key if user else embedded_stack.service_key
        token = embedded_stack.user_token(user) if user else None
        opened.append(SupabaseJobScheduler(url=embedded_stack.url, key=key, access_token=token, **options))
        return opened[-1]

    yield make
    for scheduler in opened:
        scheduler.close()


@pytest.fixture
def alice(open_scheduler: Callable[..., SupabaseJobScheduler]) -> SupabaseJobScheduler:
    """Give a signed-in user's scheduler."""
    return open_scheduler("alice")


@pytest.fixture
async def async_alice(embedded_stack: Stack) -> AsyncIterator[AsyncSupabaseJobScheduler]:
    """Give the same user's asynchronous scheduler."""
    token = embedded_stack.user_token("alice")
    async with AsyncSupabaseJobScheduler(
        url=embedded_stack.url, key=embedded_stack.anon_key, access_token=token
    ) as scheduler:
        yield scheduler


@pytest.fixture
def a_free_port() -> int:
    """Give a port that nobody has."""
    return free_port()
