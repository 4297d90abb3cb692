"""What proves that the doorbells of a session are heard, and when a canary has to be rung. Pure: times are given.

All times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

EARLIEST_SHARE = 0.9
"""Listeners fall silent together: each rings after its own part of the silence, and the first one serves all."""
NEAR_SHARE = 0.5
"""What one doorbell brings is a canary for another one that has been silent for this part of its silence."""


@dataclass(slots=True)
class _Bell:
    subscribed_at: float | None = None
    quiet_since: float = 0.0
    patience_seconds: float = 0.0  # after which a canary is due
    asked_at: float | None = None  # since when a canary is under way


class Proof:
    """The doorbells of one session: each is subscribed, then heard again and again, or lost.

    Whatever a doorbell brings proves it: a canary of this listener or of another one, or a signal of a real change. A
    doorbell that was silent for `silence_seconds` wants a canary; one that has not brought it `answer_seconds` later is
    lost. One that is not subscribed at `subscribe_by` is lost, too.

    Args:
        doorbells: their names.
        silence_seconds: how long a doorbell may be silent; 0 asks for no canaries.
        answer_seconds: how long a canary may take.
        subscribe_by: when every doorbell has to be subscribed.
        jitter: numbers from 0 to 1.
    """

    def __init__(
        self,
        doorbells: Collection[str],
        silence_seconds: float,
        answer_seconds: float,
        subscribe_by: float,
        jitter: Callable[[], float],
    ) -> None:
        self._bells = {name: _Bell() for name in doorbells}
        self._silence_seconds, self._answer_seconds = silence_seconds, answer_seconds
        self._subscribe_by, self._jitter = subscribe_by, jitter

    def subscribed(self, doorbell: str, now: float) -> None:
        """Note a subscription, or that the server subscribed anew: either wants a canary at once."""
        bell = self._bells.get(doorbell)
        if bell:
            bell.subscribed_at, bell.asked_at = now, None
            bell.quiet_since, bell.patience_seconds = now, 0.0

    def heard(self, doorbell: str, now: float) -> bool:
        """Note that a doorbell brought something; every signal rings all, so it asks those that have been silent.

        Returns whether it was an answer: then a canary is due sooner than `deadline` and `canary_due` have told.
        """
        was_asked = False
        for name, bell in self._bells.items():
            if name == doorbell:
                was_asked = bell.asked_at is not None
                bell.quiet_since, bell.asked_at = now, None
                share = EARLIEST_SHARE + (1 - EARLIEST_SHARE) * self._jitter()
                bell.patience_seconds = self._silence_seconds * share
            elif self._may_ask(bell) and now - bell.quiet_since >= NEAR_SHARE * self._silence_seconds:
                bell.asked_at = now
        return was_asked

    def rung(self, doorbells: Collection[str], began: float, now: float) -> None:
        """Note a canary on `doorbells` that was asked for at `began` and is known at `now` to have been rung."""
        for name in [name for name in self._bells if name not in doorbells]:
            del self._bells[name]  # the database cannot ring it: there is nothing to prove
        for bell in self._bells.values():
            was_there = bell.subscribed_at is not None and bell.subscribed_at <= began
            if was_there and self._may_ask(bell) and not bell.quiet_since > began:
                bell.asked_at = now

    def canary_due(self) -> float | None:
        """When the next canary has to be rung; None while none is wanted."""
        dues = [bell.quiet_since + bell.patience_seconds for bell in self._bells.values() if self._may_ask(bell)]
        return min(dues, default=None)

    def deadline(self) -> float | None:
        """When the next doorbell is lost unless it is heard, or subscribed, before."""
        return min(self._deadlines().values(), default=None)

    def take_lost(self, now: float) -> dict[str, str]:
        """Take out the doorbells that are lost; each with the reason."""
        lost = [name for name, at in self._deadlines().items() if at <= now]
        return {name: self._reason(self._bells.pop(name)) for name in lost}

    def excuse(self, seconds: float) -> None:
        """Do not count a time in which this process itself did not run."""
        self._subscribe_by += seconds
        for bell in self._bells.values():
            bell.asked_at = bell.asked_at + seconds if bell.asked_at is not None else None

    def forget(self, doorbell: str) -> None:
        """Expect nothing more of a doorbell."""
        self._bells.pop(doorbell, None)

    def _may_ask(self, bell: _Bell) -> bool:
        return self._silence_seconds > 0 and bell.subscribed_at is not None and bell.asked_at is None

    def _deadlines(self) -> dict[str, float]:
        deadlines = {}
        for name, bell in self._bells.items():
            if bell.subscribed_at is None:
                deadlines[name] = self._subscribe_by
            elif bell.asked_at is not None:
                deadlines[name] = bell.asked_at + self._answer_seconds
        return deadlines

    def _reason(self, bell: _Bell) -> str:
        if bell.subscribed_at is None:
            return "no subscription in time"
        return f"a canary did not come back within {self._answer_seconds:g} s"
