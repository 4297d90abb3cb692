"""A page of the dashboard that stays open while jobs change: `make dashboard-open`.

Prints, each five minutes, the page's memory after a collection of garbage, its elements, its requests a minute and
what its browser has complained of.
"""

from __future__ import annotations

import argparse
import threading
import time
from typing import TYPE_CHECKING

import psycopg
from dashboard_parts import running_parts

if TYPE_CHECKING:
    from dashboard_parts import Parts

WAVES_A_SECOND = 5
CHANGE = """
update public.scheduled_jobs set description = 'Change ' || %(number)s
where id in (select id from public.scheduled_jobs where job_id like 'open-%%' order by random() limit %(most)s)
"""
JOBS = """
insert into public.scheduled_jobs (job_id, name, workspace_id, created_by, handler, trigger_type, run_date, schedule)
select 'open-' || n, 'Job ' || n, %(workspace)s, %(user)s, 'noop', 'interval', now() + make_interval(secs => n),
    '{"seconds": 60}'
from generate_series(1, 500) as n
"""


def main() -> None:
    """Fill a stack, open a page, change jobs, and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=3600.0)
    options.add_argument("--changes", type=int, default=50, help="changed rows a second")
    options.add_argument("--every", type=float, default=300.0, help="seconds between two reports")
    options.add_argument("--route", default="/jobs")
    wanted = options.parse_args()
    with running_parts("handlers,dashboard_handlers") as parts:
        people = {"workspace": parts.team.workspace, "user": parts.team.people["admin"].id}
        parts.project.sql.execute(JOBS, people)
        ended = threading.Event()
        changes = threading.Thread(target=_change, args=(parts, wanted.changes, ended))
        changes.start()
        try:
            _watch(parts, wanted.route, wanted.seconds, wanted.every)
        finally:
            ended.set()
            changes.join()


def _change(parts: Parts, a_second: int, ended: threading.Event) -> None:
    """Change so many rows a second until the event is set."""
    number = 0
    with psycopg.connect(parts.dsn, autocommit=True) as sql:
        while not ended.wait(1 / WAVES_A_SECOND):
            number += 1
            sql.execute(CHANGE, {"number": number, "most": a_second // WAVES_A_SECOND})


def _watch(parts: Parts, route: str, seconds: float, every: float) -> None:
    window = parts.visits("admin")
    page = window.go(route)
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable")
    tools.send("HeapProfiler.enable")
    print(f"{'seconds':>8}{'heap MB':>10}{'elements':>10}{'requests/min':>14}{'complaints':>12}")  # noqa: T201
    began = time.monotonic()
    before = 0
    while (passed := time.monotonic() - began) < seconds:
        page.wait_for_timeout(min(every, seconds - passed) * 1000)
        tools.send("HeapProfiler.collectGarbage")
        figures = {each["name"]: each["value"] for each in tools.send("Performance.getMetrics")["metrics"]}
        asked = (len(window.asked) - before) / min(every, seconds - passed) * 60
        before = len(window.asked)
        heap, elements = figures["JSHeapUsedSize"] / 2**20, figures["Nodes"]
        line = f"{time.monotonic() - began:>8.0f}{heap:>10.2f}{elements:>10.0f}{asked:>14.1f}"
        print(f"{line}{len(window.complaints):>12}", flush=True)  # noqa: T201
    parts.visits.close(checked=False)


if __name__ == "__main__":
    main()
