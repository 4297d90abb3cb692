"""The admin of the library, with a token of her own: lists, enables, disables, runs and inspects its jobs."""

import os
import sys
import time

from listener.client import Job, SupabaseJobScheduler


def show(job: Job) -> None:
    """Print a job's schedule and how it does."""
    state = "disabled" if job.status == "paused" else "enabled"
    runs = f"{job.successful_runs} of {job.total_runs} runs succeeded"
    print(f"{job.job_id:20}{job.schedule['expression']:14}{state:10}{runs}")


def run(library: SupabaseJobScheduler, name: str, *, test_mode: bool) -> None:
    """Run a job now, and print what came of it."""
    execution = library.run_job_now(name, test_mode=test_mode)
    while not execution.is_final:
        time.sleep(0.05)
        execution = library.get_execution(execution)
    print(f"{name:20}{execution.status}", execution.result or execution.error)
    for line in library.get_logs(execution):
        print(f"{'':20}{line.level}: {line.message}", *line.fields.values())


def main(command: str, *names: str) -> None:
    """Do what the command says: list, enable, disable, run, rehearse or history, and the names of jobs."""
    access = {"key": os.environ["SUPABASE_ANON_KEY"], "access_token": os.environ["USER_TOKEN"]}
    with SupabaseJobScheduler(**access) as anywhere:
        [workspace] = anywhere.client.table("job_workspaces").select("id").eq("name", "Library").execute().data
    with SupabaseJobScheduler(workspace_id=workspace["id"], **access) as library:
        if command == "list":
            for job in library.list_jobs():
                if not names or job.job_id in names:
                    show(job)
        for name in names if command != "list" else ():
            if command == "enable":
                show(library.resume_job(name))
            elif command == "disable":
                show(library.pause_job(name))
            elif command == "history":
                for execution in library.get_history(name):
                    print(f"{name:20}{execution.status} {execution.cause}, test mode {execution.test_mode}")
            else:
                run(library, name, test_mode=command == "rehearse")


if __name__ == "__main__":
    main(*sys.argv[1:])
