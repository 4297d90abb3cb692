"""Gathers calls that many runs make at the same time into one request."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import anyio

from listener import Retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Send = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


@dataclass(eq=False, slots=True)
class _Call:
    request: Any
    answer: Any = None
    fault: str | None = None
    is_answered: bool = field(default=False)


class Gathering:
    """Sends one request at a time, with all the calls that arrived during the previous one.

    Args:
        most: calls in one request.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[_Call, None] = {}  # in the order of their turns
        self._turn = anyio.Lock()

    async def submit(self, request: object, send: Send) -> Any:  # noqa: ANN401 - what `send` answers
        """Return the answer to one call; `send` takes a list of calls and returns as many answers, in their order.

        Raises:
            Retry: the request failed.
        """
        call = _Call(request)
        self._waiting[call] = None
        try:
            async with self._turn:
                if not call.is_answered:
                    await self._send(send)
        finally:
            self._waiting.pop(call, None)
        if call.fault is not None:
            raise Retry(message=call.fault)  # of its own for each run: a shared exception grows with each traceback
        return call.answer

    async def _send(self, send: Send) -> None:
        """Answer the calls that have waited longest; if this is cancelled, the next turn sends them again."""
        calls = list(islice(self._waiting, self._most))
        try:
            answers = await send([call.request for call in calls])
        except Exception as fault:  # noqa: BLE001 - what the client raises is the reason of each of these runs
            for call in calls:
                call.fault = f"{type(fault).__name__}: {fault}"
        else:
            for call, answer in zip(calls, answers, strict=True):
                call.answer = answer
        for call in calls:
            call.is_answered = True
            self._waiting.pop(call, None)
