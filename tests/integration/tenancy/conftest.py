"""One workspace with its peers, a stranger, the owner of private rows, and rows of both kinds."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from cast import ROLES, Tenancy
from psycopg.rows import dict_row

from listener.local.keys import user_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listener.local.stack import Stack

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the stack."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="module")
def database(embedded_stack: Stack) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """Look at everything, as superuser."""
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture(scope="module")
def clients(embedded_stack: Stack) -> Iterator[dict[str, httpx.Client]]:
    """Give a PostgREST client for each role; each signed-in one is a user of that name."""
    stack = embedded_stack
    made = {}
    for role in ROLES:
        apikey = stack.service_key if role == "service" else stack.anon_key
        token = apikey if role in {"anon", "service"} else stack.user_token(role)
        made[role] = httpx.Client(
            base_url=f"{stack.url}/rest/v1", headers={"apikey": apikey, "Authorization": f"Bearer {token}"}, timeout=20
        )
    yield made
    for client in made.values():
        client.close()


@pytest.fixture
def tenancy(
    tables_to_empty: list[str], database: psycopg.Connection[dict[str, Any]], clients: dict[str, httpx.Client]
) -> Iterator[Tenancy]:
    """Give a fresh workspace and fresh rows; the tables keep what others left in them."""
    assert tables_to_empty, "noted before the first row is written here"
    workspace = uuid.uuid4()
    database.execute("insert into public.job_workspaces (id, name) values (%s, 'Team')", [workspace])
    elsewhere = uuid.uuid4()
    database.execute("insert into public.job_workspaces (id, name) values (%s, 'Another team')", [elsewhere])
    database.execute(
        "insert into public.job_workspace_members (workspace_id, user_id, role) values (%s, %s, 'admin')",
        [elsewhere, user_id("stranger")],
    )
    for role in ("viewer", "editor", "admin"):
        database.execute(
            "insert into public.job_workspace_members (workspace_id, user_id, role) values (%s, %s, %s)",
            [workspace, user_id(role), role],
        )
    yield Tenancy(workspace, database, clients)
    # Rows left here would be a listener to other tests, and handlers in what they read.
    database.execute("delete from public.job_listeners where heartbeat_at > '2090-01-01'")
    database.execute("delete from public.job_handlers where name ~ '^h[0-9a-f]{32}$'")
    database.execute("delete from public.job_workspaces")
    for table in ("public.job_alert_channels", "public.job_alert_rules", "job_scheduler.alert_requests"):
        database.execute(f"delete from {table}")  # noqa: S608 - ours; private ones, which quotas count
    database.execute("delete from public.scheduled_jobs where handler = 'alert_delivery'")
