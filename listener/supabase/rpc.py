"""Calls the scheduler's SQL functions: one request, one transaction, one JSON answer; by default through PostgREST.

supabase-py's own `rpc` loses the HTTP status of an error and retries by rules of its own, so this is plain HTTP with
the same key, by aiohttp, which takes a tenth of httpx's processor time. A call has a time limit that suits it, and is
hedged: one that hangs is repeated meanwhile on a fresh connection. The caller decides by the error what follows.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio
import structlog
from pydantic_core import from_json, to_json

from listener.api_key import key_headers
from listener.errors import StoreError
from listener.observability.events import Event
from listener.supabase import error_codes
from listener.supabase.hedging import FAULTS, SUCCESS, Connections, Durations, hedged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from listener.clock import DatabaseClock
    from listener.supabase.hedging import Transport

CALL_SECONDS = 15.0
"""More than the eight seconds that Supabase grants a statement, and less than half a lease."""
OWN_SECONDS = {
    "leave_v1": 5.0,  # the process is going
    "clean_ledger_v1": 60.0,  # nobody waits for them
    "evaluate_alerts_v1": 60.0,
    "sync_sources_v1": 60.0,
}
"""Other time limits, by function."""
NOT_REPEATED = frozenset(OWN_SECONDS) | {"mute_v1", "publish_handlers_v1", "rescue_runs_v1", "send_probe_v1"}
"""Functions that take long, that are called again soon anyway, or that do more when called twice."""
CONNECT_SECONDS = 5.0
"""How long a call may wait for a connection, old or new."""
CONNECTIONS, IDLE_SECONDS = 16, 60.0
BOUNDED_SECONDS = 60.0
"""By then an outdated schema cache has been loaded anew."""
OPERATOR_NOTICE_SECONDS = 60.0


def ignore(_function: str, _fault: StoreError | None) -> None:
    """Ignore the result."""


class Calls:
    """Calls functions as `service_role` and lets the clock learn from the answers.

    Args:
        make: opens the connections; they are used and closed in one event loop.
        clock: learns the database's time.
        answered: called after each call, with its function, and the fault or None.
        within_seconds: time limits of functions that must answer sooner.
    """

    def __init__(
        self,
        make: Callable[[], Transport],
        clock: DatabaseClock,
        answered: Callable[[str, StoreError | None], None] = ignore,
        within_seconds: Mapping[str, float] | None = None,
    ) -> None:
        self._clock, self._answered = clock, answered
        self._within_seconds = {**OWN_SECONDS, **(within_seconds or {})}
        self._failing_since: dict[str, float] = {}
        self._reported_at: dict[str, float] = {}
        self._log = structlog.get_logger("rpc")
        self._connections = Connections(make)
        self._durations = Durations()

    async def call(
        self,
        function: str,
        request: dict[str, Any],
        *fields: str,
        repetition: Callable[[], dict[str, Any]] | None = None,
    ) -> Any:  # noqa: ANN401 - its own JSON
        """Call `function` with its one argument; its answer has these `fields`, or it is not the database's.

        A call that hangs is repeated on a fresh connection, with `repetition()` in place of `request` if there is one.

        Raises:
            StoreError: the request did not succeed; it says whether it may later.
        """
        try:
            answer = await self._call(function, request, repetition or (lambda: request), fields)
        except StoreError as fault:
            self._failing_since.setdefault(function, self._clock.monotonic())
            self._report_operator_needed(fault)
            self._answered(function, fault)
            raise
        self._failing_since.pop(function, None)
        self._answered(function, None)
        return answer

    async def _call(
        self,
        function: str,
        request: dict[str, Any],
        repetition: Callable[[], dict[str, Any]],
        fields: Collection[str],
    ) -> Any:  # noqa: ANN401 - as above
        content, pool = _content(function, request), self._connections.current()

        async def attempt(number: int) -> tuple[int, bytes, float]:
            requested_at = self._clock.monotonic()
            if number == 0:
                return *await self._post(pool, function, content), requested_at
            again = _content(function, repetition())
            status, body = await self._post(self._connections.other_than(pool), function, again)
            if status not in SUCCESS:
                message = f"a repetition was answered {status}"
                raise TimeoutError(message)
            return status, body, requested_at

        pauses = iter(()) if function in NOT_REPEATED else self._durations.pauses(function)
        try:
            with anyio.fail_after(self._within_seconds.get(function, CALL_SECONDS)):
                status, body, requested_at = await hedged(attempt, pauses)
        except FAULTS as fault:
            raise error_codes.of_transport(function, fault) from fault
        answered_at = self._clock.monotonic()
        self._durations.add(function, answered_at - requested_at)
        if status not in SUCCESS:
            failing_since = self._failing_since.get(function, answered_at)
            raise error_codes.of_answer(function, status, body, overdue=answered_at - failing_since > BOUNDED_SECONDS)
        answer, answered_now = _answer(function, body, fields)
        if answered_now is not None:
            self._clock.observe(answered_now, requested_at, answered_at)
        return answer

    async def _post(self, pool: Any, function: str, content: bytes) -> tuple[int, bytes]:  # noqa: ANN401 - see Connections
        return await self._connections.post(pool, function, content)

    def _report_operator_needed(self, fault: StoreError) -> None:
        """Log, at most once a minute, a fault that only an operator can fix."""
        now = self._clock.monotonic()
        if (
            not fault.needs_operator
            or fault.split_batch  # the caller knows whether other rows meet it too
            or self._reported_at.get(fault.code, -OPERATOR_NOTICE_SECONDS) > now - OPERATOR_NOTICE_SECONDS
        ):
            return
        self._reported_at[fault.code] = now
        advice = error_codes.remedy(fault)
        self._log.error(
            Event.DATABASE_NEEDS_OPERATOR, function=fault.function, code=fault.code, error=str(fault), remedy=advice
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()


class Rpc(Calls):
    """Calls through PostgREST.

    Args:
        url: the project's URL.
        key: `sb_secret_…` or the legacy service_role JWT.
        clock: as `Calls` has it, and so are the others.
        answered: as above.
        within_seconds: as above.
    """

    def __init__(
        self,
        url: str,
        key: str,
        clock: DatabaseClock,
        answered: Callable[[str, StoreError | None], None] = ignore,
        within_seconds: Mapping[str, float] | None = None,
    ) -> None:
        headers = {**key_headers(key), "content-type": "application/json"}
        super().__init__(partial(_PostgrestPool, url, headers), clock, answered, within_seconds)


class _PostgrestPool:
    """Connections to PostgREST, or to whatever stands before it."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._session = aiohttp.ClientSession(
            f"{url}/rest/v1/rpc/",
            headers=headers,
            proxy=proxy_to(url),
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=IDLE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),  # the whole call has its own
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(self, function: str, content: bytes) -> tuple[int, bytes]:
        """Send one request; a redirect is not followed, for the key would travel with it."""
        data = b'{"request":%b}' % content
        async with self._session.post(function, data=data, allow_redirects=False) as response:
            return response.status, await response.read()

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


def proxy_to(url: str) -> str | None:
    """Find the proxy that the environment names for `url`, by the rules that realtime-py's websockets follow too."""
    target = urlsplit(url)
    return None if proxy_bypass(target.netloc) else getproxies().get(target.scheme)


def _content(function: str, request: dict[str, Any]) -> bytes:
    try:
        return to_json(request)
    except ValueError as error:
        raise error_codes.fault(function, "unserializable", str(error), error_codes.ROW) from error


def _answer(function: str, body: bytes, fields: Collection[str]) -> tuple[Any, datetime | None]:
    """Read the JSON of an answer, and the database's time in it.

    Raises:
        StoreError: the page is from a proxy on the way to the database, which may answer anything with success.
    """
    try:
        answer = from_json(body) if body else None
        found = {} if answer is None else answer
        lacking = sorted(set(fields).difference(found))
        if not isinstance(found, dict) or lacking:
            raise ValueError(f"it lacks {', '.join(lacking)}" if lacking else "no object")  # noqa: TRY301 - read below
        return answer, datetime.fromisoformat(found["now"]) if "now" in found else None
    except (TypeError, ValueError) as error:
        raise error_codes.fault(
            function, "unreadable", f"{error}: {error_codes.text_of(body)}", error_codes.MAYBE_APPLIED
        ) from error
