"""A worker's output is logged in lines, from one mark to the next, and within limits."""

from __future__ import annotations

import random

import pytest

from listener.execution.output import MAX_BYTES, MAX_LINE_BYTES, MAX_LINES, Output

MARK = b"\0" + b"ab" * 16 + b"\0\n"


def lines_of(printed: bytes, sizes=(1 << 16,), *, is_over=True):
    """Return the lines logged of this output, when it is read in parts of such sizes."""
    logged: list[str] = []
    output = Output(MARK, logged.append)
    at, chance = 0, random.Random(7)  # noqa: S311 - parts of any size
    while at < len(printed):
        size = chance.choice(sizes)
        output.feed(printed[at : at + size])
        at += size
    assert output.ended.is_set() is is_over
    output.finish()
    return logged


@pytest.mark.parametrize("sizes", [(1,), (2, 3, 40), (1 << 16,)])
@pytest.mark.parametrize(
    ("printed", "logged"),
    [
        (b"", []),
        (b"one\ntwo\r\n\n three", ["one", "two", " three"]),
        (b"\xff\xfe\0 \xc3\xa4\n", ["\ufffd\ufffd\0 ä"]),
        (MARK[:10] + b"\nno mark\n", ["\0ababababa", "no mark"]),
    ],
)
def test_lines_are_what_lies_between_the_marks(printed, logged, sizes):
    """However the pipe cuts it; what was printed before belongs to another run, and what comes after likewise."""
    assert lines_of(b"of the run before\n" + MARK + printed + MARK + b"later\n", sizes) == logged


def test_what_a_worker_that_died_has_printed_is_reported():
    """Its last words have no mark behind them."""
    assert lines_of(MARK + b"one\nFatal Python err", (5, 7), is_over=False) == ["one", "Fatal Python err"]
    assert lines_of(b"of the run before\n", is_over=False) == []


@pytest.mark.parametrize("sizes", [(1000, 3), (1 << 16,)])
@pytest.mark.parametrize("printed", [b"y\n" * 10**5, b"x" * 10**6, (b"z" * 10_000 + b"\n") * 100])
def test_a_flood_is_cut_with_a_note(printed, sizes):
    """Many short lines, one without end, and long ones."""
    *logged, note = lines_of(MARK + printed + MARK, sizes)
    assert len(logged) <= MAX_LINES
    assert all(len(line) <= MAX_LINE_BYTES for line in logged)
    kept = sum(map(len, logged))
    assert kept <= MAX_BYTES + MAX_LINE_BYTES
    dropped, _, rest = note.partition(" ")
    assert rest == "bytes more were printed, and not kept"
    assert int(dropped) >= len(printed.replace(b"\n", b"")) - kept - 2 * len(MARK)
