"""The pages of a tenant in a dashboard: the first page, lists by key, and failures that are alike."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    import psycopg

RUN = """
    insert into public.job_executions (
        scheduled_job_id, workspace_id, cause, scheduled_for, status, reason, error,
        started_at, duration_ms, completed_at
    )
    select
        %(job)s, j.workspace_id, 'schedule', now() - make_interval(secs => %(ago)s), %(status)s, %(reason)s, %(error)s,
        now(), %(ms)s,
        case when %(status)s not in ('queued', 'running') then now() - make_interval(secs => %(ago)s) end
    from public.scheduled_jobs as j where j.id = %(job)s
    returning id
"""


class Tenant:
    """A workspace of its own, with jobs and runs."""

    def __init__(self, database: psycopg.Connection[dict[str, Any]]) -> None:
        self.database, self.id = database, str(uuid.uuid4())

    def job(self, handler: str = "noop", due: str = "2999-01-01", **columns: object) -> int:
        """Insert a job."""
        names = {"handler": handler, "workspace_id": self.id, "run_date": due, **columns}
        places = ", ".join(["%s"] * len(names))
        query = f"insert into public.scheduled_jobs ({', '.join(names)}) values ({places}) returning id"  # noqa: S608
        return self.database.execute(query, list(names.values())).fetchone()["id"]

    def run(self, job: int, ago: float, status: str = "completed", **more: object) -> str:
        """Enter a run that was due so many seconds ago."""
        values = {"job": job, "ago": ago, "status": status, "reason": None, "error": None, "ms": 10, **more}
        return str(self.database.execute(RUN, values).fetchone()["id"])

    def ask(self, call: str, *values: object) -> Any:
        """Call a function for this tenant."""
        return self.database.execute(f"select public.{call} as answer", [self.id, *values]).fetchone()["answer"]


@pytest.fixture
def tenant(database: psycopg.Connection[dict[str, Any]]) -> Tenant:
    """A tenant, and another one whose rows must not be counted."""
    other = Tenant(database)
    job = other.job(due="2020-01-01")
    other.run(job, 5, "failed", error="of somebody else")
    return Tenant(database)


def test_the_first_page_counts_what_is_due_and_late(tenant: Tenant):
    """Of the tenant's own jobs; what is due in days is not near."""
    [instants] = tenant.database.execute(
        "select array[now() - interval '1 minute', now() + interval '25 minutes', now() + interval '3 hours',"
        " now() + interval '3 days'] as at"
    ).fetchall()
    for at in instants["at"]:
        tenant.job(due=at)
    shown = tenant.ask("dashboard_overview(%s)")
    assert (shown["late"], shown["due_next_hour"], shown["more"]) == (1, 1, False)
    assert shown["oldest_due"] is not None
    assert sum(shown["next_hours"]) == 2
    assert [part for part, jobs in enumerate(shown["next_hours"]) if jobs] == [2, 17]


def test_the_first_page_shows_how_runs_ended(tenant: Tenant):
    """The newest failures first, an attempt that was followed by another not among them; the present hour last."""
    job = tenant.job(name="nightly")
    tenant.run(job, 5)
    first, second = tenant.run(job, 60, "failed", error="old"), tenant.run(job, 30, "failed", error="young")
    retried = tenant.run(job, 20, "failed", error="retried")
    tenant.database.execute(
        "insert into public.job_executions (scheduled_job_id, workspace_id, scheduled_for, cause, attempt)"
        " select scheduled_job_id, workspace_id, scheduled_for, cause, 2 from public.job_executions where id = %s",
        [retried],
    )
    tenant.run(job, 90_000, "failed", error="the day before")
    tenant.database.execute(
        "insert into public.job_activity (tenant_id, workspace_id, hour, handler, completed)"
        " values (%(id)s, %(id)s, date_trunc('hour', now(), 'UTC'), 'noop', 3),"
        " (%(id)s, %(id)s, date_trunc('hour', now(), 'UTC'), 'log', 4)",
        {"id": tenant.id},
    )
    shown = tenant.ask("dashboard_overview(%s)")
    failures = shown["failures"]
    assert (failures["failed"], failures["retried"], failures["more"]) == (2, 1, False)
    assert [row["id"] for row in failures["newest"]] == [second, first]
    assert failures["newest"][0]["name"] == "nightly"
    assert len(shown["outcomes"]) == 24
    assert shown["outcomes"][-1]["completed"] >= 7
    sums = [sum(hour[status] for hour in shown["outcomes"]) for status in ("completed", "failed", "retried")]
    assert sums == [7 + 1, 2, 1], "what was counted, and what was not yet"


def test_the_first_page_counts_what_runs_and_who_listens(tenant: Tenant):
    """A listener that sent no heartbeat for its lease is not alive."""
    tenant.database.execute("delete from public.job_listeners")
    tenant.database.execute(
        "insert into public.job_listeners (id, name, heartbeat_at, lease_seconds) values"
        " (gen_random_uuid(), 'a', now(), 30), (gen_random_uuid(), 'b', now() - interval '40 seconds', 30),"
        " (gen_random_uuid(), 'c', now() - interval '40 seconds', 120)"
    )
    run = tenant.run(tenant.job(), 5, "running")
    tenant.database.execute("update public.job_executions set lease_expires_at = now() where id = %s", [run])
    shown = tenant.ask("dashboard_overview(%s)")
    assert (shown["listeners"], shown["running"]) == (2, 1)
    tenant.database.execute("delete from public.job_listeners")


def pages(tenant: Tenant, filters: str, size: int) -> list[list[str]]:
    """Read page after page; the ids of each."""
    found, after = [], None
    while True:
        page = tenant.ask(
            "list_runs(%s, %s::jsonb, %s::jsonb, %s)", filters, after and str(after).replace("'", '"'), size
        )
        found.append([row["id"] for row in page["rows"]])
        after = page["next"]
        if after is None:
            return found


def test_runs_are_listed_by_pages_newest_first(tenant: Tenant):
    """Each once, also where several were due at the same instant."""
    job = tenant.job()
    with tenant.database.transaction():
        runs = [tenant.run(tenant.job(), 7) for _ in range(3)] + [tenant.run(job, ago) for ago in (10, 20, 30)]
    found = pages(tenant, "{}", 2)
    assert [len(page) for page in found] == [2, 2, 2, 0]
    listed = [run for page in found for run in page]
    assert sorted(listed[:3]) == sorted(runs[:3])
    assert listed[3:] == runs[3:]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ('{"status": "failed"}', [2, 3]),
        ('{"status": ["failed", "completed"]}', [0, 2, 3]),
        ('{"handler": "log"}', [3]),
        ('{"reason": "timeout"}', [3]),
        ('{"cause": "manual"}', []),
        ('{"status": "failed", "handler": ["noop"]}', [2]),
        ('{"until": "2000-01-01"}', []),
        ('{"since": "2000-01-01"}', [0, 1, 2, 3]),
    ],
)
def test_runs_are_filtered(tenant: Tenant, filters: str, expected: list[int]):
    """By what the ledger and the job say."""
    job = tenant.job()
    runs = [
        tenant.run(job, 10),
        tenant.run(job, 20, "skipped"),
        tenant.run(job, 30, "failed"),
        tenant.run(tenant.job("log"), 40, "failed", reason="timeout"),
    ]
    assert pages(tenant, filters, 50) == [[runs[at] for at in expected]]


def test_a_filter_that_is_not_known_is_refused(tenant: Tenant):
    """By name, with what is allowed."""
    with pytest.raises(Exception, match='filter: the key "state" is not allowed; expected status, reason'):
        tenant.ask("list_runs(%s, %s::jsonb)", '{"state": "failed"}')
    with pytest.raises(Exception, match=r"filter: \[\] is not allowed; expected an object"):
        tenant.ask("list_runs(%s, %s::jsonb)", "[]")


@pytest.mark.parametrize(
    ("one", "other", "groups"),
    [
        ("ValueError: row 7041 is bad", "ValueError: row 9 is bad", [2]),
        ("no user 0b7c9a52-51f3-4be4-8c8a-1b2c3d4e5f60", "no user 9d1c6f00-aaaa-bbbb-8c8a-1b2c3d4e5f61", [2]),
        ("took 12.5 s\nat a", "took 70.25 s\nat b", [2]),
        ("HTTP 404 of the upstream", "HTTP 500 of the upstream", [1, 1]),
        ("refused: status=404", "refused: status=500", [1, 1]),
        ("row 301 is bad", "row 302 is bad", [2]),
        ("KeyError: 'name'", "KeyError: 'email'", [1, 1]),
        (None, None, [2]),
    ],
)
def test_errors_that_differ_in_ids_and_amounts_are_alike(
    tenant: Tenant, one: str | None, other: str | None, groups: list[int]
):
    """Their subject is not left out."""
    job = tenant.job()
    for number, error in enumerate((one, other)):
        tenant.run(job, 10 + number, "failed", error=error)
    found = tenant.ask("list_failures(%s)")["groups"]
    assert [group["failures"] for group in found] == groups


def test_only_a_failed_run_has_a_fingerprint(tenant: Tenant):
    """A completed one pays nothing for it, and one that failed and is tried again loses it."""
    run = tenant.run(tenant.job(), 10, "failed", error="boom", reason="timeout")
    read = lambda: tenant.database.execute(  # noqa: E731
        "select error_fingerprint as f from public.job_executions where id = %s", [run]
    ).fetchone()["f"]
    assert len(read()) == 32
    tenant.database.execute("update public.job_executions set status = 'completed' where id = %s", [run])
    assert read() is None


def test_failures_alike_are_grouped_the_most_frequent_first(tenant: Tenant):
    """With the jobs, the hours and the newest sample."""
    job, another = tenant.job(name="nightly"), tenant.job("log")
    tenant.run(job, 5, "failed", error="rare")
    runs = [tenant.run(each, ago, "failed", error=f"row {ago} is bad") for each, ago in ((job, 8000), (another, 4000))]
    tenant.run(job, 90_000, "failed", error="rare")
    [frequent, rare] = tenant.ask("list_failures(%s)")["groups"]
    assert (frequent["failures"], frequent["jobs"], frequent["handlers"]) == (2, 2, ["log", "noop"])
    assert frequent["sample"]["id"] == runs[1]
    assert frequent["sample"]["error"] == "row 4000 is bad"
    assert [at for at, count in enumerate(frequent["by_hour"]) if count] == [21, 22]
    assert rare["failures"] == 1
    assert tenant.ask("list_failures(%s, 48)")["groups"][0]["failures"] == 2


def test_outcomes_of_jobs_are_the_last_thirty(tenant: Tenant):
    """The newest last; a job that never ran has none."""
    job, idle = tenant.job(), tenant.job()
    for ago in range(1, 33):
        tenant.run(job, ago, "failed" if ago == 1 else "completed", ms=ago)
    answer = tenant.database.execute("select public.job_outcomes(%s) as answer", [[job, idle]]).fetchone()["answer"]
    assert answer[str(job)]["outcomes"] == [*["completed"] * 29, "failed"]
    assert answer[str(job)]["p50_ms"] == 15.5
    assert answer[str(idle)] == {"outcomes": [], "p50_ms": None, "p95_ms": None}


def test_without_a_workspace_the_callers_private_jobs_are_shown(
    client_for: Callable[[str], httpx.Client], sql: psycopg.Connection[Any]
):
    """Not those that the caller made in a workspace."""
    who = f"user{uuid.uuid4().hex[:8]}"
    client = client_for(who)
    [private] = client.post("/scheduled_jobs", json={"handler": "noop", "run_date": "2999-01-01"}).json()
    run = client.post("/rpc/run_job_now", json={"job": private["id"]}).json()
    [team] = client.post("/job_workspaces", json={"name": "Team"}).json()
    [shared] = client.post("/scheduled_jobs", json={"handler": "noop", "workspace_id": team["id"]}).json()
    client.post("/rpc/run_job_now", json={"job": shared["id"]})
    rows = client.post("/rpc/list_runs", json={}).json()["rows"]
    assert [row["id"] for row in rows] == [run]
    assert client.get("/rpc/dashboard_overview").json()["late"] == 0
    assert sql.execute("select count(*) from public.scheduled_jobs where id = %s", [shared["id"]]).fetchone() == (1,)
