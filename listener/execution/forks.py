"""Limits a fork made by a handler: the child is a copy of the listener, in the middle of its work.

The child keeps neither the listener's port nor its signal handlers, and ends where its handler does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import sniffio

from listener.os_signals import SHUTDOWN_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Here:
    """This process: the service, or a child of a handler's."""

    is_child = False
    loop: Any = None
    loop_thread = 0
    ports: set[int] = set()  # noqa: RUF012 - there is one process
    masks = threading.local()


def guard(loop: Any) -> None:  # noqa: ANN401 - asyncio's loop, which only few modules may name
    """Guard the service that this thread runs on this loop."""
    _Here.loop, _Here.loop_thread = loop, threading.get_ident()


@contextlib.contextmanager
def kept_from_children(port: int) -> Iterator[None]:
    """Close a listening socket, by its descriptor, in each child of a handler's."""
    _Here.ports.add(port)
    try:
        yield
    finally:
        _Here.ports.discard(port)


def leave_if_child() -> None:
    """End a child that has come back from its handler: what follows is the listener's."""
    if not _Here.is_child:
        return
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _hold_signals() -> None:
    """Let a signal to the child wait until it has handlers of its own: what comes before would be lost."""
    _Here.masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, SHUTDOWN_SIGNALS)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _Here.masks.before)


def _begin_as_child() -> None:
    _Here.is_child = True
    try:
        _let_go()
    finally:
        _release_signals()


def _let_go() -> None:
    """Let go of what is the listener's."""
    for port in _Here.ports:
        with contextlib.suppress(OSError):
            os.close(port)
    if _Here.loop is None:
        return
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)  # it is the listener's, which would take the child's signals for its own
        for each in SHUTDOWN_SIGNALS:
            signal.signal(each, signal.SIG_DFL)
    if threading.get_ident() == _Here.loop_thread:
        sniffio.thread_local.name = None  # the child may run a loop of its own
        _Here.loop.call_soon(os._exit, 0)  # if the handler awaits in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_begin_as_child)
