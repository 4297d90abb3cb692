"""The services of others that the jobs ask: at LIBRARY_PROVIDER_URL."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from listener import Fail, JobContext, Retry

SECONDS = 10.0
TRY_AGAIN = {408, 425, 429}
SERVER_ERRORS = 500


@asynccontextmanager
async def provider() -> AsyncIterator[httpx.AsyncClient]:
    """Open one client for all runs."""
    url = os.environ.get("LIBRARY_PROVIDER_URL")
    if not url:
        raise Fail(reason="not_configured", message="LIBRARY_PROVIDER_URL is not set")
    async with httpx.AsyncClient(base_url=url, timeout=SECONDS) as client:
        yield client


async def ask(job: JobContext, method: str, path: str, **fields: object) -> httpx.Response:
    """Send a request; an answer that says "later", or none, is tried again with the job's back-off.

    Raises:
        Retry: no answer, or one that asks for another attempt.
        Fail: no provider is configured.
    """
    client = await job.shared(provider)
    try:
        answer: httpx.Response = await client.request(method, path, **fields)
    except httpx.TransportError as error:
        raise Retry(message=f"{method} {path}: {type(error).__name__}") from error
    if answer.status_code in TRY_AGAIN or answer.status_code >= SERVER_ERRORS:
        raise Retry(message=f"{method} {path} answered {answer.status_code}")
    return answer
