"""Where the service's log lines go: a handler, or whoever reads them, may close it, and the service goes on."""

from __future__ import annotations

import os
import sys
from typing import TextIO


class LogStream:
    """Writes to a text stream; what cannot be written is lost.

    Standard error is written by a descriptor of its own. A handler that closes `sys.stderr`, or descriptor 2, closes
    nothing of the service's; else the lines would go to whatever gets that number next, a connection perhaps.

    Args:
        target: the stream.
    """

    def __init__(self, target: TextIO) -> None:
        self._target = target
        if target is sys.__stderr__:
            self._target = os.fdopen(os.dup(target.fileno()), "w", 1, target.encoding, "backslashreplace")

    def write(self, text: str) -> int:
        """Write, as a text stream does."""
        try:
            return self._target.write(text)
        except (OSError, ValueError):  # its reader is gone, its disk full; it was closed
            return len(text)

    def flush(self) -> None:
        """Flush, as a text stream does."""
        try:
            self._target.flush()
        except (OSError, ValueError):
            return

    def isatty(self) -> bool:
        """Return whether people read it."""
        return self._target.isatty()
