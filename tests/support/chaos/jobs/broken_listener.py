"""`listener run` with a part taken out, to see that its absence is found: `python broken_listener.py PART`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from listener.supabase.watched_session import Times


def no_relist() -> None:
    """List once at the start, and never again."""
    from listener.scheduling.reflector import Reflector  # noqa: PLC0415 - only the part that is broken is loaded early

    relist = Reflector.relist

    async def once(self: Reflector) -> None:
        if self._cursor is None:
            await relist(self)

    Reflector.relist = once


def no_probe() -> None:
    """Trust a channel from its subscription on."""
    from listener.supabase.watched_session import WatchedSession  # noqa: PLC0415

    begin = WatchedSession.__init__

    def trusting(self: WatchedSession, *, times: Times, **rest: object) -> None:
        begin(self, times=replace(times, probe_seconds=0.0), **rest)

    WatchedSession.__init__ = trusting


def main() -> None:
    """Break, then run."""
    {"no_relist": no_relist, "no_probe": no_probe}[sys.argv[1]]()
    from listener.cli import main as listen  # noqa: PLC0415 - after the break

    sys.argv = ["listener", "run"]
    listen()


if __name__ == "__main__":
    main()
