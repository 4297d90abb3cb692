"""The handler: gathers, writes and sends an issue; runs in the listener, with LISTENER_HANDLERS=handlers,issues."""

import anyio
from pydantic import BaseModel

from listener import Fail, JobContext, handler

NEWS = {"databases": ["PostgreSQL 19 is out", "Row level security, explained"], "gardens": ["Plant tulips now"]}
"""Stands for the sites that a real handler would read."""


class Issue(BaseModel):
    """The model of the job's metadata."""

    topic: str
    readers: list[str]


async def gather(topic: str) -> list[str]:
    """Look for news on the topic."""
    await anyio.sleep(0.1)
    if topic not in NEWS:
        raise Fail(reason="no_source", message=f"nobody writes about {topic}")
    return NEWS[topic]


async def write(topic: str, news: list[str]) -> str:
    """Write an issue from the news."""
    await anyio.sleep(0.1)
    return f"This week in {topic}: {'; '.join(news)}."


@handler("newsletter_issue", timeout=60, max_attempts=3, exposed=True)
async def newsletter_issue(job: JobContext, payload: Issue) -> dict[str, str | int]:
    """Gather, write, send; each step reports the progress. In test mode nothing is sent."""
    news = await gather(payload.topic)
    await job.progress(0.3, f"{len(news)} news gathered")
    text = await write(payload.topic, news)
    await job.progress(0.6, f"{len(text.split())} words written")
    if job.test_mode:
        return {"would_send": text, "readers": len(payload.readers)}
    for number, reader in enumerate(payload.readers, 1):  # a real one: one key for each reader, so that none gets two
        key = f"{job.idempotency_key}:{reader}"
        job.log.debug("sending", reader=reader, key=key)
        await job.progress(0.6 + 0.4 * number / len(payload.readers))
    job.log.info("sent", readers=len(payload.readers))
    return {"sent": text, "readers": len(payload.readers)}
