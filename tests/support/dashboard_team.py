"""A workspace with a viewer, an editor and an admin, and a stranger, all of whom sign in with Supabase Auth."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    import psycopg

    from listener.local.stack import Stack

MEMBERS = ("viewer", "editor", "admin")
ROLES = (*MEMBERS, "stranger")
PASSWORD = "correct horse battery"  # noqa: S105 - of a stack that ends with the tests


@dataclass(frozen=True)
class Person:
    """Somebody who signed up: the session as Supabase Auth gave it."""

    role: str
    email: str
    session: dict[str, Any]

    @property
    def id(self) -> uuid.UUID:
        """The user's id."""
        return uuid.UUID(self.session["user"]["id"])


@dataclass(frozen=True)
class Team:
    """The people, their workspace, and how they reach the project."""

    stack: Stack
    workspace: uuid.UUID
    people: dict[str, Person]

    def rest(self, role: str) -> httpx.Client:
        """Give a client of the REST interface that acts as one of them; close it, or use it as a context."""
        token = self.people[role].session["access_token"]
        headers = {"apikey": self.stack.anon_key, "Authorization": f"Bearer {token}", "Prefer": "return=representation"}
        return httpx.Client(base_url=f"{self.stack.url}/rest/v1", headers=headers)

    def insert(self, role: str = "editor", **columns: object) -> dict[str, Any]:
        """Insert a job of the workspace as one of them; give its row."""
        with self.rest(role) as client:
            row = {"handler": "noop", "workspace_id": str(self.workspace), **columns}
            return client.post("/scheduled_jobs", json=row).raise_for_status().json()[0]

    def kept_by_browser(self, role: str, origin: str) -> dict[str, Any]:
        """Give what the browser of somebody who is signed in keeps, as Playwright takes it."""
        key = f"jobs.session.{urlsplit(self.stack.url).netloc}"
        kept = [{"name": key, "value": json.dumps(self.people[role].session)}]
        return {"cookies": [], "origins": [{"origin": origin, "localStorage": kept}]}


def make_team(stack: Stack, database: psycopg.Connection[Any]) -> Team:
    """Sign everybody up, and make the workspace."""
    people = {role: _signed_up(stack, role) for role in ROLES}
    (workspace,) = (
        database.execute(
            "insert into public.job_workspaces (name, created_by) values ('Acme', %s) returning id",
            [people["admin"].id],
        )
        .fetchone()
        .values()
    )
    for role in MEMBERS:
        database.execute(
            "insert into public.job_workspace_members (workspace_id, user_id, role) values (%s, %s, %s)"
            " on conflict (workspace_id, user_id) do update set role = excluded.role",
            [workspace, people[role].id, role],
        )
    return Team(stack, workspace, people)


def _signed_up(stack: Stack, role: str) -> Person:
    email = f"{role}@acme.example.com"
    answer = httpx.post(
        f"{stack.url}/auth/v1/signup",
        json={"email": email, "password": PASSWORD},
        headers={"apikey": stack.anon_key},
    )
    return Person(role, email, answer.raise_for_status().json())
