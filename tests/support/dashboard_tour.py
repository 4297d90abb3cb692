"""Pictures of every route of the dashboard, for the documentation: `make screenshots`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboard_parts import running_parts
from patience import until

if TYPE_CHECKING:
    from dashboard_parts import Parts
    from supabase_project import Project

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SIZE = {"width": 1200, "height": 750}
RECURRING: list[dict[str, Any]] = [
    {"name": "Weekly digest", "handler": "weekly_digest", "trigger_type": "weekly",
     "schedule": {"time": "08:00", "days": ["monday"]}, "timezone": "Europe/Berlin",
     "metadata": {"recipients": ["team@acme.example.com", "board@acme.example.com"]}},
    {"name": "Nightly import of customers", "handler": "import_customers", "trigger_type": "daily",
     "schedule": {"time": "02:30"}, "timezone": "America/New_York", "metadata": {"source": "crm", "rows": 48000}},
    {"name": "Stock of the shop", "handler": "sync_inventory", "trigger_type": "cron",
     "schedule": {"expression": "*/15 * * * *"}},
    {"name": "Stock of the warehouse", "handler": "sync_inventory", "trigger_type": "interval",
     "schedule": {"seconds": 600}},
    {"name": "Close of the month", "handler": "weekly_digest", "trigger_type": "monthly",
     "schedule": {"time": "18:00", "days": [-1]}, "timezone": "Asia/Tokyo",
     "metadata": {"recipients": ["board@acme.example.com"], "days": 31}},
]  # fmt: skip
REMINDERS = (4711, 4712, 4714, 4715, 4718, 4721, 4725, 4728, 4732, 4735)
HISTORY = """
insert into public.job_executions
    (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, reason, started_at, completed_at,
     duration_ms, lateness_ms, error)
select j.id, j.workspace_id, j.created_by, t.at, t.at, 'schedule', t.status,
    case t.status when 'skipped' then 'overlap' end,
    case when t.status <> 'skipped' then t.at + interval '12 ms' end,
    t.at + make_interval(secs => t.took / 1000.0), case when t.status <> 'skipped' then t.took end,
    case when t.status <> 'skipped' then 12 + t.n % 9 end,
    case t.status when 'failed' then 'HTTPStatusError: HTTP 503 from the shop for request ' || t.n end
from public.scheduled_jobs as j
cross join lateral (
    select n, now() - make_interval(mins => n * 15 + (j.id % 7)::integer) as at,
        180 + (n * 37 + j.id * 13) % 420 as took,
        case when (n * 7 + j.id) % 23 = 0 then 'failed' when (n * 5 + j.id) % 31 = 0 then 'skipped' else 'completed'
        end as status
    from generate_series(1, 95) as n
) as t
where j.handler = 'sync_inventory'
on conflict do nothing
"""
TOTALS = """
update public.scheduled_jobs as j
set total_runs = s.ran, failed_runs = s.failed, successful_runs = s.ran - s.failed, last_run_at = s.last_at,
    last_run_status = 'completed', last_run_duration_ms = 210
from (
    select scheduled_job_id as id, count(*) filter (where status in ('completed', 'failed')) as ran,
        count(*) filter (where status = 'failed') as failed, max(started_at) as last_at
    from public.job_executions group by 1
) as s
where j.id = s.id and j.handler = 'sync_inventory'
"""


def main() -> None:
    """Make the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with running_parts("handlers,tour_handlers") as parts:
        routes = _fill(parts)
        for scheme in ("light", "dark"):
            window = parts.visits("admin", **SIZE, color_scheme=scheme, device_scale_factor=1)
            for name, route in routes.items():
                if scheme == "dark" and name not in {"overview", "run"}:
                    continue
                page = window.go(route)
                page.wait_for_timeout(700)  # charts and badges come after the first paint
                path = IMAGES / f"{name}{'-dark' if scheme == 'dark' else ''}.png"
                page.screenshot(path=path)
                print(path.relative_to(IMAGES.parents[1]), f"{path.stat().st_size / 1000:.0f} kB")  # noqa: T201


def _fill(parts: Parts) -> dict[str, str]:
    """Enter a day of a company's jobs; give the routes by the names of their pictures."""
    team, project = parts.team, parts.project
    for number in REMINDERS:
        payload = {"invoice_id": number, "tone": "firm" if number % 2 else "friendly"}
        job = team.insert(name=f"Remind of invoice {number}", handler="invoice_reminder", metadata=payload)["id"]
        project.wait(job)
    jobs = {row["name"]: team.insert("admin", **row)["id"] for row in RECURRING}
    project.sql.execute("set session_replication_role = replica")
    project.sql.execute(HISTORY)
    project.sql.execute(TOTALS)
    project.sql.execute("set session_replication_role = origin")
    with team.rest("admin") as client:
        address = f"/scheduled_jobs?id=eq.{jobs['Stock of the warehouse']}"
        client.patch(address, json={"schedule": {"seconds": 900}}).raise_for_status()
    held = parts.folder / "held"
    payload = {"source": "crm", "rows": 48000, "hold": str(held)}
    going = team.insert(name="Import of new customers", handler="import_customers", metadata=payload)["id"]
    until(lambda: project.job(going)["progress"] or 0, "progress")
    run = project.ledger(going)[0]["id"]
    until(lambda: project.rows("select id from public.job_execution_logs where execution_id = %s", run), "a log")
    until(_counted(project), "the activity of the day", within=60)
    stock = jobs["Stock of the shop"]
    return {
        "overview": "/", "jobs": "/jobs", "job": f"/jobs/{stock}", "job-new": "/jobs/new",
        "job-edit": f"/jobs/{jobs['Weekly digest']}/edit", "runs": "/runs", "run": f"/runs/{run}",
        "failures": "/failures", "alerts": "/alerts", "listeners": "/listeners", "handlers": "/handlers",
        "audit": "/audit", "workspace": "/workspace",
    }  # fmt: skip


def _counted(project: Project) -> Any:
    return lambda: project.rows("select hour from public.job_activity where completed > 0 offset 5 limit 1")


if __name__ == "__main__":
    main()
