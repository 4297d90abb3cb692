"""Logs what becomes of channels and sessions: a fault that lasts when it begins, when it ends, and rarely between.

A session that lacks a channel is replaced every few seconds. Whatever repeats while a fault lasts is logged at debug.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Collection

    from listener.ports import Clock

FIRST_REMINDER_SECONDS, LONGEST_REMINDER_SECONDS = 60.0, 900.0
"""Each reminder comes after twice the time of the one before. A fault that comes back within the first is the same."""
SESSION = "session"


@dataclass(slots=True)
class _Fault:
    began_at: float
    remind_at: float
    remind_after_seconds: float = FIRST_REMINDER_SECONDS
    unlogged: int = 0
    is_shown: bool = True  # whether the log's last word is that it lasts
    ended_at: float | None = None

    def lasts(self, now: float) -> bool:
        """Return whether it goes on, or ended so shortly ago that it would be the same fault if it came back."""
        return self.ended_at is None or now - self.ended_at < FIRST_REMINDER_SECONDS


class FeedLog:
    """The log of a feed, over all its sessions.

    Args:
        clock: measures how long a fault lasts.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._log = structlog.get_logger("feed")
        self._faults: dict[str, _Fault] = {}  # by channel, or `SESSION`
        self._known: set[str] = set()

    def channel_stale(self, channel: str, why: str) -> None:
        """Log that a channel of a session is not received any more, while another one is."""
        counts = self._note(channel)
        if counts is None:
            self._log.debug(Event.FEED_CHANNEL_STALE, channel=channel, why=why)
        else:
            self._log.warning(Event.FEED_CHANNEL_STALE, channel=channel, why=why, **counts)

    def session_ended(self, why: str) -> None:
        """Log that a session ended by itself."""
        counts = self._note(SESSION)
        if counts is None:
            self._log.debug(Event.FEED_SESSION_ENDED, why=why)
        else:
            self._log.warning(Event.FEED_SESSION_ENDED, why=why, **counts)

    def session_opened(self, channel: str) -> None:
        """Log that a session receives by a channel."""
        is_news = self._end(SESSION) | self._end(channel) | (channel not in self._known)
        self._known.add(channel)
        if is_news or not self._is_faulty():
            self._log.info(Event.FEED_SESSION_OPENED, channel=channel)
        else:
            self._log.debug(Event.FEED_SESSION_OPENED, channel=channel)

    def session_replaced(self, channels: Collection[str]) -> None:
        """Log that a session that receives by `channels` replaces another one."""
        if self._is_faulty():
            self._log.debug(Event.FEED_SESSION_REPLACED, channels=sorted(channels))
        else:
            self._log.info(Event.FEED_SESSION_REPLACED, channels=sorted(channels))

    def _note(self, what: str) -> dict[str, int] | None:
        """Note a fault; return its counts if it is to be shown: none for a new one, else for how long and how often."""
        now, fault = self._clock.monotonic(), self._faults.get(what)
        if fault is None or not fault.lasts(now):
            self._faults[what] = _Fault(now, now + FIRST_REMINDER_SECONDS)
            return {}
        fault.ended_at = None
        fault.unlogged += 1
        if now < fault.remind_at:
            return None
        fault.remind_after_seconds = min(2 * fault.remind_after_seconds, LONGEST_REMINDER_SECONDS)
        fault.remind_at = now + fault.remind_after_seconds
        counts = {"for_seconds": round(now - fault.began_at), "repeated": fault.unlogged}
        fault.unlogged, fault.is_shown = 0, True
        return counts

    def _end(self, what: str) -> bool:
        """Note the end of a fault, if there is one; return whether the log's last word was that it lasts."""
        fault = self._faults.get(what)
        if fault is None or fault.ended_at is not None:
            return False
        fault.ended_at = self._clock.monotonic()
        was_shown, fault.is_shown = fault.is_shown, False
        return was_shown

    def _is_faulty(self) -> bool:
        now = self._clock.monotonic()
        return any(fault.lasts(now) for fault in self._faults.values())
