"""HTTP exchanges of handlers: answers of bounded size, and which of them ask for another attempt."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import httpx
from pydantic_core import from_json

from listener import Fail, Retry
from listener.api_key import key_headers
from listener.distribution import NAME
from listener.supabase.admitted_transport import AdmittedTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from listener import JobContext

MAX_BODY_BYTES = 8 * 1024
MAX_RETRY_AFTER_SECONDS = 24 * 3600.0
"""The longest delay that a server may request."""
CLOSE_SECONDS = 1.0
CONNECTIONS = 50
SUCCESS = range(200, 300)
AGENT = {"user-agent": NAME}
RETRYABLE = frozenset({408, 425, 429})
SERVER_ERRORS = range(500, 600)
KEPT_HEADERS = ("content-type", "content-length", "content-encoding", "location", "retry-after", "x-request-id")


def identity_headers(job: JobContext) -> dict[str, str]:
    """Return the headers that name the job, the run, the attempt and the trace, and ask for no compressed answer."""
    trace = {"traceparent": job.traceparent} if job.traceparent else {}
    return {
        **trace,
        "x-job-id": str(job.job_id),
        "x-execution-id": job.execution_id,
        "x-attempt": str(job.attempt),
        "idempotency-key": job.idempotency_key,
        "accept-encoding": "identity",  # a small compressed answer could be a very large one
    }


def project_request(job: JobContext, path: str, body: Any, headers: dict[str, str]) -> httpx.Request:  # noqa: ANN401 - JSON
    """Return a POST to a path of the project, with the service's key; a secret key is no JWT, and no bearer token."""
    url, key = str(job.client.supabase_url).rstrip("/"), str(job.client.supabase_key)
    return httpx.Request("POST", f"{url}/{path}", headers={**AGENT, **headers, **key_headers(key)}, json=body)


@asynccontextmanager
async def provider_client() -> AsyncIterator[httpx.AsyncClient]:
    """Open a client for hosts that the operator named: it may reach any address, and follows no redirect."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS // 2)
    transport = partial(httpx.AsyncHTTPTransport, http2=False, limits=limits, trust_env=False)
    async with httpx.AsyncClient(
        transport=AdmittedTransport(CONNECTIONS, transport),
        follow_redirects=False,
        trust_env=False,
        timeout=None,  # noqa: S113 - each exchange has its own limit
    ) as client:
        yield client


async def exchange(
    client: httpx.AsyncClient, request: httpx.Request, timeout_seconds: float, most: int = MAX_BODY_BYTES
) -> tuple[httpx.Response, bytes]:
    """Send a request; return the answer and its body, of which little more than `most` bytes are read.

    Raises:
        Retry: no answer in time, or a broken connection.
    """
    try:
        with anyio.fail_after(timeout_seconds):
            return await _read(client, request, most)
    except TimeoutError as error:
        raise Retry(message=f"no answer within {timeout_seconds:g} s") from error
    except httpx.TransportError as error:
        raise Retry(message=f"{type(error).__name__}: {error}") from error


async def _read(client: httpx.AsyncClient, request: httpx.Request, most: int) -> tuple[httpx.Response, bytes]:
    answer = await client.send(request, stream=True)
    body = b""
    try:
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > most:
                break
    finally:
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await answer.aclose()
    return answer, body


def raise_refusal(answer: httpx.Response, body: bytes, now: datetime) -> None:
    """End the attempt for an answer that is no success.

    Raises:
        Retry: 408, 425, 429 or 5xx, after `Retry-After` if the server sent it.
        Fail: any other status; the reason is `http_404` and the like.
    """
    status, request = answer.status_code, answer.request
    text = body[:200].decode("utf-8", "replace")
    message = f"{request.method} {place(request.url)} answered {status} {answer.reason_phrase}: {text}"
    if status in RETRYABLE or status in SERVER_ERRORS:
        raise Retry(after=retry_after(answer.headers.get("retry-after"), now), message=message)
    if answer.has_redirect_location:
        message = f"{message} (redirects are not followed; it points to {answer.headers['location']})"
    raise Fail(reason=f"http_{status}", message=message)


def result_of(answer: httpx.Response, body: bytes) -> dict[str, Any]:
    """Return `status`, `headers`, `body` (JSON where it is JSON) and `truncated` of an answer, for the ledger."""
    headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
    truncated = len(body) > MAX_BODY_BYTES
    text = body[:MAX_BODY_BYTES].decode("utf-8", "ignore" if truncated else "replace")
    is_json = "json" in answer.headers.get("content-type", "") and not truncated
    return {
        "status": answer.status_code,
        "headers": headers,
        "body": parsed(text) if is_json else text,
        "truncated": truncated,
    }


def place(url: httpx.URL) -> str:
    """Show a URL without the parts that often are a key: the user, the password, and the query."""
    return str(url.copy_with(username="", password="", query=None)) + ("?…" if url.query else "")


def parsed(text: str) -> Any:  # noqa: ANN401 - JSON of somebody else
    """Return a text's JSON value, or the text where it is none."""
    try:
        return from_json(text)
    except ValueError:
        return text


def retry_after(header: str | None, now: datetime) -> float | None:
    """Read `Retry-After`, seconds or a date, as seconds from now; None when it is absent or invalid."""
    if header is None:
        return None
    if re.fullmatch(r"\d{1,12}", header.strip()):
        return min(float(header), MAX_RETRY_AFTER_SECONDS)
    try:
        seconds = (parsedate_to_datetime(header) - now).total_seconds()
    except (TypeError, ValueError):  # no date, or one without a zone
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
