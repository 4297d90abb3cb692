"""Calls of the scheduler's SQL functions through PostgREST: one request, one transaction, one JSON answer.

supabase-py's own `rpc` loses the HTTP status of an error and retries by rules of its own, so this is plain httpx with
the same key; what may be retried is decided here, by the table below.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
from pydantic_core import from_json, to_json

from listener.errors import StoreError

if TYPE_CHECKING:
    from listener.clock import DatabaseClock

TIMEOUTS = httpx.Timeout(15.0, connect=5.0, pool=5.0)
# Measured in the field: PostgREST's own connection faults, too many connections, rate limits.
RETRYABLE_CODES = frozenset(
    [
        "PGRST000",
        "PGRST001",
        "PGRST002",
        "PGRST003",
        "PGRST202",
        "PGRST204",
        "PGRST205",
        "PGRST303",
        "53300",
        "53100",
        "25006",
        "40001",
        "40P01",
        "55P03",
        "57014",
        "57P01",
        "57P02",
        "57P03",
    ]
)
RETRYABLE_CLASSES = ("08", "53", "58")
RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}
SHRINK_CODES = {"57014", "42501"}  # the time limit, which a smaller batch may not reach; a right that one row lacks
SHRINK_CLASSES = ("21", "22", "23", "54", "P0", "XX", "PGRST1")
"""What a row may do to the statement: its values, its constraints, somebody's trigger on it."""
OWN_CODES = re.compile(r"[0-9A-Z]{5}|PGRST\w+")
"""PostgreSQL's and PostgREST's; what stands between here and them has codes of its own, and the status tells more."""


class Rpc:
    """Calls functions as `service_role` and lets the clock learn from the answers.

    Args:
        url: the project's URL.
        key: `sb_secret_…` or the legacy service_role JWT.
        clock: learns the database's time.
    """

    def __init__(self, url: str, key: str, clock: DatabaseClock) -> None:
        self._clock = clock
        headers = {"apikey": key, "Content-Type": "application/json"}
        if not key.startswith("sb_"):  # the new keys are no JWTs: the gateway alone understands them
            headers["Authorization"] = f"Bearer {key}"
        limits = httpx.Limits(max_connections=16, max_keepalive_connections=16, keepalive_expiry=60)
        self._http = httpx.AsyncClient(
            base_url=f"{url}/rest/v1/rpc/", headers=headers, timeout=TIMEOUTS, limits=limits, http2=False
        )

    async def call(self, function: str, request: dict[str, Any]) -> Any:  # noqa: ANN401 - the function's own JSON
        """Call `function` with its one argument.

        Raises:
            StoreError: the request did not succeed; it says whether it may later.
        """
        content = _content(function, request)
        asked_at = self._clock.monotonic()
        try:
            response = await self._http.post(function, content=content)
        except httpx.HTTPError as fault:
            # Every function is idempotent, so an answer that got lost may be asked for again.
            raise StoreError(function, type(fault).__name__, str(fault), retryable=True) from fault
        answered_at = self._clock.monotonic()
        if not response.is_success:
            raise _error(function, response)
        answer = _answer(function, response)
        if answer and "now" in answer:
            self._clock.observe(datetime.fromisoformat(answer["now"]), asked_at, answered_at)
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _content(function: str, request: dict[str, Any]) -> bytes:
    try:
        return to_json({"request": request})
    except ValueError as fault:
        raise StoreError(function, "unserializable", str(fault), retryable=False, shrink=True) from fault


def _answer(function: str, response: httpx.Response) -> Any:  # noqa: ANN401 - the function's own JSON
    """Read the JSON of an answer, if it is the database's and not a page of something on the way to it."""
    try:
        answer = from_json(response.content) if response.content else None
    except ValueError as fault:
        raise StoreError(function, "unreadable", f"{fault}: {response.text[:200]}", retryable=True) from fault
    if answer is not None and not isinstance(answer, dict):
        raise StoreError(function, "unreadable", f"no object: {response.text[:200]}", retryable=True)
    return answer


def _error(function: str, response: httpx.Response) -> StoreError:
    try:
        body = response.json()
        code, message = str(body.get("code") or response.status_code), str(body.get("message") or body)
    except (ValueError, AttributeError):
        code, message = str(response.status_code), response.text[:200]
    if not OWN_CODES.fullmatch(code):
        retryable = response.status_code in RETRYABLE_STATUS
        return StoreError(function, code, message, retryable=retryable)
    retryable = code in RETRYABLE_CODES or code.startswith(RETRYABLE_CLASSES)
    shrink = code in SHRINK_CODES or code.startswith(SHRINK_CLASSES)
    return StoreError(function, code, message, retryable=retryable, shrink=shrink)
