"""Waiting for something to become true, in tests that look at processes from outside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 15.0


def until(true: Callable[[], Any], what: str, within: float = PATIENCE_SECONDS) -> Any:
    """Ask again and again; give the first answer that is true."""
    deadline = time.monotonic() + within
    while not (answer := true()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.01)
    return answer
