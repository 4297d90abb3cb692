"""The ten endpoints."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query
from pydantic import ValidationError

from listener.client import Job, JobStatus
from newsletter_app.access import Newsletter, Scheduler
from newsletter_app.mapping import HANDLER, answer, changed_columns, schedule_columns
from newsletter_app.models import (
    HistoryEntry,
    NewsletterAnswer,
    NewsletterCreate,
    NewsletterUpdate,
    RunNow,
    RunStarted,
    Statistics,
    Status,
)

router = APIRouter(prefix="/api/v1/scheduler", tags=["scheduler"])
REST = RunNow()


@router.post("", status_code=201)
async def create(new: NewsletterCreate, own: Scheduler) -> NewsletterAnswer:
    """Schedule a newsletter in a workspace that the caller may write to."""
    columns = {
        **schedule_columns(new),
        "workspace_id": str(new.workspace_id),
        "name": new.name,
        "description": new.description,
        "timezone": new.timezone,
        "test_mode": new.test_mode,
        "metadata": {"actions": new.actions, "config": new.config.model_dump()},
    }
    return answer(await own.schedule_job(HANDLER, **columns))


@router.get("/workspace/{workspace_id}")
async def list_by_workspace(workspace_id: UUID, own: Scheduler, status: Status | None = None) -> list[NewsletterAnswer]:
    """List the newsletters of a workspace; somebody else's is empty."""
    jobs = await own.list_jobs(workspace_id=str(workspace_id), handler=HANDLER)
    return [shown for job in jobs if status in {None, (shown := answer(job)).status}]


@router.get("/{newsletter_id}")
async def get(job: Newsletter) -> NewsletterAnswer:
    """Show a newsletter."""
    return answer(job)


@router.put("/{newsletter_id}")
async def update(job: Newsletter, change: NewsletterUpdate, own: Scheduler) -> NewsletterAnswer:
    """Change a newsletter: a new time applies at once."""
    try:
        columns = changed_columns(job, change)
    except ValidationError as error:
        raise HTTPException(422, error.errors(include_url=False, include_context=False)) from error
    if columns:
        job = await own.update_job(job, **columns)
    return answer(await move(job, change.status, own) if change.status else job)


async def move(job: Job, status: Status, own: Scheduler) -> Job:
    """Pause, resume or disable; a disabled one that becomes active is scheduled again."""
    if status is Status.PAUSED:
        return await own.pause_job(job)
    if status is Status.DISABLED:
        return await own.cancel_job(job)
    if job.is_final:
        return await own.update_job(job, status=JobStatus.SCHEDULED)
    return await own.resume_job(job)


@router.delete("/{newsletter_id}", status_code=204)
async def delete(job: Newsletter, own: Scheduler) -> None:
    """Delete a newsletter and its history."""
    await own.delete_job(job)


@router.post("/{newsletter_id}/pause")
async def pause(job: Newsletter, own: Scheduler) -> NewsletterAnswer:
    """Pause a newsletter; an issue under way goes on to its end."""
    return answer(await own.pause_job(job))


@router.post("/{newsletter_id}/resume")
async def resume(job: Newsletter, own: Scheduler) -> NewsletterAnswer:
    """Let a paused newsletter continue."""
    return answer(await own.resume_job(job))


@router.post("/{newsletter_id}/run-now", status_code=202)
async def run_now(job: Newsletter, own: Scheduler, how: RunNow = REST) -> RunStarted:
    """Run it once, whatever its schedule and status; with `test_mode` it rehearses."""
    run = await own.run_job_now(job, test_mode=how.test_mode)
    return RunStarted(execution_id=run.id, status=run.status, test_mode=run.test_mode)


@router.get("/{newsletter_id}/history")
async def history(
    job: Newsletter, own: Scheduler, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> list[HistoryEntry]:
    """Show the latest runs, latest first, each with the results of its actions."""
    runs = await own.get_history(job, limit=limit)
    table = own.client.table("newsletter_action_results").select("*").in_("execution_id", [str(run.id) for run in runs])
    results = (await table.order("id").execute()).data if runs else []
    entries = []
    for run in runs:
        own_results = [row for row in results if row["execution_id"] == str(run.id)]
        entries.append(HistoryEntry(execution_id=run.id, actions=own_results, **run.model_dump(exclude={"id"})))
    return entries


@router.get("/{newsletter_id}/stats")
async def stats(job: Newsletter, own: Scheduler) -> Statistics:
    """Count a newsletter's runs."""
    return Statistics(**(await own.get_statistics(job)).model_dump())
