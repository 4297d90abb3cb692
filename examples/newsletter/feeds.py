"""Stands for the sites that newsletters read: an RSS feed, a JSON feed, two broken ones. For one's own machine."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from fastapi import FastAPI, HTTPException, Response
from fastapi.responses import JSONResponse

app = FastAPI()
NOW = datetime.now(UTC)  # noqa: TID251 - its news are as old as the server
ITEM = "<item><title>{0}</title><link>https://news.example/{1}</link><pubDate>{2}</pubDate></item>"


def ago(hours: int) -> datetime:
    """Return an instant of the past."""
    return NOW - timedelta(hours=hours)


@app.get("/rss.xml")
async def rss() -> Response:
    """Give two news of today and one of last week."""
    news = [("PostgreSQL 19 is out", 1), ("Row level security &amp; you", 3), ("A release candidate", 100)]
    items = "".join(
        ITEM.format(title, number, format_datetime(ago(hours))) for number, (title, hours) in enumerate(news)
    )
    feed = f'<rss version="2.0"><channel><title>Databases</title>{items}</channel></rss>'
    return Response(feed, media_type="application/rss+xml")


@app.get("/feed.json")
async def json_feed() -> Response:
    """Give one news of today, in the form of https://jsonfeed.org."""
    item = {
        "id": "7",
        "url": "https://garden.example/7",
        "title": "Plant tulips now",
        "content_text": "Before it freezes.",
    }
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "Gardens"}
    items = [{**item, "date_published": ago(2).isoformat()}]
    return JSONResponse({**feed, "items": items}, media_type="application/feed+json")


@app.get("/broken.xml")
async def broken() -> None:
    """Answer as a site that is down."""
    raise HTTPException(503)


@app.get("/odd.json")
async def odd() -> list[int]:
    """Answer with JSON that is no feed."""
    return [1]
