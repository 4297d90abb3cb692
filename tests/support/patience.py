"""Waiting for something to become true, in tests that look at processes from outside."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 15.0
STRICT = bool(os.environ.get("STRICT_TIMES"))
"""Whether the machine is idle, so that times can be asked for: `STRICT_TIMES=1 pytest …`."""


def allowed(strict: float, patient: float) -> float:
    """Give what is promised of an idle machine, or what is asked of a busy one."""
    return strict if STRICT else patient


def until(true: Callable[[], Any], what: str | Callable[[], str], within: float = PATIENCE_SECONDS) -> Any:
    """Ask again and again; give the first answer that is true. The failure may name what did not come."""
    deadline = time.monotonic() + within
    while not (answer := true()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what() if callable(what) else what}"
        time.sleep(0.01)
    return answer
