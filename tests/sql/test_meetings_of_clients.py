"""A client's meetings count to the quota of active jobs, and their ids are the database's to choose."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.types.json import Jsonb

from listener.local.keys import user_id

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    import psycopg


LATER = "2099-01-01T00:00:00Z"


@pytest.fixture
def team(sql: psycopg.Connection[Any]) -> Callable[..., str]:
    """Return a maker of workspaces whose editors alice and bob are, with these settings."""

    def make(**settings: object) -> str:
        workspace = uuid.uuid4()
        sql.execute(
            "insert into job_workspaces (id, name, settings) values (%s, 'Team', %s)", [workspace, Jsonb(settings)]
        )
        for user in ("alice", "bob"):
            sql.execute("insert into job_workspace_members values (%s, %s, 'editor')", [workspace, user_id(user)])
        return str(workspace)

    return make


def meet(client: httpx.Client, workspace: str | None = None, number: int = 1, **columns: object) -> httpx.Response:
    """Insert that many meetings in one request."""
    return client.post("/meetings", json=[{"end_time": LATER, "workspace_id": workspace, **columns}] * number)


def sync(sql: psycopg.Connection[Any]) -> None:
    """Give every changed meeting its job."""
    while sql.execute("select sync_meetings_v1('{\"changed\": true}') -> 'more'").fetchone() == (True,):
        pass


@pytest.mark.parametrize("synced", [False, True], ids=["before they have jobs", "when they have jobs"])
def test_meetings_count_as_active_jobs(alice: httpx.Client, bob: httpx.Client, sql, team, synced):
    """With the tenant's other jobs, whoever writes them, and each once."""
    workspace = team(max_active_jobs=5)
    jobs = [{"handler": "noop", "run_date": LATER, "workspace_id": workspace}] * 2
    assert alice.post("/scheduled_jobs", json=jobs).status_code == 201
    assert meet(alice, workspace, 2).status_code == 201
    if synced:
        sync(sql)
    answer = meet(bob, workspace, 2)
    assert (answer.status_code, answer.json()["code"]) == (403, "PT403")
    assert answer.json()["message"] == (
        "quota max_active_jobs: 2 more upcoming meetings are not allowed, since each has an active job;"
        " limit 5, used 4, left 1"
    )
    assert meet(bob, workspace).status_code == 201
    assert "1 more upcoming meeting is not allowed" in meet(alice, workspace).json()["message"]
    count = "select count(*) from meetings where workspace_id = %s"
    assert sql.execute(count, [workspace]).fetchone() == (3,)
    assert meet(alice, workspace, status="done").status_code == 201, "it has no job"


def test_reopening_a_meeting_is_held_to_the_quota(alice: httpx.Client, service: httpx.Client, sql, team):
    """And the service key is free."""
    workspace = team(max_active_jobs=1)
    one = meet(alice, workspace).json()[0]["id"]
    sync(sql)
    assert alice.patch(f"/meetings?id=eq.{one}", json={"status": "cancelled"}).status_code == 200
    two = meet(alice, workspace)
    if two.status_code != 201:  # the job of the cancelled one counts until the service has looked
        sync(sql)
        two = meet(alice, workspace)
    assert two.status_code == 201
    assert alice.patch(f"/meetings?id=eq.{one}", json={"status": "upcoming"}).status_code == 403
    assert alice.patch(f"/meetings?id=eq.{two.json()[0]['id']}", json={"title": "moved"}).status_code == 200
    assert meet(service, workspace, 3).status_code == 201


def test_private_meetings_have_the_installations_quota(sql, client_for):
    """Of the user who has them."""
    user = client_for(f"user {uuid.uuid4()}")
    (most,) = sql.execute("select value from job_scheduler.limits where name = 'quota_max_active_jobs'").fetchone()
    try:
        sql.execute("update job_scheduler.limits set value = 3 where name = 'quota_max_active_jobs'")
        assert meet(user, None, 4).status_code == 403
        assert meet(user, None, 3).status_code == 201
        assert meet(user).status_code == 403
    finally:
        sql.execute("update job_scheduler.limits set value = %s where name = 'quota_max_active_jobs'", [most])


def test_a_user_with_many_workspaces_has_one_users_quota_of_meetings(sql, client_for, team):
    """With its jobs, synced or not; workspaces with a bound of their own count by themselves."""
    user = f"user {uuid.uuid4()}"
    client = client_for(user)
    plain, own = [team() for _ in range(3)], team(max_active_jobs=30)
    for each in (*plain, own):
        sql.execute("insert into job_workspace_members values (%s, %s, 'editor')", [each, user_id(user)])
    (most,) = sql.execute("select value from job_scheduler.limits where name = 'quota_max_active_jobs'").fetchone()
    try:
        sql.execute("update job_scheduler.limits set value = 20 where name = 'quota_max_active_jobs'")
        job = {"handler": "noop", "run_date": LATER, "workspace_id": plain[0]}
        assert client.post("/scheduled_jobs", json=[job] * 4).status_code == 201
        assert [meet(client, each, 6).status_code for each in (plain[0], own)] == [201, 201]
        sync(sql)
        assert [meet(client, each, 6).status_code for each in (plain[1], plain[2])] == [201, 403]
        refused = meet(client, None, 5).json()["message"]
        assert "of this user in all workspaces together; limit 20, used 16" in refused
        assert [meet(client, each, 2).status_code for each in (None, plain[2], plain[2], own)] == [201, 201, 403, 201]
    finally:
        sql.execute("update job_scheduler.limits set value = %s where name = 'quota_max_active_jobs'", [most])


def test_users_choose_no_ids(alice: httpx.Client, bob: httpx.Client, service: httpx.Client):
    """Neither at the insert nor later; the refusal says what to do. An upsert may name what its user sees."""
    mine, chosen = meet(alice).json()[0]["id"], str(uuid.uuid4())
    assert uuid.UUID(mine).version == 4
    answer = meet(alice, id=chosen)
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")
    assert answer.json()["message"] == f"meetings.id: {chosen} is not allowed; the database chooses the id"
    assert "Leave the id out" in answer.json()["hint"]
    answer = alice.patch(f"/meetings?id=eq.{mine}", json={"id": chosen})
    assert (answer.status_code, "it cannot be changed" in answer.text) == (403, True)
    upsert = {"Prefer": "resolution=merge-duplicates,return=representation"}
    row = {"id": mine, "end_time": LATER, "title": "again"}
    assert alice.post("/meetings", json=row, headers=upsert).json()[0]["title"] == "again"
    assert bob.post("/meetings", json=row, headers=upsert).status_code == 403
    assert meet(service, id=chosen).json()[0]["id"] == chosen


def test_a_deleted_meetings_id_cannot_be_used_again(alice: httpx.Client, bob: httpx.Client, sql):
    """So that the job and the ledger that it left stay out of another user's reach."""
    meeting = meet(alice).json()[0]["id"]
    sync(sql)
    assert alice.delete(f"/meetings?id=eq.{meeting}").status_code == 200
    sync(sql)
    assert meet(bob, id=meeting).status_code == 403
    jobs = alice.get(f"/scheduled_jobs?job_id=eq.meeting-status:{meeting}").json()
    assert [job["status"] for job in jobs] == ["cancelled"]


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("scheduled_jobs", {"id": 1, "handler": "noop"}),
        ("job_executions", {"id": str(uuid.uuid4()), "scheduled_job_id": 1}),
        ("job_workspaces", {"id": str(uuid.uuid4()), "name": "mine"}),
    ],
)
def test_no_other_key_of_a_row_is_a_clients_to_choose(alice: httpx.Client, table: str, row: dict[str, Any]):
    """A workspace with the id of a user would share that user's keys and quotas; a run's id is what ends it."""
    assert alice.post(f"/{table}", json=row).status_code in {400, 403}


def test_a_job_id_is_a_key_within_its_tenant_only(alice: httpx.Client, bob: httpx.Client):
    """A client's own key is free, whatever another tenant's jobs are called."""
    job = {"handler": "noop", "run_date": LATER, "job_id": f"mine-{uuid.uuid4()}"}
    assert [client.post("/scheduled_jobs", json=job).status_code for client in (alice, bob, alice)] == [201, 201, 409]
