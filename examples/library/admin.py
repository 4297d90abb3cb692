"""The admin of the library, with a token of her own: lists, enables, disables, runs, rehearses and inspects jobs."""

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


def history(library: SupabaseJobScheduler, name: str) -> None:
    """Print the runs of a job, the latest first."""
    for execution in library.get_history(name):
        print(f"{name:20}{execution.status} {execution.cause}, test mode {execution.test_mode}")


def main(*words: str) -> None:
    """Do what the words say: list, enable, disable, run, rehearse or history, and the names of jobs after each."""
    access = {"key": os.environ["SUPABASE_ANON_KEY"], "access_token": os.environ["USER_TOKEN"]}
    with SupabaseJobScheduler(**access) as anywhere:
        [workspace] = anywhere.client.table("job_workspaces").select("id").eq("name", "Library").execute().data
    with SupabaseJobScheduler(workspace_id=workspace["id"], **access) as library:
        acts = {
            "enable": lambda name: show(library.resume_job(name)),
            "disable": lambda name: show(library.pause_job(name)),
            "run": lambda name: run(library, name, test_mode=False),
            "rehearse": lambda name: run(library, name, test_mode=True),
            "history": lambda name: history(library, name),
        }
        act = acts["run"]
        for word in words:
            if word == "list":
                for job in library.list_jobs(trigger_type="cron"):  # not the mails that were made
                    show(job)
            elif word in acts:
                act = acts[word]
            else:
                act(word)


if __name__ == "__main__":
    main(*sys.argv[1:])
