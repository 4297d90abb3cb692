"""The application: `uvicorn meetings_app.main:app`."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

import anyio
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from postgrest.exceptions import APIError
from pydantic import BaseModel

from listener.client import AsyncSchedulerService, AsyncSupabaseJobScheduler
from meetings_app.startup import Start, check_meetings

NO_SUCH_VALUE = ("22", "23")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Serve at once; the check of the meetings goes on beside it."""
    app.state.start, app.state.completed = Start(), set()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(check_meetings, app.state.start)
        yield
        tasks.cancel_scope.cancel()


app = FastAPI(title="Meetings", lifespan=lifespan)


class Meeting(BaseModel):
    """A meeting."""

    title: str
    start_time: datetime
    end_time: datetime


async def scheduler(
    bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
) -> AsyncIterator[AsyncSupabaseJobScheduler]:
    """Open a scheduler with the caller's token: every endpoint for users is under row level security."""
    url, key = os.environ["SUPABASE_URL"], os.environ["SUPABASE_ANON_KEY"]
    async with AsyncSupabaseJobScheduler(url=url, key=key, access_token=bearer.credentials) as own:
        yield own


Scheduler = Annotated[AsyncSupabaseJobScheduler, Depends(scheduler)]


@app.exception_handler(APIError)
async def say_what_was_refused(_: Request, error: APIError) -> JSONResponse:
    """Answer with the database's message."""
    code = str(error.code)
    status = 422 if code.startswith(NO_SUCH_VALUE) else 401 if code.startswith("PGRST30") else 403
    return JSONResponse({"detail": error.message}, status)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the app serves."""
    return {"status": "ok"}


@app.post("/meetings", status_code=201)
async def create(meeting: Meeting, own: Scheduler) -> dict[str, Any]:
    """Insert a meeting of the caller's; its job follows the row by itself."""
    return (await own.client.table("meetings").insert(meeting.model_dump(mode="json")).execute()).data[0]


@app.get("/meetings/{meeting_id}")
async def get(meeting_id: str, own: Scheduler) -> dict[str, Any]:
    """Show a meeting of the caller's, and its job."""
    rows = (await own.client.table("meetings").select("*").eq("id", meeting_id).execute()).data
    if not rows:
        raise HTTPException(404)
    job = await own.get_job(f"meeting-status:{meeting_id}")
    return {**rows[0], "job": job and {"status": job.status, "next_run_at": job.next_run_at}}


@app.get("/debug/scheduler")
async def debug(own: Scheduler) -> dict[str, Any]:
    """Show how the start's check stands, what the hook heard, and the coming jobs that the caller may see."""
    jobs = await AsyncSchedulerService(own).get_scheduled_jobs()
    return {"start": app.state.start.shown(), "completed": len(app.state.completed), "jobs": jobs}


@app.post("/hooks/meeting-completed")
async def meeting_completed(
    body: dict[str, Any], x_hook_token: Annotated[str, Header()], idempotency_key: Annotated[str, Header()]
) -> dict[str, bool]:
    """Take the webhook of a meeting whose job has completed; its key shows a repetition, which changes nothing."""
    if not secrets.compare_digest(x_hook_token, os.environ["HOOK_TOKEN"]):
        raise HTTPException(403)
    new = idempotency_key not in app.state.completed
    app.state.completed.add(idempotency_key)
    if new:
        print(f"{body['title']} has ended", flush=True)
    return {"new": new}
