"""What a schedule would do, over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from listener.app.http import application

NOON = datetime(2026, 3, 7, 12, tzinfo=UTC)
CRON = {"cron": "0 9 * * 1-5", "timezone": "America/New_York"}


async def preview(**params: str) -> httpx.Response:
    """Ask for a preview at noon."""
    app = application(lambda: None, bytes, None, lambda: NOON)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://listener") as client:
        return await client.get("/api/preview", params=params)


async def test_a_preview_shows_the_next_runs_in_local_time_and_utc_with_a_note_where_clocks_change() -> None:
    """Across the change to summer time, the same local time is another instant, and the preview says so."""
    answer = (await preview(**CRON, n="2", after="2026-03-06T12:00:00Z")).json()
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
    answer = await preview(**params)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"{named}:")
