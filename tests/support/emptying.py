"""Tables are emptied between tests, while requests of listeners that were killed may still be under way."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

TRIES = 5
"""Such a request ends at once; each deadlock costs the second after which PostgreSQL finds it."""

EMPTIED = ("changed_rows", "deliveries", "listening", "mute", "source_errors")
"""Tables of the schema job_scheduler that tests empty, beside those of public."""


def empty(connection: psycopg.Connection[Any], tables: Sequence[str]) -> None:
    """Empty these tables, named with their schema."""
    truncate = sql.SQL("truncate {} cascade").format(sql.SQL(", ").join(map(sql.SQL, tables)))
    for _ in range(TRIES - 1):
        with contextlib.suppress(errors.DeadlockDetected):
            connection.execute(truncate)
            return
    connection.execute(truncate)
