"""A handler that calls an Edge Function of the project."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from listener import JobContext, handler
from listener.handlers._delivery import TEST_MODE
from listener.handlers._http import (
    SUCCESS,
    exchange,
    identity_headers,
    project_request,
    provider_client,
    raise_refusal,
    result_of,
)
from listener.handlers.webhook import MAX_HEADERS, sendable

OWN_HEADERS = frozenset({"authorization", "apikey"})


def _without_keys(headers: dict[str, str]) -> dict[str, str]:
    taken = sorted(name for name in headers if name.lower() in OWN_HEADERS)
    if taken:
        message = f"{taken[0]!r} is set by the service"
        raise ValueError(message)
    return sendable(headers)


class FunctionCall(BaseModel):
    """An Edge Function, and what it is given."""

    model_config = ConfigDict(extra="forbid")

    function: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$", description="the function's name")
    body: Any = Field(default=None, description="sent as JSON")
    headers: Annotated[dict[str, str], AfterValidator(_without_keys)] = Field(
        default_factory=dict, max_length=MAX_HEADERS, json_schema_extra={"secret": "by_name"}
    )
    timeout_seconds: float = Field(default=150, gt=0, le=400)


@handler("edge_function", timeout=410)
async def edge_function(job: JobContext, payload: FunctionCall) -> dict[str, Any]:
    """Call a Supabase Edge Function with the service's key; 429, 5xx or a broken connection is tried again."""
    if job.test_mode:
        return {**TEST_MODE, "would_send": {"function": payload.function, "body": payload.body}}
    headers = {**payload.headers, **identity_headers(job)}
    request = project_request(job, f"functions/v1/{payload.function}", payload.body, headers)
    answer, body = await exchange(await job.shared(provider_client), request, payload.timeout_seconds)
    if answer.status_code not in SUCCESS:
        raise_refusal(answer, body, job.now())
    return result_of(answer, body)
