"""A handler that logs a message."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from listener import JobContext, handler

MAX_MESSAGE_CHARACTERS = 8 * 1024
"""As many as the ledger keeps."""
MAX_FIELDS = 100


class Line(BaseModel):
    """The message to log."""

    message: str = Field(max_length=MAX_MESSAGE_CHARACTERS)
    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    fields: dict[str, Any] = Field(default_factory=dict, max_length=MAX_FIELDS)


@handler("log", exposed=True)
async def log(job: JobContext, payload: Line) -> None:
    """Log a message, with fields, at a level."""
    fields = {"fields": payload.fields} if payload.fields else {}
    getattr(job.log, payload.level)(payload.message, **fields)
