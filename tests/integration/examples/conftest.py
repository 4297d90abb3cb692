"""Fixtures of the tests of the example apps."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from emptying import empty


@pytest.fixture(scope="module")
def emptied_stack(embedded_stack: Any, tables_to_empty: list[str]) -> Any:
    """Give the session's stack with empty tables, once for the tests of an app, which share a listener."""
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as connection:
        connection.execute("set lock_timeout = '5s'")
        connection.execute("delete from auth.users")
        if tables_to_empty:
            empty(connection, tables_to_empty)
    return embedded_stack
