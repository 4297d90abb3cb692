"""Channels beyond the database, which the operator names: Apprise's URLs of chats, mail and push services."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from listener import Fail, Retry
from listener.handlers._delivery import once

if TYPE_CHECKING:
    from listener import JobContext


async def relay(job: JobContext, channel: str, title: str | None, message: str) -> None:
    """Send a message through a channel of `LISTENER_NOTIFICATION_CHANNELS`, once in a run.

    Raises:
        Fail: `unknown_channel`, or `not_configured` where Apprise is not installed.
        Retry: the channel did not take it.
    """
    channels: dict[str, str] = job.options.get("notification_channels") or {}
    if channel not in channels:
        names = ", ".join(sorted(channels)) or "none"
        message = f"metadata.channels: {channel!r} is not in LISTENER_NOTIFICATION_CHANNELS, which has {names}"
        raise Fail(reason="unknown_channel", message=message)

    async def send() -> dict[str, Any]:
        await relay_to(channels[channel], channel, title, message)
        return {"channel": channel}

    await once(job, f"channel {channel}", send)


async def relay_to(url: str, channel: str, title: str | None, message: str) -> None:
    """Send a message to an Apprise URL; `channel` names it in messages.

    Raises:
        Fail: `not_configured` where Apprise is not installed.
        Retry: it was not taken.
    """
    call = functools.partial(_send, url, title, message)
    if not await anyio.to_thread.run_sync(call, abandon_on_cancel=True):
        raise Retry(message=f"the channel {channel!r} did not take the message")


def _send(url: str, title: str | None, message: str) -> bool:
    try:
        from apprise import Apprise  # noqa: PLC0415 - an extra
    except ImportError as error:
        what = "channels need Apprise: pip install 'supabase-job-listener[apprise]'"
        raise Fail(reason="not_configured", message=what) from error
    notifier = Apprise()
    notifier.add(url)
    return bool(notifier.notify(body=message, title=title or ""))
