"""Fixtures of the whole suite: the anyio backend, and one stack for all tests that need the real parts.

By default that is an embedded one, which ends with the run; `--stack-env FILE` names another one.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from emptying import EMPTIED, empty
from hypothesis import HealthCheck, settings
from psycopg import sql
from psycopg.types.json import Jsonb

from listener.handler_api.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from given_stack import GivenStack

    from listener.local.stack import Stack

settings.register_profile(  # a busy one makes any example slow, and the making of one
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

NO_FILE = "--stack-url needs --stack-env FILE, which has the keys"
NOT_FOR_TESTS = (
    "the tests delete every job, meeting, workspace and user of the stack that --stack-env names: "
    "add --stack-may-be-emptied if it is for tests alone"
)
ONE_PROCESS = "tests in several processes would empty one another's tables: run them without -n against one stack"
EMPTY_TABLES = """
select format('%%I.%%I', schemaname, tablename)
from pg_tables
where schemaname = 'public' or tablename = any(%s)
order by 1
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests run against a stack that exists already."""
    group = parser.getgroup("stack", "a stack that exists already")
    group.addoption("--stack-env", type=Path, metavar="FILE", help="its URL, keys and DATABASE_URL, NAME=value a line")
    group.addoption("--stack-url", metavar="URL", help="its URL, where it is not the one in the file")
    group.addoption("--stack-may-be-emptied", action="store_true", help="its jobs, meetings and users are for tests")
    parser.addoption("--direct", action="store_true", help="let listeners speak to PostgreSQL itself, not to PostgREST")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse options that would harm a stack or the run."""
    if config.option.stack_env is None:
        if config.option.stack_url:
            raise pytest.UsageError(NO_FILE)
        return
    if not config.option.stack_may_be_emptied:
        raise pytest.UsageError(NOT_FOR_TESTS)
    if getattr(config.option, "numprocesses", None) or "PYTEST_XDIST_WORKER" in os.environ:
        raise pytest.UsageError(ONE_PROCESS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs the stack, wherever it lies: `make check` leaves it out."""
    if config.option.direct:
        items[:] = [item for item in items if _way_of(item) != "postgrest"]
    for item in items:
        if "embedded_stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.stack)


def _way_of(item: pytest.Item) -> str | None:
    """Return by which way to the database a test is to run, where it names one."""
    return item.callspec.params.get("way") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run every asynchronous test on asyncio: supabase-py and realtime-py know nothing else."""
    return "asyncio"


@pytest.fixture(scope="session")
def embedded_stack(request: pytest.FixtureRequest) -> Iterator[Stack | GivenStack]:
    """Run one stack, migrated, for the whole session, in a thread of its own so that no test's loop is its loop.

    Where the run was given a stack, that one is migrated and emptied instead.
    """
    if request.config.option.stack_env is not None:
        yield _given_stack(request.config.option.stack_env, request.config.option.stack_url)
        return
    from listener.local.stack import temporary_stack  # noqa: PLC0415 - unit tests do not load the stack

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(temporary_stack()) as stack:
        publish_handlers(stack.database_url)
        yield stack


def _given_stack(file: Path, url: str | None) -> GivenStack:
    from given_stack import GivenStack, read_settings  # noqa: PLC0415 - as below

    stack = GivenStack(read_settings(file, url))
    stack.prepare()
    publish_handlers(stack.database_url)
    return stack


def publish_handlers(database_url: str) -> None:
    """Enter the handlers that ship with the service into the catalogue, as a listener does at its start."""
    request = {"listener": str(uuid.uuid4()), "handlers": Registry.load(["handlers"]).catalogue()}
    with psycopg.connect(database_url) as connection:
        connection.execute("select public.publish_handlers_v1(%s)", [Jsonb(request)])


@pytest.fixture
def empty_catalogue(embedded_stack: Stack) -> Iterator[None]:
    """Empty the catalogue for one test, and fill it again."""
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as connection:
        connection.execute("delete from public.job_handlers")
        yield
        connection.execute("delete from public.job_handlers")
    publish_handlers(embedded_stack.database_url)


@pytest.fixture(scope="session")
def tables_to_empty(embedded_stack: Stack) -> list[str]:
    """Name the tables of `public` that the migrations leave empty; others hold settings that tests rely on."""
    own = getattr(embedded_stack, "own_tables", None)
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as connection:
        tables = own or [name for (name,) in connection.execute(EMPTY_TABLES, [[*EMPTIED]]).fetchall()]
        return [table for table in tables if not connection.execute(_has_rows(table)).fetchone()[0]]


@pytest.fixture
def stack(embedded_stack: Stack, tables_to_empty: list[str]) -> Stack:
    """Give the session's stack with empty tables."""
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as connection:
        connection.execute(
            "set lock_timeout = '5s'"
        )  # a test that left a transaction open is to be seen, not waited for
        connection.execute("delete from auth.users")
        if tables_to_empty:
            empty(connection, tables_to_empty)
    return embedded_stack


def _has_rows(table: str) -> sql.Composed:
    return sql.SQL("select exists (select from {})").format(sql.SQL(table))
