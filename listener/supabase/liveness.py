"""Decides whether the channels of a session are receiving, and when a probe is due. Pure: times are arguments.

All times are monotonic seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

EARLIEST_SHARE = 0.95
"""Listeners fall silent together: each probes after its own share of the silence, and the first probe serves all."""
NEAR_SHARE = 0.5
"""A signal on one channel is a probe for each other channel that has been silent for this share of its silence."""
SPARE_FACTOR = 2
"""The channels after the first may be silent for so much longer where many listeners receive, and pay for, each probe:
while the first is received, they delay nothing."""
MANY_OTHERS = 2
"""So many other listeners are many."""
LEAST_DOUBT_SECONDS = 5.0
"""Between a doubt that a probe has refuted and the next one; twice as long each time, until a signal comes."""


@dataclass(slots=True)
class _ChannelState:
    subscribed_at: float | None = None
    quiet_since: float = 0.0
    share: float = 0.0  # of its silence, after which a probe is due
    requested_at: float | None = None  # the time of the probe that is under way
    is_sendable: bool = True  # whether the database could send on it at the last probe


class Liveness:
    """The channels of one session: each is subscribed, then repeatedly received, or lost.

    Every frame proves its channel: a probe of this or another listener, or the signal of a real change. A channel
    that was silent for `silence_seconds` needs a probe; beside `MANY_OTHERS` listeners, the ones after the first
    after `SPARE_FACTOR` times as long. A channel that does not deliver its probe within `answer_seconds` is lost,
    and then all others are asked at once. A channel that is not subscribed at `subscribe_by` is lost, too. Nothing
    is expected of a channel on which the database cannot send, until the answer to a later probe names it.

    Args:
        channels: their names, the most important first.
        silence_seconds: how long a channel may be silent; 0 means no probes.
        answer_seconds: how long a probe may take.
        subscribe_by: when every channel has to be subscribed.
        jitter: numbers from 0 to 1.
        count_others: how many other listeners receive the same probes.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one caller, and its tests
        self,
        channels: Collection[str],
        silence_seconds: float,
        answer_seconds: float,
        subscribe_by: float,
        jitter: Callable[[], float],
        count_others: Callable[[], int] = lambda: 0,
    ) -> None:
        self._count_others = count_others
        self._states = {name: _ChannelState() for name in channels}
        self._silence_seconds, self._answer_seconds = silence_seconds, answer_seconds
        self._subscribe_by, self._jitter = subscribe_by, jitter
        self._doubt_pause, self._no_doubt_before = LEAST_DOUBT_SECONDS, -math.inf
        self._doubt_at = math.inf

    def subscribed(self, channel: str, now: float) -> None:
        """Note a subscription, or that the server subscribed anew: either makes a probe due at once."""
        state = self._states.get(channel)
        if state:
            state.subscribed_at, state.requested_at = now, None
            state.quiet_since, state.share = now, 0.0

    def received(self, channel: str, now: float, through: Collection[str] | None = None) -> bool:
        """Note a frame that was sent through these channels, the signal of a change through all (None).

        It is a probe for those of them that have been silent. Returns whether a probe is due sooner than `deadline` and
        `probe_due` last said.
        """
        was_probed = False
        if through is None:
            self._doubt_pause = LEAST_DOUBT_SECONDS
        for name, state in self._states.items():
            if name == channel:
                was_probed = state.requested_at is not None
                state.quiet_since, state.requested_at = now, None
                state.share = EARLIEST_SHARE + (1 - EARLIEST_SHARE) * self._jitter()
            elif (
                (through is None or name in through)
                and self._may_probe(state)
                and now - state.quiet_since >= NEAR_SHARE * self._silence(name)
            ):
                state.requested_at = now
        return was_probed

    def doubt(self, now: float) -> None:
        """Ask every channel as soon as allowed, because a change came through none; a probe under way is enough."""
        if self._dues():
            self._doubt_at = min(self._doubt_at, max(now, self._no_doubt_before))

    def sent(self, asked: Collection[str], channels: Collection[str], began: float, now: float) -> None:
        """Note a probe through those `asked` of the possible `channels`, requested at `began`, confirmed at `now`."""
        if self._doubt_at <= began:
            self._doubt_at, self._no_doubt_before = math.inf, now + self._doubt_pause
            self._doubt_pause = min(2 * self._doubt_pause, max(self._silence_seconds, LEAST_DOUBT_SECONDS))
        for name, state in self._states.items():
            state.share = state.share if state.is_sendable else 0.0  # one that is sendable again has to prove it
            state.is_sendable = name in channels
            if not state.is_sendable:
                state.requested_at = None
            was_there = state.subscribed_at is not None and state.subscribed_at <= began
            if name in asked and was_there and self._may_probe(state) and not state.quiet_since > began:
                state.requested_at = now

    def probe_due(self) -> float | None:
        """The time of the next probe; None while none is due."""
        return min(self._dues().values(), default=None)

    def due_channels(self, now: float) -> list[str]:
        """The channels whose probe is due."""
        return [name for name, due in self._dues().items() if due <= now]

    def deadline(self) -> float | None:
        """The time at which the next channel is lost unless it is received, or subscribed, before."""
        return min(self._deadlines().values(), default=None)

    def take_lost(self, now: float) -> dict[str, str]:
        """Remove and return the channels that are lost, each with the reason; the others are asked at once."""
        lost = [name for name, at in self._deadlines().items() if at <= now]
        reasons = {name: self._reason(self._states.pop(name)) for name in lost}
        for state in self._states.values() if lost else ():
            state.share = 0.0
        return reasons

    def excuse(self, seconds: float) -> None:
        """Ignore a time in which this process itself did not run."""
        self._subscribe_by += seconds
        for state in self._states.values():
            state.requested_at = state.requested_at + seconds if state.requested_at is not None else None

    def forget(self, channel: str) -> None:
        """Stop watching a channel."""
        self._states.pop(channel, None)

    def _dues(self) -> dict[str, float]:
        return {
            name: min(state.quiet_since + state.share * self._silence(name), self._doubt_at)
            for name, state in self._states.items()
            if self._may_probe(state)
        }

    def _silence(self, name: str) -> float:
        first = next((each for each, state in self._states.items() if state.is_sendable), name)
        is_spare = name != first and self._count_others() >= MANY_OTHERS
        return SPARE_FACTOR * self._silence_seconds if is_spare else self._silence_seconds

    def _may_probe(self, state: _ChannelState) -> bool:
        is_silent = state.subscribed_at is not None and state.requested_at is None
        return self._silence_seconds > 0 and is_silent and state.is_sendable

    def _deadlines(self) -> dict[str, float]:
        deadlines = {}
        for name, state in self._states.items():
            if not state.is_sendable:
                continue
            if state.subscribed_at is None:
                deadlines[name] = self._subscribe_by
            elif state.requested_at is not None:
                deadlines[name] = state.requested_at + self._answer_seconds
        return deadlines

    def _reason(self, state: _ChannelState) -> str:
        if state.subscribed_at is None:
            return "no subscription in time"
        return f"a probe did not come back within {self._answer_seconds:g} s"
