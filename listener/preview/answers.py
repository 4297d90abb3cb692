"""Answers previews over HTTP: computes them beside the loop, one at a time, for a part of the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from listener.domain.refusal import refuse
from listener.errors import MALFORMED, InvalidValueError, ListenerError
from listener.preview.request import read_query, read_request
from listener.preview.schedule_preview import as_answer, preview

if TYPE_CHECKING:
    from datetime import datetime

MOST_RUNS = 100
MOST_WAITING = 16
REST = 4
MAX_REST_SECONDS = 1.0
"""A thread that computes slows the loop down, too: after each preview the next one waits this many times its processor
time."""


class TooManyPreviewsError(ListenerError):
    """Too many previews wait already."""

    def __init__(self) -> None:
        super().__init__(f"{MOST_WAITING} previews are waiting; ask again in a second")


class PreviewAnswers:
    """Answers queries, in the order in which they come."""

    def __init__(self) -> None:
        self._turn = anyio.Lock()
        self._thread = anyio.CapacityLimiter(1)
        self._free_at = 0.0

    async def answer(self, query: bytes, now: datetime) -> dict[str, object]:
        """Return the answer of `as_answer`.

        Args:
            query: the URL's query.
            now: the default start of the preview.

        Raises:
            InvalidValueError: the query is invalid; the message names the word, its value and what is allowed.
            TooManyPreviewsError: too many others wait.
        """
        if self._turn.statistics().tasks_waiting >= MOST_WAITING:
            raise TooManyPreviewsError
        async with self._turn:
            await anyio.sleep_until(self._free_at)
            seconds, computed = await anyio.to_thread.run_sync(_timed, query, now, limiter=self._thread)
            self._free_at = anyio.current_time() + min(seconds * REST, MAX_REST_SECONDS)
        if isinstance(computed, InvalidValueError):
            raise computed
        return computed


def _timed(query: bytes, now: datetime) -> tuple[float, dict[str, object] | InvalidValueError]:
    """Compute, and return the answer with the CPU seconds that it took."""
    began = time.thread_time()
    try:
        computed: dict[str, object] | InvalidValueError = _compute(query, now)
    except InvalidValueError as invalid:
        computed = invalid
    return time.thread_time() - began, computed


def _compute(query: bytes, now: datetime) -> dict[str, object]:
    try:
        request = read_request(read_query(query), now, most=MOST_RUNS)
        return as_answer(request.trigger, preview(request.trigger, request.after, request.n))
    except InvalidValueError:
        raise
    except (*MALFORMED, RecursionError):
        refuse("query", query.decode("ascii", "backslashreplace"), "a schedule that can be computed")
