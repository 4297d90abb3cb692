"""Delivery waits for a commit to become visible, and for nothing else."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from given_stack import needs_embedded
from patience import PATIENCE_SECONDS, allowed

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
    began_to_commit = []

    def commit() -> None:
        began_to_commit.append(time.monotonic())
        later.commit()

    with earlier, later, psycopg.connect(stack.admin_dsn, autocommit=True) as waiting:
        committing = threading.Timer(0.3, commit)
        committing.start()
        waiting.execute(AWAIT, (xid,))
        returned = time.monotonic()
        committing.join()
    assert 0 < returned - began_to_commit[0] < allowed(0.5, PATIENCE_SECONDS)
