"""The audit has an entry for every act of a client, readable as the job is, and changed by nobody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from listener.local.keys import user_id

if TYPE_CHECKING:
    import httpx
    import psycopg


ALICE = str(user_id("alice"))
SETTLED = {
    "id", "workspace_id", "created_by", "next_run_at", "attempt", "last_run_at", "last_run_status",
    "last_run_duration_ms", "total_runs", "successful_runs", "failed_runs", "result", "error", "progress",
    "step", "claimed_by", "lease_expires_at", "revision", "changed_in", "created_at", "updated_at", "due_at",
    "is_planned", "defined_at", "queued_runs", "scheduled_runs", "source", "exposed_only",
}  # fmt: skip
"""Columns that no client can change."""
LATER = {"handler": "noop", "run_date": "2099-01-01T00:00:00Z"}


def acts(client: httpx.Client, job: int) -> list[dict[str, Any]]:
    """Read the entries of a job, as this client sees them."""
    where = {"scheduled_job_id": f"eq.{job}", "order": "id"}
    return client.get("/job_audit", params=where).json()


def insert(client: httpx.Client, **columns: object) -> int:
    """Insert a job that is due in years; give its id."""
    return client.post("/scheduled_jobs", json={**LATER, **columns}).json()[0]["id"]


def test_every_act_of_a_user_is_entered_in_its_order(alice: httpx.Client):
    """By its name, with who did it, and with what changed from what to what."""
    job = insert(alice, name="old")
    where = {"id": f"eq.{job}"}
    alice.patch("/scheduled_jobs", params=where, json={"name": "new", "priority": 5, "handler": "noop"})
    for function in ("pause_job", "resume_job", "cancel_job", "retry_job", "run_job_now"):
        assert alice.post(f"/rpc/{function}", json={"job": job}).is_success
    alice.delete("/scheduled_jobs", params=where)
    entries = acts(alice, job)
    assert {(entry["actor"], entry["role"], entry["created_by"]) for entry in entries} == {
        (ALICE, "authenticated", ALICE)
    }
    reported = [(entry["action"], entry["changes"]) for entry in entries]
    assert reported[:-2] == [
        ("insert", {}),
        ("update", {"name": ["old", "new"], "priority": [0, 5]}),
        ("pause", {"status": ["scheduled", "paused"]}),
        ("resume", {"status": ["paused", "scheduled"]}),
        ("cancel", {"status": ["scheduled", "cancelled"]}),
        ("retry", {"status": ["cancelled", "scheduled"]}),
    ]
    assert [action for action, _ in reported[-2:]] == ["run_now", "delete"]
    assert reported[-1][1]["name"] == ["new", None]


def test_every_column_that_a_client_may_change_is_compared(sql: psycopg.Connection[Any]):
    """A column that is added to the table and forgotten by the audit would change unseen."""
    columns = "select array_agg(column_name::text) from information_schema.columns where table_name = 'scheduled_jobs'"
    named = "select jsonb_object_agg(name, %s::text) from unnest(%s::text[]) as name"
    [(every,)] = sql.execute(columns).fetchall()
    [(before,)], [(after,)] = (sql.execute(named, (word, every)).fetchall() for word in ("before", "after"))
    compare = "select job_scheduler.differences(%s, %s)"
    [(found,)] = sql.execute(compare, (json.dumps(before), json.dumps(after))).fetchall()
    assert set(every) - set(found) == SETTLED


def test_a_write_that_changes_nothing_is_no_act(alice: httpx.Client):
    """Nor is one that is refused."""
    job = insert(alice, name="same")
    where = {"id": f"eq.{job}"}
    assert alice.patch("/scheduled_jobs", params=where, json={"name": "same"}).is_success
    assert alice.patch("/scheduled_jobs", params=where, json={"timezone": "Mars/Base"}).status_code == 400
    assert alice.post("/rpc/resume_job", json={"job": job}).is_success
    assert [entry["action"] for entry in acts(alice, job)] == ["insert"]


def test_a_bulk_write_is_entered_row_by_row(alice: httpx.Client):
    """A hundred rows, a hundred entries."""
    rows = alice.post("/scheduled_jobs", json=[{**LATER, "concurrency_key": "bulk-of-audit"}] * 100).json()
    alice.patch("/scheduled_jobs", params={"concurrency_key": "eq.bulk-of-audit"}, json={"status": "cancelled"})
    ids = {row["id"] for row in rows}
    entries = alice.get("/job_audit", params={"scheduled_job_id": f"gte.{min(ids)}"}).json()
    entries = [entry for entry in entries if entry["scheduled_job_id"] in ids]
    assert sorted((entry["scheduled_job_id"], entry["action"]) for entry in entries) == sorted(
        (job, action) for job in ids for action in ("insert", "cancel")
    )


def test_a_stranger_sees_nothing_of_it(alice: httpx.Client, bob: httpx.Client, service: httpx.Client):
    """Also when the job is gone; the service key sees all."""
    job = insert(alice)
    alice.delete("/scheduled_jobs", params={"id": f"eq.{job}"})
    assert acts(bob, job) == []
    assert acts(service, job) == acts(alice, job)
    assert len(acts(alice, job)) == 2


def test_what_the_service_key_changes_is_entered_and_what_it_inserts_is_not(service: httpx.Client):
    """Its inserts may be thousands, and say themselves when they were made."""
    job = insert(service)
    service.patch("/scheduled_jobs", params={"id": f"eq.{job}"}, json={"priority": 1})
    assert [(entry["action"], entry["actor"], entry["role"]) for entry in acts(service, job)] == [
        ("update", None, "service_role")
    ]


def test_what_the_service_makes_of_a_job_is_not_entered(alice: httpx.Client, service: httpx.Client, sql):
    """Its transitions are in the ledger; and a meeting's job is nobody's act."""
    job = insert(alice)
    with sql.transaction():
        sql.execute("select set_config('job_scheduler.stage', 'service', true)")
        sql.execute("update scheduled_jobs set status = 'running', attempt = 1 where id = %s", [job])
        sql.execute("update scheduled_jobs set status = 'completed' where id = %s", [job])
    assert [entry["action"] for entry in acts(service, job)] == ["insert"]
    meeting = alice.post("/meetings", json={"end_time": "2099-01-01T00:00:00Z"}).json()[0]["id"]
    for status in ("upcoming", "cancelled"):
        alice.patch("/meetings", params={"id": f"eq.{meeting}"}, json={"status": status})
        request = {"ids": [meeting], "limit": 10}
        assert service.post("/rpc/sync_meetings_v1", json={"request": request}).is_success
    query = "select id, status from scheduled_jobs where job_id = %s"
    made, status = sql.execute(query, [f"meeting-status:{meeting}"]).fetchone()
    assert (status, acts(service, made)) == ("cancelled", [])


def test_a_long_value_is_reported_by_its_size(alice: httpx.Client):
    """So that an edit of a large payload does not keep it twice more."""
    job = insert(alice, metadata={"text": "short"})
    alice.patch("/scheduled_jobs", params={"id": f"eq.{job}"}, json={"metadata": {"text": "x" * 9000}})
    assert acts(alice, job)[-1]["changes"] == {"metadata": [{"text": "short"}, "9012 bytes"]}


def test_old_acts_are_forgotten_with_the_ledger(database: psycopg.Connection[dict[str, Any]]):
    """A batch at a time."""
    database.execute("delete from public.job_audit")
    for days in (1, 8, 9, 10):
        database.execute(
            "insert into public.job_audit (scheduled_job_id, role, action, at) "
            "values (%s, 'r', 'delete', now() - make_interval(days => %s))",
            [days, days],
        )
    request = json.dumps({"retention_days": 7, "limit": 2})
    query = "select public.clean_ledger_v1(%s) as answer"
    assert [database.execute(query, [request]).fetchone()["answer"]["acts"] for _ in range(3)] == [2, 1, 0]
    left = database.execute("delete from public.job_audit returning scheduled_job_id").fetchall()
    assert left == [{"scheduled_job_id": 1}]


LOGIN = {
    "type": "object",
    "properties": {
        "password": {"type": "string", "format": "password", "writeOnly": True},
        "pin": {"anyOf": [{"type": "integer", "secret": True}, {"type": "null"}]},
        "keys": {"type": "array", "items": {"$ref": "#/$defs/Key"}},
        "headers": {"type": "object", "secret": "by_name", "additionalProperties": {"type": "string"}},
        "user": {"type": "string"},
    },
    "$defs": {"Key": {"type": "object", "properties": {"value": {"type": "string", "secret": True}}}},
}


def test_no_entry_reveals_a_secret_of_a_payload(sql: psycopg.Connection[Any]):
    """Neither of an edit nor of a deletion, at any depth; what is no secret is shown."""
    payload = {
        "user": "me", "password": "hunter2", "pin": 987654, "keys": [{"value": "hunter2", "of": "house"}],
        "headers": {"x-key": "hunter2"},
    }  # fmt: skip
    reported = {
        "user": "me", "password": "[redacted]", "pin": "[redacted]", "keys": [{"value": "[redacted]", "of": "house"}],
        "headers": {"x-key": "[redacted]"},
    }  # fmt: skip
    publish = "insert into public.job_handlers (name, payload_schema) values ('login', %s)"
    insert = (
        "insert into public.scheduled_jobs (handler, metadata, run_date) values (%s, %s, '2099-01-01Z') returning id"
    )
    with sql.transaction(force_rollback=True):
        sql.execute(publish, [json.dumps(LOGIN)])
        (job,) = sql.execute(insert, ["login", json.dumps(payload)]).fetchone()
        sql.execute("update public.scheduled_jobs set metadata = %s where id = %s", [json.dumps({"pin": None}), job])
        sql.execute("update public.scheduled_jobs set metadata = %s where id = %s", [json.dumps(payload), job])
        sql.execute("delete from public.scheduled_jobs where id = %s", [job])
        entries = sql.execute("select changes from public.job_audit where scheduled_job_id = %s order by id", [job])
        assert [changes["metadata"] for (changes,) in entries] == [
            [reported, {"pin": None}],
            [{"pin": None}, reported],
            [reported, None],
        ]


def test_a_payload_whose_handler_is_in_no_catalogue_is_reported_by_its_size(sql: psycopg.Connection[Any]):
    """Nobody knows any more what of it is a secret."""
    with sql.transaction(force_rollback=True):
        sql.execute("delete from public.job_handlers")
        query = "insert into public.scheduled_jobs (handler, metadata) values ('left', '{\"a\": 1}') returning id"
        (job,) = sql.execute(query).fetchone()
        sql.execute("delete from public.scheduled_jobs where id = %s", [job])
        entry = "select changes -> 'metadata' -> 0 from public.job_audit where scheduled_job_id = %s"
        assert sql.execute(entry, [job]).fetchone() == ("8 bytes",)


def test_secrets_whose_fields_have_several_names_are_reported_by_the_size_of_the_payload(sql: psycopg.Connection[Any]):
    """The schema shows one of the names."""
    with sql.transaction(force_rollback=True):
        schema = json.dumps({**LOGIN, "x-lenient": True})
        sql.execute("insert into public.job_handlers (name, payload_schema) values ('login', %s)", [schema])
        query = (
            "insert into public.scheduled_jobs (handler, metadata) values ('login', '{\"pass\": \"x\"}') returning id"
        )
        (job,) = sql.execute(query).fetchone()
        sql.execute("delete from public.scheduled_jobs where id = %s", [job])
        entry = "select changes -> 'metadata' -> 0 from public.job_audit where scheduled_job_id = %s"
        assert sql.execute(entry, [job]).fetchone() == ("13 bytes",)
