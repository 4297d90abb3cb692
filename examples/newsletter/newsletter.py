"""The app: two workspaces, each with its issue in its own time zone; tries one, pauses the other, looks at what ran."""

import os
import time
from zoneinfo import ZoneInfo

from listener.client import Execution, Job, SupabaseJobScheduler

WEEKLY = [
    ("Databases weekly", "databases", "Europe/Berlin", {"time": "08:00", "days": ["monday"]}),
    ("Garden letters", "gardens", "America/New_York", {"time": "09:30", "days": ["saturday"]}),
]


def due(scheduler: SupabaseJobScheduler, job: Job) -> str:
    """Return when the next issue comes, in its readers' zone; the listener plans it a moment after the insert."""
    while job.next_run_at is None:
        time.sleep(0.05)
        [job] = scheduler.list_jobs(id=job.id)
    return f"{job.next_run_at.astimezone(ZoneInfo(job.timezone)):%A %H:%M} in {job.timezone}"


def ended(scheduler: SupabaseJobScheduler, run: Execution) -> Execution:
    """Wait for the end of a run."""
    while not run.is_final:
        time.sleep(0.05)
        run = scheduler.get_execution(run)
    return run


def main() -> None:
    """Plan, try, send, pause, resume, count."""
    with SupabaseJobScheduler(key=os.environ["SUPABASE_ANON_KEY"], access_token=os.environ["USER_TOKEN"]) as scheduler:
        workspaces = scheduler.client.table("job_workspaces")
        issues = []
        for name, topic, zone, schedule in WEEKLY:
            [workspace] = workspaces.insert({"name": name}).execute().data
            metadata = {"topic": topic, "readers": ["ada@example.com", "grace@example.com"]}
            where = {"workspace_id": workspace["id"], "name": name}
            issues.append(
                scheduler.schedule_recurring(
                    "newsletter_issue", "weekly", schedule=schedule, timezone=zone, metadata=metadata, columns=where
                )
            )
            print(f"{name}: {due(scheduler, issues[-1])}")
        databases, gardens = issues
        trial = ended(scheduler, scheduler.run_job_now(databases, test_mode=True))
        print("trial:", *(line.message for line in scheduler.get_logs(trial)), trial.result["would_send"], sep="\n  ")
        issue = ended(scheduler, scheduler.run_job_now(databases))
        print(f"{issue.status} at {issue.progress:.0%}: {issue.result['readers']} readers")
        print(f"gardens {scheduler.pause_job(gardens).status}, then {scheduler.resume_job(gardens).status} again")
        print("history:", [(run.status.value, run.test_mode) for run in reversed(scheduler.get_history(databases))])
        print(f"{scheduler.get_statistics(databases).success_rate:.0%} of the runs went well")


if __name__ == "__main__":
    main()
