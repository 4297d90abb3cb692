"""The preview of a schedule over HTTP: invalid requests are refused by name, and the loop goes on."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from urllib.parse import quote

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.app.http import HttpAccess, application
from listener.domain.days import CronDays
from listener.preview import answers
from listener.preview.request import NAMES

NOON = datetime(2026, 3, 7, 12, tzinfo=UTC)
CRON = {"cron": "0 9 * * 1-5", "timezone": "America/New_York"}
PAGE = "https://app.example.com"


def client(*origins: str) -> httpx.AsyncClient:
    """A client of an application that begins at noon."""
    app = application(lambda: None, bytes, None, lambda: NOON, HttpAccess((), origins))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def preview(**params: str) -> httpx.Response:
    """Ask for a preview at noon."""
    async with client() as asking:
        return await asking.get("/api/preview", params=params)


async def test_a_preview_shows_the_next_runs_in_local_time_and_utc_with_a_note_where_clocks_change() -> None:
    """Across the change to summer time, the same local time is another instant, and the preview says so."""
    answer = (await preview(**CRON, n="2", after="2026-03-06T12:00:00Z")).json()
    assert answer["description"] == "At 09:00, Monday through Friday, America/New_York"
    assert [run["at"] for run in answer["runs"]] == ["2026-03-06T14:00:00Z", "2026-03-09T13:00:00Z"]
    assert answer["runs"][0]["note"] is None
    assert answer["runs"][1]["note"]


def scheduled(trigger: str, schedule: str) -> dict[str, str]:
    """The words of a schedule that is JSON."""
    return {"trigger": trigger, "schedule": schedule}


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({}, "trigger"),
        ({"cron": "99 * * * *"}, "scheduled_jobs.schedule"),
        ({"cron": ""}, "scheduled_jobs.schedule"),
        ({"cron": "1," * 1500 + "1 * * * *"}, "scheduled_jobs.schedule"),
        ({**CRON, "timezone": "Mars/Base"}, "scheduled_jobs.timezone"),
        ({**CRON, "timezone": ""}, "scheduled_jobs.timezone"),
        ({**CRON, "timezone": "A" * 5000}, "timezone"),
        ({**CRON, "n": "0"}, "n"),
        ({**CRON, "n": "101"}, "n"),
        ({**CRON, "n": ""}, "n"),
        ({**CRON, "n": "000000001" + "9" * 1000}, "n"),
        ({**CRON, "n": "5.0"}, "n"),
        ({**CRON, "after": "tomorrow"}, "after"),
        ({**CRON, "after": "2026-03-07T12:00:00"}, "after"),
        ({**CRON, "after": "0001-01-01T00:00:00+14:00"}, "after"),
        ({**CRON, "after": "9999-12-31T23:59:59-12:00"}, "after"),
        ({**CRON, "run_date": "0001-01-01T00:00:00+14:00"}, "run_date"),
        ({**CRON, "ends_at": "9999-12-31T23:59:59-12:00"}, "ends_at"),
        ({**CRON, "trigger": "daily"}, "cron"),
        ({**CRON, "zone": "UTC"}, "parameter"),
        (scheduled("daily", "{"), "schedule"),
        (scheduled("daily", ""), "schedule"),
        (scheduled("daily", "[]"), "scheduled_jobs.schedule"),
        (scheduled("daily", "null"), "scheduled_jobs.schedule"),
        (scheduled("daily", "[" * 1999), "schedule"),
        (scheduled("daily", '{"a":' * 399), "schedule"),
        (scheduled("daily", "[" * 5000), "schedule"),
        (scheduled("daily", '{"time": {"a": [[[]]]}}'), "scheduled_jobs.schedule"),
        (scheduled("daily", '{"time": "10:00", "time": "11:00"}'), "schedule"),
        (scheduled("daily", '{"time": "\\ud800"}'), "scheduled_jobs.schedule"),
        (scheduled("interval", '{"seconds": NaN}'), "schedule"),
        (scheduled("interval", '{"seconds": -Infinity}'), "schedule"),
        (scheduled("interval", '{"seconds": 1e400}'), "scheduled_jobs.schedule"),
        (scheduled("interval", '{"seconds": ' + "9" * 1500 + "}"), "scheduled_jobs.schedule"),
        (scheduled("interval", '{"seconds": true}'), "scheduled_jobs.schedule"),
        (scheduled("weekly", '{"time": "10:00", "days": [["monday"]]}'), "scheduled_jobs.schedule"),
        (scheduled("monthly", '{"time": "10:00", "days": [' + "9" * 1500 + "]}"), "scheduled_jobs.schedule"),
        (scheduled("monthly", '{"time": "10:00", "days": [1], "missing_day": {}}'), "scheduled_jobs.schedule"),
        (scheduled("cron", '{"expression": {"a": []}}'), "scheduled_jobs.schedule"),
    ],
)
async def test_a_preview_of_nonsense_is_refused_by_name(params: dict[str, str], named: str) -> None:
    """The answer is 400, and names the parameter, its value and what is allowed, in few words."""
    answer = await preview(**params)
    message = answer.json()["message"]
    assert answer.status_code == 400
    assert message.startswith(f"{named}: ")
    assert " is not allowed; expected " in message
    assert len(message) < 500


@pytest.mark.parametrize(
    "query",
    ["cron=%ff", "cron=%ed%a0%80", "cron=@daily&cron=@hourly", "cron", "&&&", "&".join(f"n={i}" for i in range(500))],
)
async def test_a_query_that_is_no_form_of_words_is_refused(query: str) -> None:
    """Bytes that are not UTF-8, a word twice, no value: whichever of two meanings was meant is not guessed."""
    async with client() as asking:
        answer = await asking.get(f"/api/preview?{query}")
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("query: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
)
WORDS = st.dictionaries(
    st.sampled_from(NAMES) | st.text(max_size=9),
    st.sampled_from(["cron", "daily", "weekly", "interval", "@daily", "0 0 29 2 1", "UTC", "2026-03-07T12:00:00Z", "3"])
    | st.text(max_size=30)
    | JSON.map(json.dumps),
    max_size=5,
)


@pytest.mark.slow
@given(WORDS)
def test_whatever_is_asked_is_answered_or_refused(words: dict[str, str]) -> None:
    """No input is a fault of the service."""

    async def ask() -> int:
        async with client() as asking:
            query = "&".join(
                f"{quote(name, errors='replace')}={quote(text, errors='replace')}" for name, text in words.items()
            )
            return (await asking.get(f"/api/preview?{query}")).status_code

    assert anyio.run(ask) in {200, 400}


async def test_sixteen_clients_are_served_one_after_the_other_and_beside_the_loop(monkeypatch) -> None:
    """No thread but one computes at a time, none of them is the loop's, and those beyond the bound come later."""
    compute, computing, most = answers._compute, [], []
    release = threading.Event()

    def watched(*arguments):
        computing.append(threading.current_thread())
        most.append(len(computing))
        assert release.wait(30)
        try:
            return compute(*arguments)
        finally:
            computing.pop()

    monkeypatch.setattr(answers, "_compute", watched)
    codes: list[int] = []
    async with client() as asking, anyio.create_task_group() as tasks:

        async def ask() -> None:
            answer = await asking.get("/api/preview", params=CRON)
            codes.append(answer.status_code)
            assert answer.status_code == 200 or answer.headers["retry-after"] == "1"

        for _ in range(answers.MOST_WAITING + 3):
            tasks.start_soon(ask)
        with anyio.fail_after(30):
            while len(codes) < 2 or not computing:  # noqa: ASYNC110 - the loop goes on while the one preview computes
                await anyio.sleep(0.01)
        assert computing[0] is not threading.main_thread()
        release.set()
    assert sorted(codes) == [200] * (answers.MOST_WAITING + 1) + [503] * 2
    assert max(most) == 1


async def test_after_a_preview_the_next_one_waits_several_times_as_long(monkeypatch) -> None:
    """A thread that computes takes the interpreter from the loop: previews have it for a part of the time."""
    times: list[float] = []

    def slow(*_) -> dict[str, object]:
        began = time.thread_time()
        times.append(time.monotonic())
        while time.thread_time() < began + 0.03:
            pass
        times.append(time.monotonic())
        return {}

    monkeypatch.setattr(answers, "_compute", slow)
    async with client() as asking, anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(lambda: asking.get("/api/preview", params=CRON))
    assert times[2] - times[1] >= 3 * 0.03


@pytest.mark.parametrize("cron", ["0 0 29 2 */7", "0 0 * 2 sun#5", "0 0 29 2 ?", "30 2 31 1 *", "* * * * * *"])
async def test_a_preview_of_a_rare_date_looks_at_few_months(monkeypatch, cron: str) -> None:
    """At those alone that the expression names: a 29 February on a Sunday comes each 28th year."""
    looked = []
    of_month = CronDays.of_month
    monkeypatch.setattr(CronDays, "of_month", lambda *a: looked.append(a) or of_month(*a))
    assert (await preview(cron=cron, n="100")).status_code == 200
    assert len(looked) <= 100 * 60


async def test_pages_of_allowed_origins_alone_may_ask() -> None:
    """Also when it is refused: the page can show why."""
    async with client(PAGE) as asking:
        for params, status in ((CRON, 200), ({}, 400)):
            ours = await asking.get("/api/preview", params=params, headers={"origin": PAGE})
            theirs = await asking.get("/api/preview", params=params, headers={"origin": "https://evil.example"})
            assert (ours.status_code, ours.headers["access-control-allow-origin"]) == (status, PAGE)
            assert "access-control-allow-origin" not in theirs.headers
        elsewhere = await asking.get("/livez", headers={"origin": PAGE})
        assert "access-control-allow-origin" not in elsewhere.headers


@pytest.mark.parametrize(("origin", "status"), [(PAGE, 200), ("https://evil.example", 400)])
async def test_a_preflight_is_answered(origin: str, status: int) -> None:
    """As browsers ask before a request that is not simple."""
    headers = {"origin": origin, "access-control-request-method": "GET"}
    async with client(PAGE) as asking:
        answer = await asking.options("/api/preview", headers=headers)
        assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (
            status,
            PAGE if status == 200 else None,
        )
        assert (await asking.options("/api/preview")).status_code == 204
        assert (await asking.post("/api/preview")).status_code == 405
