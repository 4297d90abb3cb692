"""Writes an issue: the operator's templates, filled in by Jinja2 with the news, which are escaped."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import anyio.to_thread
from jinja2 import FileSystemLoader, StrictUndefined, select_autoescape
from jinja2.sandbox import SandboxedEnvironment

from listener import Fail, JobContext
from newsletter_jobs.payload import Newsletter

TEMPLATES = Path(__file__).parents[1] / "templates"


@cache
def templates() -> SandboxedEnvironment:
    """Load the templates once."""
    return SandboxedEnvironment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


async def generate(job: JobContext, payload: Newsletter, results: dict[str, Any]) -> dict[str, Any]:
    """Return the issue's `subject`, `html`, `text` and `issue_id`, which is none in test mode and without news.

    Raises:
        Fail: nothing was scraped before.
    """
    if "scrape" not in results:
        raise Fail(reason="no_items", message="generate needs the items of scrape: put it before")
    items = results["scrape"]["items"]
    if not items:
        return {"issue_id": None, "subject": None, "html": "", "text": ""}
    subject = f"{payload.config.title}: {items[0]['title']}"
    values = {"title": payload.config.title, "items": items, "date": job.scheduled_for.date().isoformat()}
    html, text = await anyio.to_thread.run_sync(partial(render, values))
    issue = {"subject": " ".join(subject.split()), "html": html, "text": text}
    if job.test_mode:
        return {"issue_id": None, **issue}
    key = {"scheduled_job_id": job.job_id, "scheduled_for": job.scheduled_for.isoformat()}
    row = {"workspace_id": job.row["workspace_id"], **key, **issue}
    table = job.client.table("newsletter_issues")
    written = await table.upsert(row, on_conflict="scheduled_job_id,scheduled_for").execute()
    return {"issue_id": written.data[0]["id"], **issue}


def render(values: dict[str, Any]) -> tuple[str, str]:
    """Fill in both templates."""
    return tuple(templates().get_template(f"digest.{kind}").render(values) for kind in ("html", "txt"))
