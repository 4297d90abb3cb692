"""Powers of the service depend on the role of the caller: a setting that anybody can write proves nothing."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLIC: set[str] = set()
"""Functions of ours that everybody may call: none."""


@pytest.fixture
def user(migrated_database: str) -> Iterator[psycopg.Connection[Any]]:
    """A signed-in user with SQL access, who says to be the service, and has one job."""
    with psycopg.connect(migrated_database) as connection:
        me = str(uuid.uuid4())
        connection.execute("set local role authenticated")
        connection.execute("select set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{me}"}}'])
        connection.execute("reset role")
        insert = "insert into public.scheduled_jobs (handler, created_by) values ('noop', %s)"
        connection.execute(insert, [me])
        connection.execute("set local role authenticated")
        for setting in ("stage", "actor"):
            connection.execute("select set_config(%s, 'service', true)", [f"job_scheduler.{setting}"])
        yield connection
        connection.rollback()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("update public.scheduled_jobs set total_runs = 7", "total_runs is written by the service only"),
        ("update public.scheduled_jobs set next_run_at = '2031-01-01'", "next_run_at is written by the service only"),
        ("update public.scheduled_jobs set status = 'running'", "only the service starts and ends a run"),
    ],
)
def test_whoever_says_to_be_the_service_is_asked_who_it_is(user, statement: str, message: str):
    """With SQL access anybody can write the setting."""
    with pytest.raises(psycopg.Error, match=message):
        user.execute(statement)


def test_an_act_of_whoever_says_to_be_the_service_is_audited(user):
    """A deletion leaves its row."""
    user.execute("delete from public.scheduled_jobs")
    user.execute("reset role")
    count = "select count(*) from public.job_audit where action = 'delete' and xmin = pg_current_xact_id()::xid"
    assert user.execute(count).fetchone()[0] >= 1


@pytest.mark.parametrize("role", ["anon", "public"])
def test_no_function_of_ours_is_everybodys(database: psycopg.Connection[Any], role: str):
    """Neither in public nor in job_scheduler: a new function is everybody's by default."""
    everybody = (
        "exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a where a.grantee = 0)"
    )
    reachable = "has_function_privilege('anon', p.oid, 'execute')" if role == "anon" else everybody
    query = f"""
        select p.oid::regprocedure::text as name from pg_proc as p
        where p.pronamespace in ('public'::regnamespace, 'job_scheduler'::regnamespace) and {reachable}
    """  # noqa: S608 - the expressions are ours
    assert {row["name"] for row in database.execute(query).fetchall()} == PUBLIC
