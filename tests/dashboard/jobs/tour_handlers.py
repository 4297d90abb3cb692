"""Handlers of a company that sends invoices: what the pictures of the dashboard show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel, Field

from listener import Fail, JobContext, handler


class Invoice(BaseModel):
    """An invoice that was not paid."""

    invoice_id: int = Field(description="The number on the invoice.")
    tone: str = Field(default="friendly", description="friendly, firm or final")


class Import(BaseModel):
    """A file with rows."""

    source: str
    rows: int = Field(default=1000, ge=1, le=1_000_000)
    hold: Path | None = None


class Digest(BaseModel):
    """A mail with the news of some days."""

    recipients: list[str] = Field(min_length=1)
    days: int = Field(default=7, ge=1, le=31)


@handler("invoice_reminder", exposed=True, max_attempts=1)
async def invoice_reminder(job: JobContext, payload: Invoice) -> dict[str, Any]:
    """Remind a customer of an invoice."""
    job.log.info("looking up the invoice", invoice_id=payload.invoice_id)
    if payload.invoice_id % 7 == 0:
        job.log.warning("the customer has no address", invoice_id=payload.invoice_id)
        reason, message = "no_address", f"Invoice {payload.invoice_id} has no address to send to."
        raise Fail(reason, message)
    return {"sent_to": "accounts@example.com", "tone": payload.tone}


@handler("import_customers", exposed=True)
async def import_customers(job: JobContext, payload: Import) -> dict[str, Any]:
    """Import customers from the CRM."""
    job.log.info("connected", source=payload.source)
    for part in range(1, 6):
        done = payload.rows * part // 8
        job.log.info("imported a part", rows=done, of=payload.rows)
        await job.progress(part / 8, f"{done:,} of {payload.rows:,} rows")
    job.log.warning("two rows have no e-mail address", rows=[311, 742])
    while payload.hold is not None and not payload.hold.exists():  # noqa: ASYNC110 - the tour says when
        await anyio.sleep(0.05)
    return {"rows": payload.rows}


@handler("weekly_digest", exposed=True)
async def weekly_digest(job: JobContext, payload: Digest) -> dict[str, Any]:
    """Send the news of the week."""
    job.log.info("sending", recipients=len(payload.recipients))
    return {"sent": len(payload.recipients)}


@handler("sync_inventory", exposed=True)
async def sync_inventory(job: JobContext) -> dict[str, Any]:
    """Bring the shop's stock up to date."""
    return {"changed": 12}
