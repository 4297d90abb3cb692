"""A handler that sends an HTTP request to a URL."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import anyio
import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl
from pydantic_core import from_json

from listener import Fail, JobContext, Retry, handler
from listener.handlers._egress import private_client, public_client

if TYPE_CHECKING:
    from datetime import datetime

MAX_BODY_BYTES = 8 * 1024
MAX_HEADERS, MAX_HEADER_CHARACTERS = 100, 8 * 1024
MAX_RETRY_AFTER_SECONDS = 24 * 3600.0
"""The longest delay that a server may request."""
CLOSE_SECONDS = 1.0
RETRYABLE = frozenset({408, 425, 429})
SERVER_ERRORS = range(500, 600)
SUCCESS = range(200, 300)
KEPT_HEADERS = ("content-type", "content-length", "content-encoding", "location", "retry-after", "x-request-id")
OUR_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "upgrade"})
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if len(name) + len(value) > MAX_HEADER_CHARACTERS:
            message = f"{name[:40]!r} has more than {MAX_HEADER_CHARACTERS} characters"
            raise ValueError(message)
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            message = f"{name!r} is no header that can be sent: names are tokens, values printable ASCII"
            raise ValueError(message)
        if name.lower() in OUR_HEADERS:
            message = f"{name!r} is the connection's own"
            raise ValueError(message)
    return headers


class Call(BaseModel):
    """The request to send, and the answers that count as success."""

    model_config = ConfigDict(extra="forbid")

    url: HttpUrl
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: Annotated[dict[str, str], AfterValidator(_sendable)] = Field(
        default_factory=dict, max_length=MAX_HEADERS, json_schema_extra={"secret": "by_name"}
    )
    body: Any = Field(default=None, description="sent as JSON; a text is sent as it is when headers name its type")
    timeout_seconds: float = Field(default=30, gt=0, le=300)
    expected_status: int | Annotated[list[int], Field(max_length=100)] | None = Field(
        default=None, description="any 2xx when absent"
    )

    def expects(self, status: int) -> bool:
        """Return whether an answer's status is a success."""
        if self.expected_status is None:
            return status in SUCCESS
        return status in ([self.expected_status] if isinstance(self.expected_status, int) else self.expected_status)


@handler("webhook", timeout=310)
async def webhook(job: JobContext, payload: Call) -> dict[str, Any]:
    """Send an HTTP request; a 408, 425, 429, 5xx or a broken connection is tried again."""
    request = _request(job, payload)
    if job.test_mode:
        return {"test_mode": True, "would_send": _shown(request, payload)}
    client = await job.shared(private_client if job.options.get("webhook_allow_private") else public_client)
    try:
        with anyio.fail_after(payload.timeout_seconds):
            answer, body = await _exchange(client, request)
    except TimeoutError as error:
        raise Retry(message=f"no answer within {payload.timeout_seconds:g} s") from error
    except httpx.TransportError as error:
        raise Retry(message=f"{type(error).__name__}: {error}") from error
    return _judged(payload, answer, body, job.now())


def _request(job: JobContext, payload: Call) -> httpx.Request:
    headers = httpx.Headers({"user-agent": "supabase-job-listener", **payload.headers})
    headers["x-job-id"], headers["x-execution-id"] = str(job.job_id), job.execution_id
    headers["x-attempt"], headers["idempotency-key"] = str(job.attempt), job.idempotency_key
    headers["accept-encoding"] = "identity"  # a small compressed answer could be a very large one
    if isinstance(payload.body, str) and "content-type" in headers:
        return httpx.Request(payload.method, str(payload.url), headers=headers, content=payload.body)
    return httpx.Request(payload.method, str(payload.url), headers=headers, json=payload.body)


def _shown(request: httpx.Request, payload: Call) -> dict[str, Any]:
    """Show the request that would be sent, without the keys: readers of the ledger may not know them."""
    ours = ("x-job-id", "x-execution-id", "x-attempt", "idempotency-key", "content-type")
    headers = {name: value if name in ours else "…" for name, value in request.headers.items()}
    return {"method": request.method, "url": _place(request.url), "headers": headers, "body": payload.body}


async def _exchange(client: httpx.AsyncClient, request: httpx.Request) -> tuple[httpx.Response, bytes]:
    """Send the request; read the part of the answer that is kept, and one byte more to detect a longer one."""
    answer = await client.send(request, stream=True)
    body = b""
    try:
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
    finally:
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await answer.aclose()
    return answer, body


def _judged(payload: Call, answer: httpx.Response, body: bytes, now: datetime) -> dict[str, Any]:
    status = answer.status_code
    if payload.expects(status):
        return _result(answer, body)
    text = body[:200].decode("utf-8", "replace")
    message = f"{payload.method} {_place(answer.request.url)} answered {status} {answer.reason_phrase}: {text}"
    if status in RETRYABLE or status in SERVER_ERRORS:
        raise Retry(after=retry_after(answer.headers.get("retry-after"), now), message=message)
    if answer.has_redirect_location:
        message = f"{message} (redirects are not followed; it points to {answer.headers['location']})"
    raise Fail(reason=f"http_{status}", message=message)


def _result(answer: httpx.Response, body: bytes) -> dict[str, Any]:
    headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
    truncated = len(body) > MAX_BODY_BYTES
    text = body[:MAX_BODY_BYTES].decode("utf-8", "ignore" if truncated else "replace")
    is_json = "json" in answer.headers.get("content-type", "") and not truncated
    return {
        "status": answer.status_code,
        "headers": headers,
        "body": _parsed(text) if is_json else text,
        "truncated": truncated,
    }


def _place(url: httpx.URL) -> str:
    """Show a URL without the parts that often are a key: the user, the password, and the query."""
    return str(url.copy_with(username="", password="", query=None)) + ("?…" if url.query else "")


def _parsed(text: str) -> Any:  # noqa: ANN401 - JSON of somebody else
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
