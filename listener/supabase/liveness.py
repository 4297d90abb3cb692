"""Decides whether the channels of a session are receiving, and when a probe is due. Pure: times are arguments.

All times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

EARLIEST_SHARE = 0.9
"""Listeners fall silent together: each probes after its own share of the silence, and the first probe serves all."""
NEAR_SHARE = 0.5
"""A frame on one channel is a probe for each other channel that has been silent for this share of its silence."""


@dataclass(slots=True)
class _ChannelState:
    subscribed_at: float | None = None
    quiet_since: float = 0.0
    patience_seconds: float = 0.0  # after which a probe is due
    requested_at: float | None = None  # the time of the probe that is under way
    is_sendable: bool = True  # whether the database could send on it at the last probe


class Liveness:
    """The channels of one session: each is subscribed, then repeatedly received, or lost.

    Every frame proves its channel: a probe of this or another listener, or the signal of a real change. A channel that
    was silent for `silence_seconds` needs a probe; if it does not deliver that within `answer_seconds`, it is
    lost. A channel that is not subscribed at `subscribe_by` is lost, too. Nothing is expected of a channel on which the
    database cannot send, until the answer to a later probe names it.

    Args:
        channels: their names.
        silence_seconds: how long a channel may be silent; 0 means no probes.
        answer_seconds: how long a probe may take.
        subscribe_by: when every channel has to be subscribed.
        jitter: numbers from 0 to 1.
    """

    def __init__(
        self,
        channels: Collection[str],
        silence_seconds: float,
        answer_seconds: float,
        subscribe_by: float,
        jitter: Callable[[], float],
    ) -> None:
        self._states = {name: _ChannelState() for name in channels}
        self._silence_seconds, self._answer_seconds = silence_seconds, answer_seconds
        self._subscribe_by, self._jitter = subscribe_by, jitter

    def subscribed(self, channel: str, now: float) -> None:
        """Note a subscription, or that the server subscribed anew: either makes a probe due at once."""
        state = self._states.get(channel)
        if state:
            state.subscribed_at, state.requested_at = now, None
            state.quiet_since, state.patience_seconds = now, 0.0

    def received(self, channel: str, now: float) -> bool:
        """Note a frame; every signal goes through all channels, so it is a probe for those that have been silent.

        Returns whether a probe is due sooner than `deadline` and `probe_due` last said.
        """
        was_probed = False
        for name, state in self._states.items():
            if name == channel:
                was_probed = state.requested_at is not None
                state.quiet_since, state.requested_at = now, None
                share = EARLIEST_SHARE + (1 - EARLIEST_SHARE) * self._jitter()
                state.patience_seconds = self._silence_seconds * share
            elif self._may_probe(state) and now - state.quiet_since >= NEAR_SHARE * self._silence_seconds:
                state.requested_at = now
        return was_probed

    def sent(self, channels: Collection[str], began: float, now: float) -> None:
        """Note a probe on `channels`, requested at `began` and confirmed at `now`."""
        for name, state in self._states.items():
            state.is_sendable = name in channels
            if not state.is_sendable:
                state.requested_at = None
            was_there = state.subscribed_at is not None and state.subscribed_at <= began
            if was_there and self._may_probe(state) and not state.quiet_since > began:
                state.requested_at = now

    def probe_due(self) -> float | None:
        """The time of the next probe; None while none is due."""
        dues = [state.quiet_since + state.patience_seconds for state in self._states.values() if self._may_probe(state)]
        return min(dues, default=None)

    def deadline(self) -> float | None:
        """The time at which the next channel is lost unless it is received, or subscribed, before."""
        return min(self._deadlines().values(), default=None)

    def take_lost(self, now: float) -> dict[str, str]:
        """Remove and return the channels that are lost, each with the reason."""
        lost = [name for name, at in self._deadlines().items() if at <= now]
        return {name: self._reason(self._states.pop(name)) for name in lost}

    def excuse(self, seconds: float) -> None:
        """Ignore a time in which this process itself did not run."""
        self._subscribe_by += seconds
        for state in self._states.values():
            state.requested_at = state.requested_at + seconds if state.requested_at is not None else None

    def forget(self, channel: str) -> None:
        """Stop watching a channel."""
        self._states.pop(channel, None)

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
