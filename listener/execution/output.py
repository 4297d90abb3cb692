"""The output of a worker process during one run: lines, within limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINES = 500
MAX_LINE_BYTES = 4 * 1024
MAX_BYTES = 64 * 1024


class Output:
    """The part of an output that lies between two marks.

    Args:
        mark: what the worker writes before and after its call.
        log: given each line, and at the end one about those that were not kept.
    """

    def __init__(self, mark: bytes, log: Callable[[str], object]) -> None:
        self._mark, self._log = mark, log
        self._rest = b""
        self._begun = False
        self._lines = self._bytes = self._dropped = 0
        self.ended = anyio.Event()
        self.is_cut_off = False

    @property
    def is_full(self) -> bool:
        """Whether nothing more is kept."""
        return self._lines >= MAX_LINES or self._bytes >= MAX_BYTES

    def feed(self, part: bytes) -> None:
        """Take what was read; what comes after the second mark belongs to no run."""
        if self.ended.is_set():
            return
        self._rest += part
        if not self._begun:
            _, mark, after = self._rest.partition(self._mark)
            self._rest = after if mark else self._rest[-len(self._mark) :]
            self._begun = bool(mark)
        if self._begun:
            self._take()

    def cut_off(self) -> None:
        """Note that nothing more can come: nobody has the other end of the pipe."""
        self.is_cut_off = True
        self.ended.set()

    def finish(self) -> None:
        """Give the line that has no end, and say what was dropped."""
        if self._begun and self._rest:
            self._keep(self._rest)
        if self._dropped:
            self._log(f"{self._dropped} bytes more were printed, and not kept")

    def _take(self) -> None:
        before, mark, _ = self._rest.partition(self._mark)
        if mark:
            self._lines_of(before)
            self._rest = b""
            self.ended.set()
            return
        whole, newline, self._rest = self._rest.rpartition(b"\n")
        if newline:
            self._lines_of(whole)
        if len(self._rest) > MAX_LINE_BYTES + len(self._mark):
            self._keep(self._rest[: -len(self._mark)])
            self._rest = self._rest[-len(self._mark) :]

    def _lines_of(self, text: bytes) -> None:
        if self.is_full:
            self._dropped += len(text)
            return
        for line in filter(None, text.splitlines()):
            self._keep(line)

    def _keep(self, line: bytes) -> None:
        if self.is_full:
            self._dropped += len(line)
            return
        self._lines += 1
        self._bytes += min(len(line), MAX_LINE_BYTES)
        self._dropped += max(0, len(line) - MAX_LINE_BYTES)
        self._log(line[:MAX_LINE_BYTES].decode("utf-8", "replace"))
