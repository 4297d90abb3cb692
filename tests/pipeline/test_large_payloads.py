"""Large answers are read beside the loop, reported in bounds, and written in several requests."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, field_validator

from listener import JobContext, handler
from listener.domain.messages import Note, RunResult
from listener.domain.outcome import Completed, Failed, LogLine
from listener.execution.batch_size import MOST_BYTES, size_of, take_batch
from listener.handler_api.payload import LARGE_BYTES
from listener.handler_api.run_log import MAX_BYTES
from listener.testing import NOON, run_handler

read_in: list[threading.Thread] = []


class Letter(BaseModel):
    text: str
    key: SecretStr = SecretStr("")
    number: int = 0

    @field_validator("text")
    @classmethod
    def _look(cls, text: str) -> str:
        read_in.append(threading.current_thread())
        return text


@handler
async def post(job: JobContext, payload: Letter) -> dict[str, Any]:
    """Return the size and the key of the letter."""
    return {"characters": len(payload.text), "key": payload.key.get_secret_value()}


@pytest.mark.parametrize(("size", "by_loop"), [(10, True), (LARGE_BYTES + 1, False)])
async def test_a_large_payload_is_read_beside_the_loop(size, by_loop):
    """A model's validators are somebody's code, and the marks of its secrets are looked for in all of it."""
    read_in.clear()
    report = await run_handler(post, {"text": "x" * size, "key": "correct-horse-battery"})
    assert report.outcome == Completed({"characters": size, "key": "[redacted]"})
    assert (read_in == [threading.main_thread()]) is by_loop


async def test_a_large_payload_that_does_not_fit_is_refused_without_its_secrets():
    """As a small one is."""
    report = await run_handler(post, {"text": "x" * LARGE_BYTES, "number": "correct-horse", "key": "correct-horse"})
    assert isinstance(report.outcome, Failed)
    assert report.outcome.reason == "invalid_payload"
    assert report.started_at is None
    assert "horse" not in str(report.outcome)


async def test_a_run_keeps_so_many_bytes_of_lines():
    """A thousand lines may each have as much as a line may."""

    @handler
    async def talk(job: JobContext) -> None:
        for _ in range(500):
            job.log.info("m" * 8000, more="f" * 8000)

    lines = (await run_handler(talk)).logs
    assert MAX_BYTES < sum(len(line.message) + len(str(line.fields)) for line in lines) < MAX_BYTES + 20_000
    assert lines[-1].message == f"no line after the first {len(lines) - 1} was kept"


def result_of(size: int, lines: int = 0) -> RunResult:
    """A run that ended with so much."""
    logs = tuple(LogLine(NOON, "info", "m" * 5000, {"f": "f" * 5000}) for _ in range(lines))
    return RunResult("id", "completed", NOON, result="x" * size, error_details={"traceback": "t" * size}, logs=logs)


@pytest.mark.parametrize(
    ("waiting", "counts"),
    [
        ([0] * 25, [10, 10, 5]),
        ([MOST_BYTES] * 3, [1, 1, 1]),
        ([MOST_BYTES // 5] * 7, [3, 3, 1]),
        ([0] * 9 + [MOST_BYTES, 0], [10, 1]),
        ([], [0]),
    ],
)
def test_a_batch_ends_once_it_has_enough_bytes(waiting, counts):
    """It has one row at least, and the one that passes the bound is in it."""
    left = [result_of(size) for size in waiting]
    assert [len(take_batch(left, 10)) for _ in counts] == counts
    assert left == []


def test_lines_count_as_well():
    """Of results, and of the notes of runs that go on."""
    assert size_of(Note("id", 0.5, ())) == 0
    assert 100_000 < size_of(Note("id", 0.5, result_of(0, 10).logs)) < 110_000
    assert size_of(result_of(10_000, 10)) - size_of(result_of(0, 10)) == 20_000
