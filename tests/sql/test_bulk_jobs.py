"""One act on all jobs that a filter names, under the rules that hold for one job."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx


class Team:
    """A user with a workspace of their own, and its jobs."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        [row] = client.post("/job_workspaces", json={"name": "Team"}).json()
        self.id = row["id"]

    def jobs(self, *jobs: dict[str, Any]) -> list[int]:
        """Insert jobs that are due in years."""
        rows = [{"handler": "noop", "run_date": "2999-01-01T00:00:00Z", "workspace_id": self.id, **job} for job in jobs]
        ids = []
        for row in rows:
            [made] = self.client.post("/scheduled_jobs", json=row).json()
            ids.append(made["id"])
        return ids

    def bulk(self, action: str, filters: dict[str, Any] | None = None, **more: object) -> dict[str, Any]:
        """Act on the jobs of the workspace that a filter names."""
        arguments = {"action": action, "filter": {"workspace_id": self.id, **(filters or {})}, **more}
        return self.client.post("/rpc/bulk_jobs", json=arguments).json()

    def statuses(self) -> list[str]:
        """Read the status of each job, in the order of their ids."""
        params = {"workspace_id": f"eq.{self.id}", "order": "id", "select": "status"}
        return [row["status"] for row in self.client.get("/scheduled_jobs", params=params).json()]


@pytest.fixture
def team(client_for: Callable[[str], httpx.Client]) -> Team:
    """A team that no other test has rows of."""
    return Team(client_for(f"user{uuid.uuid4().hex[:8]}"))


def test_each_act_changes_the_jobs_that_take_it_and_skips_the_others(team: Team):
    """Paused and resumed, cancelled and retried, run, and deleted."""
    team.jobs({}, {}, {"status": "paused"})
    seen = []
    for action in ("pause", "resume", "cancel", "retry"):
        answer = team.bulk(action)
        seen.append((action, answer["matched"], answer["changed"], answer["skipped"], *team.statuses()))
    assert seen == [
        ("pause", 3, 2, 1, *["paused"] * 3),
        ("resume", 3, 3, 0, *["scheduled"] * 3),
        ("cancel", 3, 3, 0, *["cancelled"] * 3),
        ("retry", 3, 3, 0, *["scheduled"] * 3),
    ]
    assert team.bulk("run_now")["changed"] == 3
    runs = team.client.get("/job_executions", params={"workspace_id": f"eq.{team.id}", "cause": "eq.manual"}).json()
    assert [run["status"] for run in runs] == ["queued"] * 3
    assert team.bulk("delete")["changed"] == 3
    assert team.statuses() == []


def test_a_dry_run_counts_and_changes_nothing(team: Team):
    """The same figures as the act itself."""
    team.jobs({}, {"status": "paused"})
    dry = team.bulk("pause", dry_run=True)
    assert team.statuses() == ["scheduled", "paused"]
    assert team.bulk("pause") == dry
    assert (dry["matched"], dry["changed"], dry["skipped"], dry["more"]) == (2, 1, 1, False)


def test_a_bound_leaves_the_rest_to_the_next_call(team: Team):
    """In the order of ids; `last` is where the next one goes on, for runs that would otherwise be requested again."""
    ids = team.jobs({}, {}, {})
    first = team.bulk("run_now", max_jobs=2)
    assert (first["changed"], first["more"], first["last"]) == (2, True, ids[1])
    second = team.bulk("run_now", {"after": first["last"]}, max_jobs=2)
    assert (second["changed"], second["more"]) == (1, False)
    assert team.bulk("pause", max_jobs=2)["more"] is True
    assert team.bulk("pause", max_jobs=2) == {"matched": 3, "changed": 1, "skipped": 2, "more": False, "last": ids[2]}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"handler": "log"}, [1]),
        ({"handler": ["log", "noop"]}, [0, 1, 2]),
        ({"name": "NIGHT"}, [0]),
        ({"name": "%"}, []),
        ({"status": ["paused"]}, [2]),
        ({"trigger_type": "interval"}, [0]),
        ({"job_type": "report"}, [1]),
        ({"handler": "noop", "status": "scheduled"}, [0]),
    ],
)
def test_a_filter_names_jobs_by_all_its_keys(team: Team, filters: dict[str, Any], expected: list[int]):
    """A name by any part of it, as it stands."""
    ids = team.jobs(
        {"name": "Nightly", "trigger_type": "interval", "schedule": {"seconds": 3600}},
        {"handler": "log", "metadata": {"message": "m"}, "job_type": "report"},
        {"status": "paused"},
    )
    assert team.bulk("delete", filters)["changed"] == len(expected)
    left = [row["id"] for row in team.client.get("/scheduled_jobs", params={"workspace_id": f"eq.{team.id}"}).json()]
    assert sorted(left) == [job for at, job in enumerate(ids) if at not in expected]


def test_jobs_are_named_by_the_fingerprint_of_a_failure(team: Team, sql: psycopg.Connection[Any]):
    """As the page of failures shows it: retry all that failed alike."""
    ids = team.jobs({}, {})
    sql.execute(
        "insert into public.job_executions (scheduled_job_id, workspace_id, cause, status, error, completed_at)"
        " values (%s, %s, 'schedule', 'failed', 'boom', now())",
        [ids[1], team.id],
    )
    [group] = team.client.post("/rpc/list_failures", json={"workspace": team.id}).json()["groups"]
    assert team.bulk("cancel", {"error_fingerprint": group["error_fingerprint"]})["last"] == ids[1]
    assert team.statuses() == ["scheduled", "cancelled"]


def test_private_jobs_are_named_by_no_workspace(team: Team):
    """Those of the caller's workspaces are left alone."""
    team.jobs({}, {"workspace_id": None})
    assert team.bulk("pause", {"workspace_id": None})["changed"] == 1
    assert team.statuses() == ["scheduled"]


def test_an_act_that_exceeds_a_quota_is_refused_as_a_whole(team: Team, sql: psycopg.Connection[Any]):
    """Nothing is written, and the answer names the quota."""
    team.jobs({}, {}, {})
    team.bulk("cancel")
    sql.execute("update public.job_workspaces set settings = '{\"max_active_jobs\": 2}' where id = %s", [team.id])
    assert team.bulk("retry")["message"].startswith(
        "quota max_active_jobs: 3 more jobs are not allowed; limit 2, used 0"
    )
    assert team.statuses() == ["cancelled"] * 3
    assert team.bulk("retry", max_jobs=2)["changed"] == 2


def test_each_job_of_an_act_is_in_the_audit(team: Team):
    """As if it had been alone."""
    team.jobs({}, {})
    team.bulk("pause")
    acts = team.client.get("/job_audit", params={"workspace_id": f"eq.{team.id}", "action": "eq.pause"}).json()
    assert len(acts) == 2


def test_a_job_that_is_being_ended_is_not_waited_for(team: Team, embedded_stack: Any):
    """Its end may wait for a job that the act has: it counts as one for a further call."""
    ids = team.jobs({}, {})
    with psycopg.connect(embedded_stack.database_url) as other:
        other.execute("select from public.scheduled_jobs where id = %s for update", [ids[0]])
        answer = team.bulk("pause")
    assert (answer["matched"], answer["changed"], answer["more"]) == (2, 1, True)
    assert team.bulk("pause")["changed"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"action": "explode", "filter": {"ids": [1]}},
            'action: "explode" is not allowed; expected one of cancel, pause',
        ),
        ({"action": "pause", "filter": {"color": "red"}}, 'filter: the key "color" is not allowed; expected ids, work'),
        ({"action": "pause", "filter": {}}, "filter: {} is not allowed; expected at least one key"),
        ({"action": "pause", "filter": {"after": 5}}, "filter: {} is not allowed; expected at least one key"),
        ({"action": "pause", "filter": None}, "filter: null is not allowed; expected an object"),
    ],
)
def test_an_act_or_a_filter_that_is_not_known_is_refused(team: Team, arguments: dict[str, Any], message: str):
    """A filter without a key would name all jobs there are."""
    answer = team.client.post("/rpc/bulk_jobs", json=arguments)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)
