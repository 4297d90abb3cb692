"""Delivery waits for a commit to become visible, and for nothing else."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from given_stack import needs_embedded

if TYPE_CHECKING:
    from listener.local.stack import Stack

pytestmark = pytest.mark.stack
AWAIT = "select realtime.local_await(array[%s::bigint])"


def _transaction(stack: Stack) -> tuple[psycopg.Connection, int]:
    connection = psycopg.connect(stack.admin_dsn)
    [xid] = connection.execute("select pg_current_xact_id()::xid::text::bigint").fetchone()
    return connection, xid


def test_a_commit_beyond_the_newest_snapshot_is_waited_for_no_longer_than_it_takes(stack: Stack):
    """Of two transactions under way the later one lies beyond what a snapshot reaches, until it has ended."""
    needs_embedded(stack, "it is a test of the embedded Realtime server")
    earlier, _ = _transaction(stack)
    later, xid = _transaction(stack)
    with earlier, later, psycopg.connect(stack.admin_dsn, autocommit=True) as waiting:
        committing = threading.Timer(0.3, later.commit)
        committing.start()
        began = time.monotonic()
        waiting.execute(AWAIT, (xid,))
        waited = time.monotonic() - began
        committing.join()
    assert 0.2 < waited < 2
