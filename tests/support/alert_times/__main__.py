"""`make alerts`: how many mails a bulk failure makes, and how soon the mail of a single one arrives.

The stack, the listener in a process of its own and the mail server are real. It takes four minutes. Writes the table of
docs/alerts.md with `--write`; exits with 1 where a bulk is not one mail and one recovery, or a mail takes too long.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from anyio.from_thread import start_blocking_portal
from child_listener import listeners_on
from mail_server import Inbox, serving
from measured_page import shown, write_between_markers
from patience import until
from supabase_project import connected

from listener.local.stack import temporary_stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiosmtpd.smtp import SMTP, Envelope, Session
    from supabase_project import Project

PAGE = Path(__file__).parents[3] / "docs" / "alerts.md"
JOBS = Path(__file__).parent / "jobs"
PROMISED_SECONDS = 15.0
PATIENCE_SECONDS = 300.0
ADDRESS = "ops@example.com"
BULK = """
    insert into public.scheduled_jobs (handler, metadata, max_attempts)
    select 'breaks', '{"fails": true}', 1 from generate_series(1, %s)
"""
SINGLES = """
    insert into public.scheduled_jobs (handler, metadata, max_attempts, run_date)
    select 'breaks', '{"fails": true}', 1, now() + '5 s' + n * %s * interval '1 s' from generate_series(0, %s - 1) as n
"""
RULES = """
    insert into public.job_alert_rules (condition, scheduled_job_id)
    select 'failed', id from public.scheduled_jobs where handler = 'breaks'
"""
BETTER = """update public.scheduled_jobs set metadata = '{"fails": false}' where handler = 'breaks'"""
AGAIN = "select count(public.retry_job(id)) from public.scheduled_jobs where handler = 'breaks'"
ENDED = "select count(*) as jobs from public.scheduled_jobs where handler = 'breaks' and status = %s"
LAST_END = """
    select extract(epoch from max(e.completed_at))::float8 as at from public.job_executions as e
    inner join public.scheduled_jobs as j on e.scheduled_job_id = j.id
    where j.handler = 'breaks' and e.status = %s
"""
ENDS = """
    select scheduled_job_id as job, extract(epoch from completed_at)::float8 as at from public.job_executions
    where status = 'failed'
"""
EVALUATED = "select evaluated_at from job_scheduler.alert_cursor"
EMPTY = "truncate public.job_alert_rules, public.scheduled_jobs cascade"


class TimedInbox(Inbox):
    """Keeps the mails of a server, and when each arrived, by the machine's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[tuple[float, str]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Keep a message."""
        answer = await super().handle_DATA(server, session, envelope)
        self.arrived.append((time.time(), self.mails[-1][1]["Subject"]))
        return answer

    def subjects(self) -> list[str]:
        """Return the subjects in the order of arrival."""
        return [subject for _, subject in self.arrived]


def main() -> int:
    """Measure, report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make alerts", description=__doc__)
    parser.add_argument("--failures", type=int, default=10_000, help="runs that fail at once")
    parser.add_argument("--singles", type=int, default=100, help="failures of a rule each")
    parser.add_argument("--every", type=float, default=0.6, help="seconds between them")
    parser.add_argument("--write", action="store_true", help="put the table into docs/alerts.md")
    options = parser.parse_args()
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(temporary_stack()) as stack,
        tempfile.TemporaryDirectory(prefix="alerts-") as logs,
        serving(inbox := TimedInbox()) as mail,
        listeners_on(stack, Path(logs), JOBS) as listeners,
        connected(stack) as project,
    ):
        listeners.start(handlers="handlers,breaking_handlers", smtp_url=f"smtp://{mail}")
        project.client.table("job_alert_channels").insert({"kind": "email", "target": ADDRESS}).execute()
        bulk = _measure_bulk(project, inbox, options.failures)
        load = os.getloadavg()[0]
        times = _measure_singles(project, inbox, options.singles, options.every)
    p50, p99 = (shown(_quantile(times, part)) for part in (0.5, 0.99))
    lines = [
        "| measured | mails |",
        "|---|---|",
        f"| {options.failures:,} runs that fail at once | {bulk[0]}, {shown(bulk[1])} after the last of them |",
        f"| the same jobs complete | {bulk[2]}, {shown(bulk[3])} after the last of them |",
        f"| {len(times)} jobs fail one by one, each with a rule | one each, p50 {p50}, p99 {p99} after the run |",
    ]
    print("\n".join(lines))
    print(f"\nload average {load:.1f} after the bulk, {os.getloadavg()[0]:.1f} at the end, {os.cpu_count()} processors")
    if options.write:
        write_between_markers(PAGE, "alerts", "\n".join(lines) + "\n")
    return 0 if (bulk[0], bulk[2]) == (1, 1) and _quantile(times, 0.99) <= PROMISED_SECONDS else 1


def _measure_bulk(project: Project, inbox: TimedInbox, count: int) -> tuple[int, float, int, float]:
    """Let jobs fail and complete; return the mails of each kind, and the seconds to the first of them."""
    project.client.table("job_alert_rules").insert({"condition": "failed"}).execute()
    project.sql.execute(BULK, [count])
    _wait_for_ends(project, "failed", count)
    until(lambda: _total(project) == count, "one alert counts all failures", PATIENCE_SECONDS)
    until(lambda: inbox.arrived, "the mail arrives", PATIENCE_SECONDS)
    failed_at = project.rows(LAST_END, "failed")[0]["at"]
    project.sql.execute(BETTER)
    project.rows(AGAIN)
    _wait_for_ends(project, "completed", count)
    until(lambda: "Recovered" in str(inbox.subjects()), "the recovery arrives", PATIENCE_SECONDS)
    _evaluate(project, 2)  # whatever else would be sent is queued by now
    until(lambda: not project.rows("select from public.job_alert_deliveries where status = 'queued'"), "all is sent")
    firing, recovered = ([at for at, subject in inbox.arrived if word in subject] for word in ("iring", "Recovered"))
    completed_at = project.rows(LAST_END, "completed")[0]["at"]
    project.sql.execute(EMPTY)
    return len(firing), firing[0] - failed_at, len(recovered), recovered[0] - completed_at


def _measure_singles(project: Project, inbox: TimedInbox, count: int, every: float) -> list[float]:
    """Let jobs fail one after the other; return the seconds from each end to its mail, ascending."""
    inbox.arrived.clear()
    project.sql.execute(SINGLES, [every, count])
    project.sql.execute(RULES)
    until(lambda: len(inbox.arrived) >= count, "every mail arrives", PATIENCE_SECONDS + count * every)
    ends = {row["job"]: row["at"] for row in project.rows(ENDS)}
    mailed = {int(re.search(r"\(job (\d+)\)", subject)[1]): at for at, subject in inbox.arrived}
    assert mailed.keys() == ends.keys(), "each failure has its mail"
    return sorted(mailed[job] - at for job, at in ends.items())


def _total(project: Project) -> int:
    alerts = project.rows("select occurrences from public.job_alerts")
    return alerts[0]["occurrences"] if len(alerts) == 1 else 0


def _wait_for_ends(project: Project, status: str, count: int) -> None:
    until(lambda: project.rows(ENDED, status)[0]["jobs"] >= count, f"{count} jobs have {status}", PATIENCE_SECONDS)


def _evaluate(project: Project, times: int) -> None:
    """Wait for so many more evaluations."""
    for _ in range(times):
        before = project.rows(EVALUATED)
        until(lambda before=before: project.rows(EVALUATED) != before, "the rules are evaluated", PATIENCE_SECONDS)


def _quantile(ascending: Sequence[float], part: float) -> float:
    return ascending[min(len(ascending) - 1, int(part * len(ascending)))]


if __name__ == "__main__":
    sys.exit(main())
