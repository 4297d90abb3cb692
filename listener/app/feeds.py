"""Builds the feeds: one of Realtime's channels, and one of NOTIFY where the listener has connections of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from listener.domain.messages import NOTIFY
from listener.supabase.feed import ChannelFeed
from listener.supabase.session import Session
from listener.supabase.unreadable_frames import unreadable_counted
from listener.supabase.watched_session import Times

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.app.shared import Shared
    from listener.domain.messages import Hint
    from listener.supabase.watched_session import WatchableSession


@dataclass(frozen=True, slots=True)
class Feeds:
    """Both feeds; either may have no channel."""

    realtime: ChannelFeed
    notify: ChannelFeed

    def doubt(self) -> None:
        """Send probes at once: a poll has found a change that no channel brought."""
        self.realtime.doubt()
        self.notify.doubt()

    def describe(self) -> dict[str, Any]:
        """Describe the state of each feed, and how many sessions it has begun."""
        return {
            "feed_state": self.realtime.state,
            "feed_sessions": self.realtime.sessions,
            "notify_state": self.notify.state,
            "notify_sessions": self.notify.sessions,
        }


def build_feeds(
    shared: Shared, tables: tuple[str, ...], deliver: Callable[[Hint], None], count_others: Callable[[], int]
) -> Feeds:
    """Build the feeds of the channels that the settings name.

    Args:
        shared: the parts that they share with other stages.
        tables: the tables whose hints `deliver` receives.
        deliver: receives each hint.
        count_others: how many other listeners receive the same probes.
    """
    settings = shared.settings
    channels = tuple(name for name in settings.channels if name != NOTIFY)
    feed = partial(
        ChannelFeed,
        tables=tables,
        deliver=deliver,
        send_probe=shared.store.send_probe,
        times=Times(probe_seconds=settings.probe_seconds),
        health=shared.health,
        metrics=shared.metrics,
        clock=shared.clock,
        jitter=shared.jitter,
        count_others=count_others,
    )
    return Feeds(
        realtime=feed(
            name="realtime",
            make_session=partial(Session, settings.url, shared.key),
            channels=channels,
            while_running=partial(unreadable_counted, shared.metrics.frame_unreadable),
        ),
        notify=feed(
            name=NOTIFY,
            make_session=partial(_notify_session, shared),
            channels=(NOTIFY,) if NOTIFY in settings.channels else (),
        ),
    )


def _notify_session(shared: Shared, *receivers: Callable[..., None]) -> WatchableSession:
    from listener.postgres.notify_session import NotifySession  # noqa: PLC0415 - psycopg is loaded where it is used

    assert shared.settings.database_url is not None, "the settings see to it"  # noqa: S101 - narrows the type
    return NotifySession(shared.settings.database_url.get_secret_value(), shared.store.listen, *receivers)
