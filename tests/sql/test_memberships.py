"""A project with teams of its own says who belongs where; no migration overwrites that."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import psycopg
import pytest
from migration import schema_text

from listener.migrate.files import migrations_folder
from listener.migrate.migrator import apply_migrations

if TYPE_CHECKING:
    from collections.abc import Iterator

TEAM, USER, STRANGER = (str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in ("team", "user", "stranger"))
OWN_TEAMS = """
    create table public.team_members (team_id uuid, user_id uuid, is_owner boolean);
    create or replace function job_scheduler.memberships() returns table (workspace_id uuid, role text)
    language sql stable security definer set search_path = '' as $$
        select team_id, case when is_owner then 'editor' else 'viewer' end
        from public.team_members where user_id = job_scheduler.caller()
    $$;
"""


@pytest.fixture
def project(blank_database: str) -> Iterator[psycopg.Connection]:
    """A database whose members are those of a table of its own."""
    apply_migrations(blank_database, migrations_folder())
    with psycopg.connect(blank_database, autocommit=True) as connection:
        connection.execute(OWN_TEAMS)
        yield connection


def jobs_seen_by(connection: psycopg.Connection, user: str) -> int:
    """Count the jobs that a signed-in user sees."""
    with connection.transaction():
        connection.execute("set local role authenticated")
        connection.execute(
            "select set_config('request.jwt.claims', jsonb_build_object('sub', %s::text)::text, true)", [user]
        )
        return connection.execute("select count(*) from public.scheduled_jobs").fetchone()[0]


def test_members_of_a_team_see_its_jobs_and_nobody_else_does(project):
    """Its workspace is in no table of ours: `workspace_id` is no foreign key."""
    project.execute("insert into public.team_members values (%s, %s, false)", [TEAM, USER])
    project.execute("insert into public.scheduled_jobs (handler, workspace_id) values ('noop', %s)", [TEAM])
    assert (jobs_seen_by(project, USER), jobs_seen_by(project, STRANGER)) == (1, 0)


def test_a_user_learns_of_teams_from_the_replaced_function(project):
    """A team has no name here; of several roles the strongest counts, as it does for the policies."""
    project.execute("insert into public.team_members values (%s, %s, false), (%s, %s, true)", [TEAM, USER, TEAM, USER])
    project.execute("insert into public.team_members values (%s, %s, true)", [STRANGER, STRANGER])
    with project.transaction():
        project.execute("set local role authenticated")
        project.execute(
            "select set_config('request.jwt.claims', jsonb_build_object('sub', %s::text)::text, true)", [USER]
        )
        found = project.execute("select id::text, name, role from public.list_workspaces()").fetchall()
    assert found == [(TEAM, None, "editor")]


def test_the_schema_does_not_overwrite_a_replaced_function(project):
    """Applied again, as a later migration might."""
    assert "memberships" in schema_text(("00_schema.sql",))
    body = "select prosrc from pg_proc where oid = to_regprocedure('job_scheduler.memberships()')"
    before = project.execute(body).fetchone()
    project.execute(schema_text(("00_schema.sql",)))
    assert "team_members" in before[0]
    assert project.execute(body).fetchone() == before


def test_a_forgotten_workspace_leaves_no_job(project):
    """Jobs of other teams stay."""
    for team in (TEAM, STRANGER):
        project.execute("insert into public.scheduled_jobs (handler, workspace_id) values ('noop', %s)", [team])
    project.execute("select job_scheduler.forget_workspace(%s)", [TEAM])
    left = project.execute("select workspace_id::text from public.scheduled_jobs").fetchall()
    assert left == [(STRANGER,)]
