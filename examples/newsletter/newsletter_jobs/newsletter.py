"""Runs a newsletter's actions one after another, and writes the result of each as it ends.

Another attempt takes up what an earlier one has completed, so a mail server that is down costs no second scraping.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from listener import Fail, JobContext, handler
from newsletter_jobs.generate import generate
from newsletter_jobs.payload import Newsletter
from newsletter_jobs.scrape import scrape
from newsletter_jobs.send import send

Results = dict[str, Any]
ACTIONS: dict[str, Callable[[JobContext, Newsletter, Results], Awaitable[dict[str, Any]]]] = {
    "scrape": scrape,
    "generate": generate,
    "send": send,
}


@handler("newsletter", timeout=600, max_attempts=4, exposed=True)
async def newsletter(job: JobContext, payload: Newsletter) -> Results:
    """Scrape, generate and send for the job's workspace; exposed, for it reads and writes nothing of any other."""
    if job.row["workspace_id"] is None:
        raise Fail(reason="no_workspace", message="a newsletter belongs to a workspace")
    results = await completed_before(job) if job.attempt > 1 else {}
    for number, action in enumerate(payload.actions, 1):
        if action not in results:
            try:
                results[action] = await ACTIONS[action](job, payload, results)
            except Exception as error:
                await note(job, action, status="failed", error=f"{type(error).__name__}: {error}"[:2000])
                raise
            await note(job, action, status="completed", result=results[action])
        await job.progress(number / len(payload.actions), f"{action} completed")
    return {action: brief(results[action]) for action in payload.actions}


async def completed_before(job: JobContext) -> Results:
    """Return the results of the actions that an earlier attempt at this due instant completed."""
    table = job.client.table("newsletter_action_results").select("action,result").eq("status", "completed")
    found = table.eq("scheduled_job_id", job.job_id).eq("scheduled_for", job.scheduled_for.isoformat())
    return {row["action"]: row["result"] for row in (await found.execute()).data}


async def note(job: JobContext, action: str, **outcome: Any) -> None:  # noqa: ANN401 - JSON
    """Write how an action ended."""
    row = {
        "workspace_id": job.row["workspace_id"],
        "scheduled_job_id": job.job_id,
        "scheduled_for": job.scheduled_for.isoformat(),
        "execution_id": job.execution_id,
        "attempt": job.attempt,
        "action": action,
        "test_mode": job.test_mode,
        "ended_at": job.now().isoformat(),
        "error": None,
        **outcome,
    }
    table = job.client.table("newsletter_action_results")
    await table.upsert(row, on_conflict="execution_id,action").execute()


def brief(result: dict[str, Any]) -> dict[str, Any]:
    """Shorten a result for the ledger: the whole one is in the table of its own."""
    return {key: len(value) if isinstance(value, list) else value for key, value in result.items() if key not in LONG}


LONG = {"html", "text"}
