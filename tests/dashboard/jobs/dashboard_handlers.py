"""Handlers for the tests of the dashboard: one does what its payload says, and one takes many fields."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel, Field, SecretStr

from listener import JobContext, handler

LOOK_SECONDS = 0.02


class Play(BaseModel):
    """The script of a run: its log, its progress, the file for which it waits, and its end."""

    say: list[str] = []
    level: str = "info"
    progress: float | None = None
    hold: Path | None = Field(default=None, description="The run waits until this file exists.")
    fault: str | None = None
    result: Any = None


@handler("play", exposed=True, max_attempts=1)
async def play(job: JobContext, payload: Play) -> Any:
    """Do what the payload says."""
    for line in payload.say:
        getattr(job.log, payload.level)(line)
    if payload.progress is not None:
        await job.progress(payload.progress, "on its way")
    if payload.hold is not None:
        while not payload.hold.exists():  # noqa: ASYNC110 - a file of the test says when
            await anyio.sleep(LOOK_SECONDS)
    if payload.fault is not None:
        raise RuntimeError(payload.fault)
    return payload.result


class Format(StrEnum):
    """The form of a report."""

    PDF = "pdf"
    CSV = "csv"


class Period(BaseModel):
    """From one day to another."""

    since: date
    until: date | None = None


class Report(BaseModel):
    """A payload with a field of each kind that a form shows."""

    title: str = Field(min_length=3, max_length=80, description="Stands in the subject of the mail.")
    recipients: list[str] = Field(min_length=1, description="Addresses.")
    format: Format = Format.PDF
    limit: int = Field(default=100, ge=1, le=10_000)
    share: float = Field(default=0.5, ge=0, le=1)
    is_draft: bool = False
    period: Period | None = None
    labels: dict[str, str] = {}
    note: str | None = Field(default=None, description="For people.")
    api_key: SecretStr | None = None


@handler("send_report", exposed=True)
async def send_report(job: JobContext, payload: Report) -> dict[str, Any]:
    """Send a report to people."""
    job.log.info("sending", recipients=len(payload.recipients))
    return {"sent": len(payload.recipients), "format": payload.format}
