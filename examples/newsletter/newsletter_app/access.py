"""Access: each request acts with its caller's token, under row level security; the app has no key of the service."""

import os
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import Depends, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from supabase import AsyncClient, AsyncClientOptions

from listener.client import AsyncSupabaseJobScheduler, Job, JobExists, JobFault, JobForbidden, JobNotFound, JobRefused
from listener.client.errors import Unreachable
from newsletter_app.mapping import HANDLER

STATUSES = {JobNotFound: 404, JobExists: 409, JobForbidden: 403, JobRefused: 422, Unreachable: 503}
WRONG_TOKEN = {"PGRST301", "PGRST302", "PGRST303"}
SECONDS = 15.0
AUTHORITIES = httpx.create_ssl_context()
"""Read once: it takes longer than a request."""
Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


async def scheduler(bearer: Bearer) -> AsyncIterator[AsyncSupabaseJobScheduler]:
    """Open a scheduler with the caller's token."""
    url, key = os.environ["SUPABASE_URL"], os.environ["SUPABASE_ANON_KEY"]
    headers = {"Authorization": f"Bearer {bearer.credentials}"}
    options = AsyncClientOptions(headers=headers, auto_refresh_token=False, persist_session=False)
    async with httpx.AsyncClient(verify=AUTHORITIES, timeout=SECONDS) as options.httpx_client:
        yield AsyncSupabaseJobScheduler(client=AsyncClient(url, key, options))


Scheduler = Annotated[AsyncSupabaseJobScheduler, Depends(scheduler)]


async def newsletter(newsletter_id: int, own: Scheduler) -> Job:
    """Look the newsletter up that a path names; another's, or another kind of job, is not there."""
    job = await own.get_job(newsletter_id)
    if job is None or job.handler != HANDLER:
        raise HTTPException(404, f"no newsletter {newsletter_id}")
    return job


Newsletter = Annotated[Job, Depends(newsletter)]


async def say_what_was_refused(_: Request, fault: Exception) -> JSONResponse:
    """Answer with the database's message, and the HTTP status that it means."""
    if not isinstance(fault, JobFault):
        raise fault
    wrong_token = fault.code in WRONG_TOKEN
    status = 401 if wrong_token else next((code for kind, code in STATUSES.items() if isinstance(fault, kind)), 500)
    return JSONResponse({"detail": str(fault), "code": fault.code, "hint": fault.hint}, status)
