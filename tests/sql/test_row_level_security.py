"""Row level security: anon sees and writes nothing, a user their own rows, the service key everything."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from listener.local.keys import user_id

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from listener.local.stack import Stack

WHO = ["anon", "alice", "bob", "service"]
DENIED = {401, 403}
UNSEEN = {"Prefer": "return=minimal"}
"""Without it PostgREST reads the row back, and the policy of reading would answer for the policy of writing."""


@dataclass(frozen=True)
class Rows:
    """One row of alice in every table, by the condition that finds it."""

    scheduled_jobs: dict[str, str]
    job_executions: dict[str, str]
    job_execution_logs: dict[str, str]
    meetings: dict[str, str]


@pytest.fixture
def rows(embedded_stack: Stack, alice: httpx.Client, bob: httpx.Client) -> Rows:
    """Let alice own a job with a run and a log line, and a meeting; bob has a job and a run of his own."""
    others = bob.post("/scheduled_jobs", json={"handler": "noop"}).json()[0]["id"]
    assert bob.post("/rpc/run_job_now", json={"job": others}).status_code == 200
    job = alice.post("/scheduled_jobs", json={"handler": "noop"}).json()[0]["id"]
    run = alice.post("/rpc/run_job_now", json={"job": job}).json()
    meeting = alice.post("/meetings", json={"title": "m", "end_time": "2030-01-01T10:00:00Z"}).json()[0]["id"]
    with psycopg.connect(embedded_stack.database_url) as connection:
        connection.execute("insert into job_execution_logs (execution_id, message) values (%s, 'hello')", [run])
    return Rows({"id": f"eq.{job}"}, {"id": f"eq.{run}"}, {"execution_id": f"eq.{run}"}, {"id": f"eq.{meeting}"})


@pytest.mark.parametrize("table", ["scheduled_jobs", "job_executions", "job_execution_logs", "meetings"])
@pytest.mark.parametrize("who", WHO)
def test_a_row_is_seen_by_its_owner_and_the_service_alone(
    client_for: Callable[[str], httpx.Client], rows: Rows, who: str, table: str
):
    """Anon is refused as such; a stranger finds nothing, as if the row did not exist."""
    answer = client_for(who).get(f"/{table}", params=getattr(rows, table))
    if who == "anon":
        assert answer.status_code in DENIED
    else:
        assert answer.status_code == 200
        assert len(answer.json()) == (0 if who == "bob" else 1)


CHANGES: dict[str, dict[str, Any]] = {"scheduled_jobs": {"name": "new"}, "meetings": {"title": "new"}}


@pytest.mark.parametrize("table", CHANGES)
@pytest.mark.parametrize("who", WHO)
def test_a_row_is_changed_by_its_owner_and_the_service_alone(
    client_for: Callable[[str], httpx.Client], alice: httpx.Client, rows: Rows, who: str, table: str
):
    """An update by anybody else touches nothing."""
    answer = client_for(who).patch(f"/{table}", params=getattr(rows, table), json=CHANGES[table])
    changed = CHANGES[table].items() <= alice.get(f"/{table}", params=getattr(rows, table)).json()[0].items()
    assert changed is (who in {"alice", "service"})
    assert answer.status_code == 200 if who != "anon" else answer.status_code in DENIED


@pytest.mark.parametrize("table", CHANGES)
@pytest.mark.parametrize("who", WHO)
def test_a_row_is_deleted_by_its_owner_and_the_service_alone(
    client_for: Callable[[str], httpx.Client], alice: httpx.Client, rows: Rows, who: str, table: str
):
    """A delete by anybody else touches nothing."""
    client_for(who).delete(f"/{table}", params=getattr(rows, table))
    left = len(alice.get(f"/{table}", params=getattr(rows, table)).json())
    assert left == (0 if who in {"alice", "service"} else 1)


@pytest.mark.parametrize("table", CHANGES)
def test_a_write_without_a_condition_reaches_ones_own_rows_alone(
    alice: httpx.Client, bob: httpx.Client, rows: Rows, table: str
):
    """Such a statement reads no column, so that the policy of reading does not take part."""
    at = getattr(rows, table)
    before = alice.get(f"/{table}", params=at).json()
    assert bob.patch(f"/{table}", json=CHANGES[table], headers=UNSEEN).status_code == 204
    assert bob.delete(f"/{table}", headers=UNSEEN).status_code == 204
    assert alice.get(f"/{table}", params=at).json() == before
    assert bob.get(f"/{table}").json() == []


@pytest.mark.parametrize("table", CHANGES)
@pytest.mark.parametrize("who", WHO)
def test_an_inserted_row_belongs_to_who_inserted_it(client_for: Callable[[str], httpx.Client], who: str, table: str):
    """The owner comes from the token; anon may not insert."""
    row = {"scheduled_jobs": {"handler": "noop"}, "meetings": {"end_time": "2030-01-01T10:00:00Z"}}[table]
    answer = client_for(who).post(f"/{table}", json=row)
    if who == "anon":
        assert answer.status_code in DENIED
    else:
        assert answer.json()[0]["created_by"] == (None if who == "service" else str(user_id(who)))


@pytest.mark.parametrize("table", CHANGES)
@pytest.mark.parametrize("column", ["created_by", "workspace_id"])
def test_a_row_is_neither_forged_nor_given_away(alice: httpx.Client, rows: Rows, table: str, column: str):
    """Neither at the insert nor later may a user write another owner or a workspace that is not theirs."""
    row = {"scheduled_jobs": {"handler": "noop"}, "meetings": {"end_time": "2030-01-01T10:00:00Z"}}[table]
    other = str(user_id("bob"))
    before = alice.get(f"/{table}", params=getattr(rows, table)).json()
    at = getattr(rows, table)
    assert alice.post(f"/{table}", json={**row, column: other}, headers=UNSEEN).status_code == 403
    assert alice.patch(f"/{table}", params=at, json={column: other}, headers=UNSEEN).status_code == 403
    assert alice.get(f"/{table}", params=getattr(rows, table)).json() == before


@pytest.mark.parametrize("table", ["scheduled_jobs", "meetings"])
def test_not_even_the_service_key_moves_a_row_to_another_workspace(service: httpx.Client, rows: Rows, table: str):
    """Realtime does not check the old row against policies, so a row that moves would leak."""
    answer = service.patch(f"/{table}", params=getattr(rows, table), json={"workspace_id": str(uuid.uuid4())})
    assert answer.status_code == 403
    assert "workspace_id" in answer.json()["message"]


@pytest.mark.parametrize("who", ["anon", "alice", "bob"])
@pytest.mark.parametrize(
    "write",
    [
        ("PATCH", "job_executions", {"status": "completed"}),
        ("DELETE", "job_executions", None),
        ("POST", "job_execution_logs", {"message": "forged"}),
        ("PATCH", "job_execution_logs", {"message": "forged"}),
        ("DELETE", "job_execution_logs", None),
        ("GET", "job_listeners", None),
        ("POST", "job_listeners", {"id": str(uuid.uuid4()), "name": "forged"}),
    ],
)
def test_the_ledger_and_the_listeners_are_no_clients_to_write(
    client_for: Callable[[str], httpx.Client], rows: Rows, who: str, write: tuple[str, str, dict[str, Any] | None]
):
    """Not even of one's own job; nothing changes."""
    verb, table, row = write
    at = getattr(rows, table, {})
    before = client_for("service").get(f"/{table}", params=at).json()
    answer = client_for(who).request(verb, f"/{table}", params=at, json=row)
    assert answer.status_code in DENIED
    assert client_for("service").get(f"/{table}", params=at).json() == before


@pytest.mark.parametrize("column", ["status", "cause", "created_by", "scheduled_for", "result"])
def test_a_run_is_asked_for_by_its_job_alone(alice: httpx.Client, rows: Rows, column: str):
    """A direct insert into the ledger cannot forge a run that has happened."""
    job = int(rows.scheduled_jobs["id"].removeprefix("eq."))
    answer = alice.post("/job_executions", json={"scheduled_job_id": job, column: None})
    assert answer.status_code == 403


def test_a_stranger_cannot_run_a_job_by_way_of_the_ledger(bob: httpx.Client, service: httpx.Client, rows: Rows):
    """The row would be the owner's, so the policy refuses it, also where nothing is to be answered."""
    job = int(rows.scheduled_jobs["id"].removeprefix("eq."))
    before = service.get("/scheduled_jobs", params=rows.scheduled_jobs).json()
    assert bob.post("/job_executions", json={"scheduled_job_id": job}, headers=UNSEEN).status_code == 403
    assert service.get("/scheduled_jobs", params=rows.scheduled_jobs).json() == before


@pytest.mark.parametrize("subject", ["not-a-uuid", "", None, "{5c1b7a9e-8a3f-4c57-9d2c-0d2f6d1f7c11", "1"])
@pytest.mark.parametrize("table", ["scheduled_jobs", "job_executions", "job_execution_logs", "meetings"])
def test_a_policy_never_raises_for_a_subject_that_is_no_uuid(
    embedded_stack: Stack, rows: Rows, subject: str | None, table: str
):
    """Realtime asks the policies of all subscribers together: one that raised would silence every one of them."""
    assert getattr(rows, table)
    claims = psycopg.types.json.Jsonb({"role": "authenticated", **({} if subject is None else {"sub": subject})})
    with psycopg.connect(embedded_stack.database_url) as connection:
        connection.execute("set local role authenticated")
        connection.execute("select set_config('request.jwt.claims', %s::jsonb::text, true)", [claims])
        assert connection.execute(f"select count(*) from public.{table}").fetchone() == (0,)  # noqa: S608


def test_the_policies_use_the_index_of_the_owner(migrated_database: str):
    """A user's few jobs are found among everybody's many without reading them all."""
    claims = '{"role": "authenticated", "sub": "11111111-1111-1111-1111-111111111111"}'
    with psycopg.connect(migrated_database) as connection:
        connection.execute("set local enable_seqscan = off")
        connection.execute("set local role authenticated")
        connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        plan = connection.execute("explain select * from public.scheduled_jobs").fetchall()
    assert "scheduled_jobs_created_by_idx" in str(plan)


def test_anon_may_call_none_of_the_functions(embedded_stack: Stack):
    """Nor may public, which anon is a part of; and what the service calls, users may not."""
    query = """
        select p.proname from pg_proc as p
        where p.pronamespace = 'public'::regnamespace and has_function_privilege(%s, p.oid, 'execute')
    """
    with psycopg.connect(embedded_stack.database_url) as connection:
        reachable = {
            role: {name for (name,) in connection.execute(query, [role]).fetchall()}
            for role in ("anon", "authenticated", "service_role")
        }
    of_jobs = {"cancel_job", "pause_job", "resume_job", "retry_job", "run_job_now", "job_stats"}
    of_users = {"accept_invitation", "decline_invitation"}
    of_pages = {"dashboard_overview", "list_runs", "list_failures", "list_listeners", "list_quotas", "job_outcomes"}
    of_pages |= {"list_workspaces", "list_member_emails"}
    of_alerts = {"acknowledge_alert", "resolve_alert", "mute_alert_rule", "alert_on_failure", "preview_alert_rule"}
    of_alerts |= {"test_alert_channel", "request_alert_confirmation", "confirm_alert_channel"}
    assert reachable["anon"] == set()
    assert reachable["authenticated"] == of_jobs | of_users | of_pages | of_alerts | {"bulk_jobs"}
    assert reachable["service_role"] >= of_jobs | of_pages | {"sync_meetings_v1"}
