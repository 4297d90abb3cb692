"""A handler that logs a message."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from listener import JobContext, handler


class Line(BaseModel):
    """The message to log."""

    message: str
    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    fields: dict[str, Any] = Field(default_factory=dict)


@handler("log", exposed=True)
async def log(job: JobContext, payload: Line) -> None:
    """Log a message, with fields, at a level."""
    fields = {"fields": payload.fields} if payload.fields else {}
    getattr(job.log, payload.level)(payload.message, **fields)
