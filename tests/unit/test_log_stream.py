"""The service's log goes on, whatever becomes of what it is written to."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys

import pytest

from listener.observability.log_stream import LogStream

PROGRAM = """
import logging, os, sys
import structlog
from listener.observability.events import configure_logging
configure_logging("json")
{harm}
structlog.get_logger("a").info("one")
logging.getLogger("b").warning("two")
"""
HARMS = {
    "closes the stream": "sys.stderr.close()",
    "closes the descriptor": "os.close(2)",
    "gives the descriptor to others": "os.close(2); os.open(os.devnull, os.O_WRONLY)",
    "replaces the streams": "sys.stderr = sys.__stderr__ = None",
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_lines_are_written_after_a_handler_closed_standard_error(harm):
    """By a descriptor that no handler knows."""
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(harm=harm)], capture_output=True, text=True, check=True)
    assert [line.split('"event":')[1].split('"')[1] for line in done.stderr.splitlines()] == ["one", "two"]


def test_a_stream_that_is_closed_or_broken_loses_lines_only():
    """Nothing is raised into a stage."""
    closed = io.StringIO()
    closed.close()
    reader, writer = os.pipe()
    os.close(reader)
    broken = os.fdopen(writer, "w", 1)
    for target in (closed, broken):
        stream = LogStream(target)
        assert stream.write("line\n") == 5
        stream.flush()
    with contextlib.suppress(BrokenPipeError):
        broken.close()
