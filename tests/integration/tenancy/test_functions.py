"""Every function of the API, called as everybody."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from cast import ROLES

if TYPE_CHECKING:
    import httpx
    from cast import Tenancy

WRITING = ("cancel_job", "pause_job", "resume_job", "retry_job", "run_job_now")
READING = ("job_stats",)
OF_INVITATIONS = ("accept_invitation", "decline_invitation")  # see test_invitations.py
UNTIL_READY = {"resume_job": "paused", "retry_job": "cancelled"}
MAY_WRITE = {"private": {"owner", "service"}, "workspace": {"editor", "admin", "service"}}
MAY_READ = {"private": {"owner", "service"}, "workspace": {"viewer", "editor", "admin", "service"}}
DENIED = {401, 403, 404}


def call(client: httpx.Client, function: str, **arguments: object) -> httpx.Response:
    """Call a function of the API."""
    return client.post(f"/rpc/{function}", json=arguments)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", ["private", "workspace"])
@pytest.mark.parametrize("function", [*WRITING, *READING])
def test_a_function_works_for_whoever_may_do_what_it_does(tenancy: Tenancy, function: str, kind: str, role: str):
    """For all others there is no such job, and nothing changes."""
    job = tenancy.job(kind)
    if function in UNTIL_READY:
        tenancy.database.execute(
            "update public.scheduled_jobs set status = %s where id = %s", [UNTIL_READY[function], job]
        )
    everything = (
        "select j.*, (select count(*) from public.job_executions) from public.scheduled_jobs as j where id = %s"
    )
    before = tenancy.database.execute(everything, [job]).fetchone()
    answer = call(tenancy.clients[role], function, job=job)
    after = tenancy.database.execute(everything, [job]).fetchone()
    may = MAY_READ if function in READING else MAY_WRITE
    assert answer.is_success is (role in may[kind]), answer.text
    if not answer.is_success:
        assert answer.status_code in ({401, 403} if role == "anon" else {404})
    assert (after != before) is (answer.is_success and function in WRITING)


def test_what_the_service_calls_is_refused_to_everybody_else(tenancy: Tenancy):
    """Any argument is refused, and so are functions that were added since this was written."""
    query = "select proname, pronargs from pg_proc where pronamespace = 'public'::regnamespace"
    functions = {row["proname"] for row in tenancy.database.execute(query).fetchall()}
    functions -= {*WRITING, *READING, *OF_INVITATIONS}
    assert {"publish_handlers_v1", "claim_runs_v1", "sync_meetings_v1"} <= functions
    for function in sorted(functions):
        for role in set(ROLES) - {"service"}:
            for arguments in ({"request": {}}, {"request": {"limit": 1, "ids": [str(uuid.uuid4())]}}, {}):
                answer = call(tenancy.clients[role], function, **arguments)
                assert answer.status_code in DENIED, (function, role, answer.text)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "service"])
def test_the_internals_cannot_be_called(tenancy: Tenancy, role: str):
    """Their schema is none of the API's."""
    client = tenancy.clients[role]
    for function in ("caller", "readable_workspaces", "writable_workspaces", "administered_workspaces", "enter_act"):
        for schema in ({}, {"Content-Profile": "job_scheduler"}):
            answer = client.post(f"/rpc/{function}", json={}, headers=schema)
            assert answer.status_code in {401, 403, 404, 406}, answer.text
