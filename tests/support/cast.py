"""The users in the tests of tenancy, and the rows that they may or may not see and write."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from listener.local.keys import user_id

if TYPE_CHECKING:
    import uuid

    import httpx
    import psycopg

ROLES = ("anon", "stranger", "viewer", "editor", "admin", "owner", "service")
"""The owner has private rows and belongs to no workspace; the stranger is the admin of another workspace."""


@dataclass(frozen=True)
class Tenancy:
    """A workspace with a viewer, an editor and an admin; rows are made when they are asked for."""

    workspace: uuid.UUID
    database: psycopg.Connection[dict[str, Any]]
    clients: dict[str, httpx.Client]

    def add(self, table: str, **columns: object) -> Any:
        """Insert a row as superuser; give its key."""
        names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
        key = "name" if table == "job_handlers" else "id"
        query = f"insert into public.{table} ({names}) values ({places}) returning {key}"  # noqa: S608 - ours
        return self.database.execute(query, list(columns.values())).fetchone()[key]

    def owned(self, kind: str) -> dict[str, object]:
        """Give the columns that make a row private to the owner, or one of the workspace."""
        if kind == "private":
            return {"created_by": user_id("owner")}
        return {"created_by": user_id("editor"), "workspace_id": self.workspace}

    @cached_property
    def private_job(self) -> int:
        """A job of the owner."""
        return self.job("private")

    @cached_property
    def workspace_job(self) -> int:
        """A job of the workspace."""
        return self.job("workspace")

    def job(self, kind: str, **columns: object) -> int:
        """Insert a job that is due in years."""
        return self.add("scheduled_jobs", handler="noop", run_date="2099-01-01Z", **self.owned(kind), **columns)

    def run(self, kind: str) -> uuid.UUID:
        """Enter a run into the ledger."""
        job = getattr(self, f"{kind}_job")
        return self.add(
            "job_executions",
            scheduled_job_id=job,
            cause="schedule",
            status="completed",
            run_at="2020-01-01Z",
            **self.owned(kind),
        )
