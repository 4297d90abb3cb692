"""Whose code is running: a handler's, or the service's own."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from listener.runs.claimed_run import ClaimedRun

current_run: ContextVar[ClaimedRun | None] = ContextVar("current_run", default=None)
"""The run in whose context this code runs, and the tasks, timers and threads that its handler starts; else None."""
