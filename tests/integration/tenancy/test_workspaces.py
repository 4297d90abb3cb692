"""How workspaces come to be, who is in them, and what happens to those who leave."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from patience import until

from listener.local.keys import user_id

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator

    from cast import Tenancy

    from listener.local.stack import Stack

READ_BACK = {"Prefer": "return=representation"}
JOB = {"handler": "noop", "run_date": "2099-01-01T00:00:00Z"}


@pytest.fixture
def own(tenancy: Tenancy) -> dict[str, Any]:
    """A workspace that the stranger has just created."""
    answer = tenancy.clients["stranger"].post("/job_workspaces", json={"name": "Own"}, headers=READ_BACK)
    assert answer.status_code == 201, answer.text
    return answer.json()[0]


def peers(tenancy: Tenancy, workspace: object) -> dict[uuid.UUID, str]:
    """The roles of a workspace's peers."""
    query = "select user_id, role from public.job_workspace_members where workspace_id = %s"
    return {row["user_id"]: row["role"] for row in tenancy.database.execute(query, [workspace]).fetchall()}


def test_whoever_creates_a_workspace_is_its_admin(tenancy: Tenancy, own: dict[str, Any]):
    """And may use it at once."""
    assert peers(tenancy, own["id"]) == {user_id("stranger"): "admin"}
    row = {**JOB, "workspace_id": own["id"]}
    assert tenancy.clients["stranger"].post("/scheduled_jobs", json=row).status_code == 201


@pytest.mark.parametrize("column", ["id", "settings", "created_by", "created_at"])
def test_a_user_names_a_workspace_and_writes_nothing_else_of_it(tenancy: Tenancy, own: dict[str, Any], column: str):
    """Not its id, which would be the tenant's, nor the quotas."""
    values = {"id": str(user_id("owner")), "settings": {"max_active_jobs": 10**6}, "created_by": str(user_id("owner"))}
    value = values.get(column, "2020-01-01T00:00:00Z")
    client, at = tenancy.clients["stranger"], {"id": f"eq.{own['id']}"}
    assert client.post("/job_workspaces", json={"name": "Forged", column: value}).status_code == 403
    assert client.patch("/job_workspaces", params=at, json={column: value}).status_code == 403
    assert client.get("/job_workspaces", params=at).json() == [own]


def test_a_user_creates_a_bounded_number_of_workspaces(tenancy: Tenancy):
    """Each has its own quotas, so that their number is one."""
    client = tenancy.clients["owner"]
    answers = [client.post("/job_workspaces", json={"name": f"Team {n}"}) for n in range(25)]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert refused
    assert {answer.status_code for answer in refused} == {403}
    assert refused[0].json()["message"] == "quota max_workspaces: one more is not allowed; limit 20, used 20, left 0"
    assert len(client.get("/job_workspaces").json()) == 20
    tenancy.database.execute("delete from public.job_workspaces where created_by = %s", [user_id("owner")])


def test_a_removed_member_loses_sight_at_once(tenancy: Tenancy):
    """Also of what they made themselves; and the rows stay with the workspace."""
    editor, admin = tenancy.clients["editor"], tenancy.clients["admin"]
    job = editor.post(
        "/scheduled_jobs", json={**JOB, "workspace_id": str(tenancy.workspace)}, headers=READ_BACK
    ).json()[0]
    at, here = {"id": f"eq.{job['id']}"}, f"eq.{tenancy.workspace}"
    gone = admin.delete("/job_workspace_members", params={"workspace_id": here, "user_id": f"eq.{user_id('editor')}"})
    assert gone.status_code == 204
    assert editor.get("/scheduled_jobs", params=at).json() == []
    assert editor.get("/job_workspaces", params={"id": here}).json() == []
    assert editor.patch("/scheduled_jobs", params=at, json={"name": "mine"}, headers=READ_BACK).json() == []
    assert editor.post("/rpc/run_job_now", json={"job": job["id"]}).status_code == 404
    assert editor.post("/scheduled_jobs", json={**JOB, "workspace_id": str(tenancy.workspace)}).status_code == 403
    assert admin.get("/scheduled_jobs", params=at).json() == [job]


def test_an_editor_who_becomes_a_viewer_writes_no_more(tenancy: Tenancy):
    """With the next statement."""
    who = {"workspace_id": f"eq.{tenancy.workspace}", "user_id": f"eq.{user_id('editor')}"}
    assert tenancy.clients["admin"].patch("/job_workspace_members", params=who, json={"role": "viewer"}).is_success
    editor, at = tenancy.clients["editor"], {"id": f"eq.{tenancy.workspace_job}"}
    assert editor.patch("/scheduled_jobs", params=at, json={"name": "mine"}, headers=READ_BACK).json() == []
    assert len(editor.get("/scheduled_jobs", params=at).json()) == 1


@pytest.mark.parametrize("role", ["stranger", "viewer", "editor", "admin"])
def test_nobody_makes_themselves_a_member_or_more_of_one(tenancy: Tenancy, role: str):
    """Neither by an insert nor by an update, nor by one that merges."""
    client, before = tenancy.clients[role], peers(tenancy, tenancy.workspace)
    me = {"workspace_id": str(tenancy.workspace), "user_id": str(user_id(role)), "role": "admin"}
    merging = {"Prefer": "resolution=merge-duplicates"}
    assert client.post("/job_workspace_members", json=me).status_code in {403, 409}
    assert client.post("/job_workspace_members", json=me, headers=merging).status_code == 403
    client.patch("/job_workspace_members", params={"user_id": f"eq.{user_id(role)}"}, json={"role": "admin"})
    assert peers(tenancy, tenancy.workspace) == before


@contextmanager
def speaking_as(stack: Stack, name: str) -> Iterator[psycopg.Connection[Any]]:
    """Open a transaction as PostgREST does for a signed-in user."""
    claims = json.dumps({"role": "authenticated", "sub": str(user_id(name))})
    with psycopg.connect(stack.database_url) as connection:
        connection.execute("set local role authenticated")
        connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        yield connection


def test_a_workspace_keeps_an_admin_though_two_remove_each_other(
    embedded_stack: Stack, tenancy: Tenancy, own: dict[str, Any]
):
    """The second transaction waits for the first, and is refused."""
    member = {"workspace_id": own["id"], "user_id": str(user_id("owner")), "role": "admin"}
    assert tenancy.clients["service"].post("/job_workspace_members", json=member).status_code == 201
    remove = "delete from public.job_workspace_members where workspace_id = %s and user_id = %s"
    where = {"workspace_id": f"eq.{own['id']}"}
    other = {**where, "user_id": f"eq.{user_id('stranger')}"}
    waits = "select count(*) as n from pg_locks where not granted"
    with speaking_as(embedded_stack, "stranger") as first, ThreadPoolExecutor(1) as threads:
        first.execute(remove, [own["id"], user_id("owner")])
        second = threads.submit(tenancy.clients["owner"].delete, "/job_workspace_members", params=other)
        until(lambda: second.done() or tenancy.database.execute(waits).fetchone()["n"], "the second has come")
        first.commit()
        assert second.result().status_code == 400
    assert peers(tenancy, own["id"]) == {user_id("stranger"): "admin"}
    for answer in (
        tenancy.clients["stranger"].delete("/job_workspace_members", params=where),
        tenancy.clients["stranger"].patch("/job_workspace_members", params=where, json={"role": "viewer"}),
    ):
        assert answer.status_code == 400
        assert "keeps at least one admin" in answer.json()["message"]


def test_a_deleted_workspace_takes_its_rows_with_it(tenancy: Tenancy):
    """Nothing runs on that nobody sees; what is private stays."""
    jobs = [tenancy.workspace_job, tenancy.private_job]
    tenancy.add("meetings", end_time="2099-01-01Z", **tenancy.owned("workspace"))
    tenancy.run("workspace")
    where = {"id": f"eq.{tenancy.workspace}"}
    assert tenancy.clients["admin"].delete("/job_workspaces", params=where).status_code == 204
    left = tenancy.database.execute("select id from public.scheduled_jobs where id = any(%s)", [jobs]).fetchall()
    assert [row["id"] for row in left] == [tenancy.private_job]
    for table in ("job_workspace_members", "meetings", "job_executions"):
        query = f"select count(*) as n from public.{table} where workspace_id = %s"  # noqa: S608 - the names are ours
        assert tenancy.database.execute(query, [tenancy.workspace]).fetchone() == {"n": 0}


@pytest.mark.parametrize(
    "settings",
    [[], "many", {"max_active_jobs": "many"}, {"min_interval_seconds": -1}, {"limit_service": "yes"}],
)
def test_invalid_settings_are_refused(tenancy: Tenancy, settings: object):
    """Every write of the workspace reads them."""
    where = {"id": f"eq.{tenancy.workspace}"}
    answer = tenancy.clients["service"].patch("/job_workspaces", params=where, json={"settings": settings})
    assert answer.status_code == 400
    assert "job_workspaces.settings" in answer.json()["message"]


def test_an_editor_gives_no_meeting_to_somebody_else(tenancy: Tenancy):
    """Its job would be that user's."""
    editor, other = tenancy.clients["editor"], str(user_id("owner"))
    row = {"end_time": "2099-01-01T00:00:00Z", "workspace_id": str(tenancy.workspace), "created_by": other}
    assert editor.post("/meetings", json=row).status_code == 403
    meeting = tenancy.add("meetings", end_time="2099-01-01Z", **tenancy.owned("workspace"))
    answer = editor.patch("/meetings", params={"id": f"eq.{meeting}"}, json={"created_by": other})
    assert answer.status_code == 403
    assert "created_by" in answer.json()["message"]
