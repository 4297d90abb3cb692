"""Jobs that a source made are cancelled, paused, resumed and run by users, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


EDITS: dict[str, Any] = {
    "job_id": "mine now",
    "name": "mine now",
    "description": "mine now",
    "handler": "noop",
    "metadata": {"meeting_id": None},
    "trigger_type": "cron",
    "run_date": "2099-01-01T00:00:00Z",
    "schedule": {"seconds": 1},
    "timezone": "Europe/Rome",
    "ends_at": "2099-01-01T00:00:00Z",
    "max_runs": 3,
    "max_attempts": 9,
    "retry_delay_seconds": 9,
    "retry_backoff": 9,
    "timeout_seconds": 9,
    "priority": 32767,
    "overlap": "allow",
    "misfire": "skip",
    "misfire_grace_seconds": 9,
    "dst_gap": "skip",
    "dst_fold": "both",
    "concurrency_key": "mine",
    "cleanup_after_days": 9,
    "store_result": False,
    "test_mode": True,
    "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
}


@pytest.fixture
def job(alice: httpx.Client, service: httpx.Client) -> Iterator[dict[str, Any]]:
    """The job of a meeting of alice's."""
    meeting = {"title": "Planning", "start_time": "2098-01-01T00:00:00Z", "end_time": "2098-01-01T01:00:00Z"}
    (made,) = alice.post("/meetings", json=meeting).json()
    synced = service.post("/rpc/sync_meetings_v1", json={"request": {"ids": [made["id"]], "limit": 10}})
    assert synced.json()["jobs_scheduled"] == 1, synced.text
    (row,) = alice.get(f"/scheduled_jobs?job_id=eq.meeting-status:{made['id']}").json()
    yield row
    service.delete(f"/meetings?id=eq.{made['id']}")
    service.delete(f"/scheduled_jobs?id=eq.{row['id']}")


@pytest.mark.parametrize("column", EDITS)
def test_no_column_of_it_is_a_users_to_write(alice: httpx.Client, job, column: str) -> None:
    """The answer names the column, the value and what is there."""
    answer = alice.patch(f"/scheduled_jobs?id=eq.{job['id']}", json={column: EDITS[column]})
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")
    assert answer.json()["message"].startswith(f"scheduled_jobs.{column}: ")
    assert f'is not allowed in job "{job["job_id"]}", which follows its source; expected ' in answer.json()["message"]
    assert alice.get(f"/scheduled_jobs?id=eq.{job['id']}").json() == [job]


def test_a_status_does_not_carry_anything_along(alice: httpx.Client, job) -> None:
    """Nor does a value that is the same."""
    where = f"/scheduled_jobs?id=eq.{job['id']}"
    assert alice.patch(where, json={"status": "paused", "priority": 9}).status_code == 403
    assert alice.patch(where, json={"status": "paused", "priority": 0}).status_code == 200


def test_it_is_cancelled_paused_resumed_and_run_by_its_user_and_not_deleted(alice: httpx.Client, job) -> None:
    """By function and by status."""
    for act in ("pause", "resume", "cancel", "retry"):
        assert alice.post(f"/rpc/{act}_job", json={"job": job["id"]}).status_code == 200
    assert alice.post("/rpc/run_job_now", json={"job": job["id"]}).status_code == 200
    assert alice.patch(f"/scheduled_jobs?id=eq.{job['id']}", json={"status": "cancelled"}).status_code == 200
    answer = alice.delete(f"/scheduled_jobs?id=eq.{job['id']}")
    assert (answer.status_code, "follows its source" in answer.json()["message"]) == (403, True)


def test_its_source_and_the_service_change_it(alice: httpx.Client, service: httpx.Client, job) -> None:
    """A meeting that moves takes it along."""
    meeting = job["metadata"]["meeting_id"]
    alice.patch(f"/meetings?id=eq.{meeting}", json={"end_time": "2098-01-01T02:00:00Z", "title": "Moved"})
    service.post("/rpc/sync_meetings_v1", json={"request": {"ids": [meeting], "limit": 10}})
    (row,) = alice.get(f"/scheduled_jobs?id=eq.{job['id']}").json()
    assert (row["run_date"], row["name"]) == ("2098-01-01T02:00:00+00:00", "Moved")
    assert service.patch(f"/scheduled_jobs?id=eq.{job['id']}", json={"priority": 3}).status_code == 200
