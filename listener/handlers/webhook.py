"""A handler that sends an HTTP request to a URL."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl

from listener import JobContext, handler
from listener.handlers._egress import private_client, public_client
from listener.handlers._http import AGENT, SUCCESS, exchange, identity_headers, place, raise_refusal, result_of

MAX_HEADERS, MAX_HEADER_CHARACTERS = 100, 8 * 1024
OUR_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "upgrade"})
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


def sendable(headers: dict[str, str]) -> dict[str, str]:
    """Accept headers that can be sent and are not the connection's own.

    Raises:
        ValueError: names a header that cannot be sent.
    """
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
    headers: Annotated[dict[str, str], AfterValidator(sendable)] = Field(
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
    answer, body = await exchange(client, request, payload.timeout_seconds)
    if not payload.expects(answer.status_code):
        raise_refusal(answer, body, job.now())
    return result_of(answer, body)


def _request(job: JobContext, payload: Call) -> httpx.Request:
    headers = httpx.Headers({**AGENT, **payload.headers})
    headers.update(identity_headers(job))
    if isinstance(payload.body, str) and "content-type" in headers:
        return httpx.Request(payload.method, str(payload.url), headers=headers, content=payload.body)
    return httpx.Request(payload.method, str(payload.url), headers=headers, json=payload.body)


def _shown(request: httpx.Request, payload: Call) -> dict[str, Any]:
    """Show the request that would be sent, without the keys: readers of the ledger may not know them."""
    ours = ("x-job-id", "x-execution-id", "x-attempt", "idempotency-key", "content-type", "traceparent")
    headers = {name: value if name in ours else "…" for name, value in request.headers.items()}
    return {"method": request.method, "url": place(request.url), "headers": headers, "body": payload.body}
