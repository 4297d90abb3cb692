"""Reads the news of a workspace's sources: RSS and Atom by feedparser, JSON feeds as they are."""

import calendar
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import feedparser
import httpx

from listener import Fail, JobContext, Retry
from newsletter_jobs.payload import Item, Newsletter

SECONDS = 20.0
MOST_BYTES = 2 * 1024 * 1024
AT_A_TIME = 5
ANSWERED = 200


@asynccontextmanager
async def feeds() -> AsyncIterator[httpx.AsyncClient]:
    """Open one client for all runs; it follows no redirect, which could lead to a host that is not allowed."""
    async with httpx.AsyncClient(timeout=SECONDS, follow_redirects=False, trust_env=False) as client:
        yield client


async def scrape(job: JobContext, payload: Newsletter, _: dict[str, Any]) -> dict[str, Any]:
    """Return the newest `items` of all sources, and the sources that `failed`, with the reason.

    Raises:
        Fail: the workspace has no such sources.
        Retry: no source could be read.
    """
    table = job.client.table("newsletter_sources").select("name,url").eq("workspace_id", job.row["workspace_id"])
    names = payload.config.sources
    sources = (await (table.in_("name", names) if names else table).order("name").execute()).data
    if not sources or (missing := set(names) - {source["name"] for source in sources}):
        raise Fail(
            reason="no_source", message=f"this workspace has no source {', '.join(sorted(missing)) if sources else ''}"
        )
    found: list[Item] = []
    failed: dict[str, str] = {}
    limiter = anyio.CapacityLimiter(AT_A_TIME)

    async def read(name: str, url: str) -> None:
        async with limiter:
            try:
                found.extend(await items_of(job, name, url))
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                failed[name] = f"{type(error).__name__}: {error}"

    async with anyio.create_task_group() as tasks:
        for source in sources:
            tasks.start_soon(read, source["name"], source["url"])
    if len(failed) == len(sources):
        raise Retry(message=f"no source could be read: {failed}")
    since = (job.scheduled_for - timedelta(days=payload.config.days_back)).isoformat()
    newest = sorted((item for item in found if item.published >= since), key=lambda item: (item.published, item.link))
    unique = {item.link: item for item in newest}  # of two sources with one news, the later entry
    items = list(unique.values())[::-1][: payload.config.max_items]
    return {"items": [item.model_dump() for item in items], "failed": failed}


async def items_of(job: JobContext, name: str, url: str) -> list[Item]:
    """Read one feed, of bounded size, from a host that the operator allows: editors of workspaces choose the URL.

    Raises:
        ValueError: a host that is not allowed, a status other than 200, too large, or no feed.
        HTTPError: no answer.
        InvalidURL: no URL that can be asked.
    """
    if urlsplit(url).netloc not in os.environ.get("NEWSLETTER_HOSTS", "").split(","):
        message = f"{urlsplit(url).netloc} is not in NEWSLETTER_HOSTS"
        raise ValueError(message)
    client = await job.shared(feeds)
    body = b""
    async with client.stream("GET", url) as answer:
        if answer.status_code != ANSWERED:
            message = f"the answer is {answer.status_code}"
            raise ValueError(message)
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                message = f"more than {MOST_BYTES} bytes"
                raise ValueError(message)
    read = from_json if "json" in answer.headers.get("content-type", "") else from_xml
    try:
        parsed = await anyio.to_thread.run_sync(partial(read, name, body))
    except Exception as error:  # noqa: BLE001 - a site may send anything, and stands in no other's way
        message = f"no feed: {type(error).__name__}: {error}"
        raise ValueError(message) from None
    return [item for item in parsed if item.link.startswith(("https://", "http://"))]


def from_xml(name: str, body: bytes) -> list[Item]:
    """Read RSS or Atom; an entry without a date is left out, since nobody can say whether it is new."""
    feed = feedparser.parse(body)
    if feed.bozo and not feed.entries:
        message = f"no feed: {feed.bozo_exception}"
        raise ValueError(message)
    dated = [(entry, entry.get("published_parsed") or entry.get("updated_parsed")) for entry in feed.entries]
    return [item(name, entry.get("title"), entry.get("link"), calendar.timegm(at)) for entry, at in dated if at]


def from_json(name: str, body: bytes) -> list[Item]:
    """Read a feed of https://jsonfeed.org."""
    dated = [(entry, entry.get("date_published")) for entry in json.loads(body)["items"]]
    return [
        item(name, entry.get("title"), entry.get("url"), datetime.fromisoformat(at).timestamp())
        for entry, at in dated
        if at
    ]


def item(source: str, title: str | None, link: str | None, published: float) -> Item:
    """Make an item, its time in UTC."""
    at = datetime.fromtimestamp(published, UTC).isoformat()
    return Item(title=(title or "Untitled")[:300], link=(link or "")[:2000], source=source, published=at)
