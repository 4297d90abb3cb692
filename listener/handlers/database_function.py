"""A handler that calls a PostgreSQL function through PostgREST."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from listener import Fail, JobContext, Retry, handler
from listener.handlers._delivery import TEST_MODE, setting
from listener.handlers._http import SUCCESS, exchange, identity_headers, parsed, project_request, provider_client

TIMEOUT_SECONDS = 300.0
MAX_RESULT_BYTES = 256 * 1024
"""As much as the ledger keeps of a result; of a longer one the function's answer is kept as text, cut."""
TRANSIENT = frozenset({"40001", "40P01", "55P03", "57014", "53300", "PGRST000", "PGRST001", "PGRST002", "PGRST003"})
"""SQLSTATEs and PostgREST's codes for conflicts, locks, limits and lost connections, which pass."""


class DatabaseCall(BaseModel):
    """A function of the database, and its arguments."""

    model_config = ConfigDict(extra="forbid")

    function: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$", description="of LISTENER_DATABASE_FUNCTIONS")
    arguments: dict[str, Any] = Field(default_factory=dict, max_length=100)


@handler("database_function", timeout=310)
async def database_function(job: JobContext, payload: DatabaseCall) -> Any:  # noqa: ANN401 - what the function returns
    """Call a PostgreSQL function that the operator allowed, and return what it returns."""
    allowed = setting(job, "database_functions", "LISTENER_DATABASE_FUNCTIONS")
    if payload.function not in allowed:
        names = ", ".join(sorted(allowed))
        message = f"metadata.function: {payload.function!r} is not in LISTENER_DATABASE_FUNCTIONS, which has {names}"
        raise Fail(reason="forbidden_function", message=message)
    if job.test_mode:
        return {**TEST_MODE, "would_call": {"function": payload.function, "arguments": payload.arguments}}
    path = f"rest/v1/rpc/{payload.function}"
    request = project_request(job, path, payload.arguments, identity_headers(job))
    answer, body = await exchange(await job.shared(provider_client), request, TIMEOUT_SECONDS, MAX_RESULT_BYTES)
    value = parsed(body.decode("utf-8", "replace")) if body else None
    if answer.status_code in SUCCESS:
        return value
    error = value if isinstance(value, dict) else {}
    code, message = str(error.get("code") or answer.status_code), f"{payload.function}: {error.get('message')}"
    if code in TRANSIENT or code.startswith("08") or not error:
        raise Retry(message=f"{message} ({code})")
    raise Fail(reason=f"database_{code.lower()}", message=f"{message} ({code})")
