"""The state of a worker process beside its memory; each run leaves it as it was."""

from __future__ import annotations

import contextlib
import locale
import os
import signal
import socket
import sys

SIGNALS = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGUSR1", "SIGUSR2", "SIGCHLD")
    if hasattr(signal, name)
]
TIMERS = [getattr(signal, name) for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF") if hasattr(signal, name)]


class ProcessState:
    """The working directory, the environment and the like, as they are now."""

    def __init__(self) -> None:
        self._folder = os.getcwd()  # noqa: PTH109 - a text, which is all that is needed
        self._environment = dict(os.environ)
        self._locale = locale.setlocale(locale.LC_ALL)
        self._mask = os.umask(0o077)
        os.umask(self._mask)
        self._handlers = {each: signal.getsignal(each) for each in SIGNALS}
        self._timeout, self._recursion = socket.getdefaulttimeout(), sys.getrecursionlimit()
        self._streams = sys.stdin, sys.stdout, sys.stderr

    def restore(self) -> None:
        """Put back what a handler has changed, as far as that is possible."""
        for timer in TIMERS:
            signal.setitimer(timer, 0)
        for each, handler in self._handlers.items():
            if handler is not None and signal.getsignal(each) is not handler:
                signal.signal(each, handler)
        sys.stdin, sys.stdout, sys.stderr = self._streams
        if dict(os.environ) != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        os.umask(self._mask)
        socket.setdefaulttimeout(self._timeout)
        with contextlib.suppress(OSError):
            os.chdir(self._folder)
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, self._locale)
        with contextlib.suppress(RecursionError):
            sys.setrecursionlimit(self._recursion)
