"""How long each page of the dashboard takes with 100,000 jobs and 1,000,000 runs: `make dashboard-load`.

Prints, for each page, the milliseconds from the address to its data, of a fresh window and of a visit after another
page; how soon an inserted job shows; and what Lighthouse says of the overview, where npx finds it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from child_listener import free_port
from dashboard_browser import PROGRAMS, QUIET
from dashboard_parts import running_parts
from playwright.sync_api import expect

if TYPE_CHECKING:
    from dashboard_browser import Visits
    from dashboard_parts import Parts

JOBS = """
insert into public.scheduled_jobs
    (job_id, workspace_id, created_by, name, handler, trigger_type, run_date, schedule, status, due_at, next_run_at,
     is_planned, total_runs, successful_runs)
select 'load-' || n, %(workspace)s, %(user)s, 'Job ' || n, 'noop', 'interval', now(), '{"seconds": 86400}',
    (array['scheduled', 'completed', 'failed', 'paused'])[1 + n %% 4],
    case when n %% 4 = 0 then now() + make_interval(secs => 3600 + n) end,
    case when n %% 4 = 0 then now() + make_interval(secs => 3600 + n) end, true, 10, 10
from generate_series(1, %(jobs)s) as n
"""
RUNS = """
insert into public.job_executions
    (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, started_at, completed_at,
     duration_ms, lateness_ms, error)
select j.id, j.workspace_id, j.created_by, t.at, t.at, 'schedule', t.status, t.at, t.at + interval '20 ms', 20, 3,
    case t.status when 'failed' then 'ValueError: ' || translate((j.id %% 40)::text, '0123456789', 'abcdefghij') end
from public.scheduled_jobs as j
cross join lateral (
    select now() - make_interval(secs => n * 17280 + j.id %% 17280) as at,
        case when (j.id + n) %% 50 = 0 then 'failed' else 'completed' end as status
    from generate_series(1, %(each)s) as n
) as t
where j.job_id like 'load-%%'
"""
ROUTES = ("/", "/jobs", "/runs", "/runs?status=failed", "/failures", "/listeners", "/handlers", "/audit", "/workspace")
LIGHTHOUSE = "lighthouse@12.8.2"


def main() -> None:
    """Fill a stack, and measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=100_000)
    options.add_argument("--runs", type=int, default=1_000_000)
    options.add_argument("--times", type=int, default=5)
    options.add_argument("--no-lighthouse", action="store_true")
    wanted = options.parse_args()
    with running_parts("handlers,dashboard_handlers") as parts:
        job = _fill(parts, wanted.jobs, wanted.runs // wanted.jobs)
        run = parts.project.ledger(job)[0]["id"]
        print(f"{'page':<24}{'fresh ms':>10}{'then ms':>10}")  # noqa: T201
        for route in (*ROUTES, f"/jobs/{job}", f"/runs/{run}"):
            fresh, then = _times(parts.visits, route, wanted.times)
            print(f"{route.split('-')[0]:<24}{fresh:>10.0f}{then:>10.0f}")  # noqa: T201
        print(f"{'inserted to visible':<24}{_to_visible(parts, wanted.times):>10.0f}")  # noqa: T201
        if not wanted.no_lighthouse:
            _lighthouse(parts)


def _fill(parts: Parts, jobs: int, each: int) -> int:
    """Enter jobs and runs as a restored database has them, without their triggers; give the id of one of the jobs."""
    sql = parts.project.sql
    values = {"jobs": jobs, "each": each, "workspace": parts.team.workspace, "user": parts.team.people["admin"].id}
    settings = "update public.job_workspaces set settings = settings || '{\"max_active_jobs\": 1000000}'"
    sql.execute(settings)
    sql.execute("set session_replication_role = replica")
    for statement in (JOBS, RUNS):
        sql.execute(statement, values)
    sql.execute("set session_replication_role = origin")
    sql.execute("analyze public.scheduled_jobs, public.job_executions")
    return sql.execute("select max(id) as id from public.scheduled_jobs").fetchone()["id"]


def _times(visits: Visits, route: str, times: int) -> tuple[float, float]:
    path, _, query = route.partition("?")
    parameters = dict(part.split("=") for part in query.split("&")) if query else {}
    fresh, then = [], []
    for _ in range(times):
        window = visits("admin")
        fresh.append(_measured(lambda: window.go(path, **parameters)))  # noqa: B023 - called at once
        window.go("/handlers" if path != "/handlers" else "/audit")
        then.append(_measured(lambda: window.go(path, **parameters)))  # noqa: B023
        visits.close(checked=False)
    return median(fresh), median(then)


def _measured(act: Any) -> float:
    began = time.monotonic()
    act()
    return (time.monotonic() - began) * 1000


def _to_visible(parts: Parts, times: int) -> float:
    """Give how long a row that is inserted over REST takes to show in the list of jobs."""
    window = parts.visits("viewer")
    page = window.go("/jobs")
    expect(page.get_by_role("status").get_by_text("Live")).to_be_visible()
    found = []
    with parts.team.rest("editor") as client:
        for number in range(times):
            name = f"Inserted {number}"
            row = {"handler": "noop", "name": name, "workspace_id": str(parts.team.workspace), "run_date": "2999-01-01"}
            began = time.monotonic()
            client.post("/scheduled_jobs", json=row).raise_for_status()
            page.wait_for_function("name => document.body.innerText.includes(name)", arg=name, polling="raf")
            found.append((time.monotonic() - began) * 1000)
            page.wait_for_timeout(2_500)  # lists are read at most once in two seconds
    return median(found)


def _lighthouse(parts: Parts) -> None:
    """Run Lighthouse on the overview of somebody who is signed in."""
    npx = shutil.which("npx")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if npx is None:
        return
    port, folder = free_port(), parts.folder
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    report = folder / "lighthouse.json"
    address = f"{parts.visits.listener_url}/dashboard/"
    context = parts.visits.browser.browser_type.launch_persistent_context(
        folder / "profile", executable_path=program, args=[*QUIET, *sandbox, f"--remote-debugging-port={port}"]
    )
    page = context.pages[0]
    page.goto(address)
    kept = parts.team.kept_by_browser("admin", address)["origins"][0]["localStorage"][0]
    page.evaluate("({name, value}) => localStorage.setItem(name, value)", kept)
    chosen = ["--only-categories=performance,accessibility,best-practices", "--preset=desktop"]
    output = ["--output=json", f"--output-path={report}", "--quiet"]
    command = [npx, "--yes", LIGHTHOUSE, address, f"--port={port}", "--disable-storage-reset", *chosen, *output]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    context.close()
    if done.returncode != 0:
        print("Lighthouse did not run:", done.stderr.strip().splitlines()[-1:])  # noqa: T201
        return
    for name, category in json.loads(report.read_text(encoding="utf-8"))["categories"].items():
        print(f"Lighthouse {name:<24}{category['score'] * 100:.0f}")  # noqa: T201


if __name__ == "__main__":
    main()
