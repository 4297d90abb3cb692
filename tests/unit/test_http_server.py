"""The service's own port, without the service."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from listener.http.server import application

NOON = datetime(2026, 3, 7, 12, tzinfo=UTC)
CRON = {"cron": "0 9 * * 1-5", "timezone": "America/New_York"}


class Page:
    """An application whose state a test sets, and a client of it."""

    def __init__(self, fault: str | None = None, *, debug: bool = True) -> None:
        self.fault = fault
        describe = (lambda: {"jobs_armed": 3}) if debug else None
        app = application(lambda: self.fault, lambda: b"listener_runs_total 1\n", describe, lambda: NOON)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://listener")

    async def get(self, path: str, **params: str) -> httpx.Response:
        async with self.client as client:
            return await client.get(path, params=params)


async def test_a_service_with_a_fault_is_alive_but_not_ready() -> None:
    """A fault answers 503 with its reason at /readyz, and leaves /livez alone."""
    assert (await Page("feed: gone").get("/livez")).status_code == 200
    unready = await Page("feed: gone").get("/readyz")
    assert (unready.status_code, unready.text) == (503, "feed: gone")
    assert (await Page().get("/readyz")).status_code == 200


async def test_metrics_are_in_the_text_format_of_prometheus() -> None:
    """What the metrics say is passed on with the content type that scrapers expect."""
    answer = await Page().get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.text == "listener_runs_total 1\n"


async def test_the_debug_page_is_there_only_when_it_is_enabled() -> None:
    """Without a description there is no such page."""
    assert (await Page().get("/debug/scheduler")).json() == {"jobs_armed": 3}
    assert (await Page(debug=False).get("/debug/scheduler")).status_code == 404


async def test_a_preview_shows_the_next_runs_in_local_time_and_utc_with_a_note_where_clocks_change() -> None:
    """Across the change to summer time, the same local time is another instant, and the preview says so."""
    answer = (await Page().get("/api/preview", **CRON, n="2", after="2026-03-06T12:00:00Z")).json()
    assert answer["description"] == "At 09:00, Monday through Friday, America/New_York"
    assert [run["at"] for run in answer["runs"]] == ["2026-03-06T14:00:00Z", "2026-03-09T13:00:00Z"]
    assert answer["runs"][0]["note"] is None
    assert answer["runs"][1]["note"]


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({}, "trigger"),
        ({"cron": "99 * * * *"}, "schedule.expression"),
        ({**CRON, "timezone": "Mars/Base"}, "timezone"),
        ({**CRON, "n": "0"}, "n"),
        ({**CRON, "n": "1001"}, "n"),
        ({**CRON, "after": "tomorrow"}, "after"),
        ({**CRON, "trigger": "daily"}, "cron"),
        ({"trigger": "daily", "schedule": "{"}, "schedule"),
        ({**CRON, "zone": "UTC"}, "zone"),
    ],
)
async def test_a_preview_of_nonsense_is_refused_by_name(params: dict[str, str], named: str) -> None:
    """The answer is 400, and names the parameter."""
    answer = await Page().get("/api/preview", **params)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"{named}:")
