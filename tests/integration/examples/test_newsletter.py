"""The newsletter app: ten endpoints under the caller's own rights, and the three ways in which it is used."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest
from child_listener import listeners_on
from example_apps import applications, migrated
from mail_server import Inbox, serving
from printed_pages import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.stack
ROOT = "/api/v1/scheduler"
DAILY = {"schedule_type": "daily", "schedule_time": "08:00", "timezone": "America/New_York"}
READERS = ["ada@example.com", "grace@example.com"]


class MoodyInbox(Inbox):
    """Says "later" once to the recipients in `later`."""

    def __init__(self) -> None:
        super().__init__()
        self.later: set[str] = set()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802 - aiosmtpd's
        """Take or refuse a recipient."""
        if address in self.later:
            self.later.remove(address)
            return "451 later"
        return await super().handle_RCPT(server, session, envelope, address, options)


@dataclass
class Newsroom:
    """The app, a listener, sites with news and a mail server; and a workspace of ada's."""

    stack: Any
    app: str
    feeds: str
    inbox: MoodyInbox
    http: httpx.Client
    workspace: str = ""

    def call(self, method: str, path: str, user: str | None = "ada", **body: Any) -> httpx.Response:
        """Call an endpoint as a user."""
        headers = {} if user is None else {"Authorization": f"Bearer {self.stack.user_token(user)}"}
        return self.http.request(method, f"{self.app}{ROOT}{path}", headers=headers, json=body or None)

    def rest(self, table: str, rows: Any, user: str = "ada") -> Any:
        """Insert rows as a user."""
        headers = {"apikey": self.stack.anon_key, "Authorization": f"Bearer {self.stack.user_token(user)}"}
        headers["Prefer"] = "return=representation"
        answer = self.http.post(f"{self.stack.url}/rest/v1/{table}", headers=headers, json=rows)
        assert answer.is_success, answer.text
        return answer.json()

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the operator."""
        with psycopg.connect(self.stack.database_url, autocommit=True) as database:
            done = database.execute(statement, values)
            return done.fetchall() if done.description else []

    def create(self, **fields: Any) -> dict[str, Any]:
        """Create a newsletter."""
        answer = self.call("POST", "", workspace_id=self.workspace, **{"name": "Digest", **DAILY, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def run(self, newsletter: dict[str, Any], *, test_mode: bool = False) -> dict[str, Any]:
        """Run it now, and give the entry of the history in which it ended."""
        self.inbox.mails.clear()
        started = self.call("POST", f"/{newsletter['id']}/run-now", test_mode=test_mode)
        assert started.status_code == 202, started.text
        return self.ended(newsletter, lambda entry: entry["execution_id"] == started.json()["execution_id"])

    def ended(self, newsletter: dict[str, Any], which: Any) -> dict[str, Any]:
        """Wait until a run of the history has ended."""
        deadline = time.monotonic() + 120  # a bound: a busy machine
        while time.monotonic() < deadline:
            for entry in self.call("GET", f"/{newsletter['id']}/history").json():
                if which(entry) and entry["status"] not in {"queued", "running"}:
                    return entry
            time.sleep(0.1)
        raise TimeoutError

    def next_run(self, newsletter: dict[str, Any]) -> datetime:
        """Wait until the listener has planned it; gives the instant in its own zone."""
        deadline = time.monotonic() + 120  # a bound: a busy machine
        while time.monotonic() < deadline:
            shown = self.call("GET", f"/{newsletter['id']}").json()
            if shown["next_run_at"]:
                return datetime.fromisoformat(shown["next_run_at"]).astimezone(ZoneInfo(shown["timezone"]))
            time.sleep(0.1)
        raise TimeoutError


@pytest.fixture(scope="module")
def newsroom(emptied_stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newsroom]:
    """Have everything run."""
    stack, folder, inbox = emptied_stack, tmp_path_factory.mktemp("newsroom"), MoodyInbox()
    with ExitStack() as parts:
        parts.enter_context(migrated(stack, "newsletter/newsletter.sql"))
        mail = parts.enter_context(serving(inbox))
        apps = applications("newsletter", stack.environment(), "feeds:app", "newsletter_app.main:app")
        feeds, app = parts.enter_context(apps)
        listeners = parts.enter_context(listeners_on(stack, folder, EXAMPLES / "newsletter"))
        listeners.start(
            handlers="handlers,newsletter_jobs",
            smtp_url=f"smtp://{mail}?starttls=never",
            NEWSLETTER_HOSTS=feeds.removeprefix("http://"),
        )
        room = Newsroom(stack, app, feeds, inbox, parts.enter_context(httpx.Client(timeout=60)))
        room.workspace = room.rest("job_workspaces", {"name": "AI"})[0]["id"]
        of_room = {"workspace_id": room.workspace}
        paths = {"rss": "rss.xml", "json": "feed.json", "broken": "broken.xml", "odd": "odd.json"}
        room.rest("newsletter_sources", [{**of_room, "name": name, "url": f"{feeds}/{paths[name]}"} for name in paths])
        room.rest("newsletter_subscribers", [{**of_room, "email": email} for email in READERS])
        yield room


@pytest.fixture(autouse=True)
def usual_answers(newsroom: Newsroom) -> None:
    """Let the mail server take everything."""
    newsroom.inbox.mails.clear()
    newsroom.inbox.refused.clear()
    newsroom.inbox.answer = "250 taken"


def test_a_daily_digest_comes_at_eight_in_new_york(newsroom: Newsroom):
    """With the news of a day from all sources that answer, to every subscriber; a site that is down is only named."""
    digest = newsroom.create(config={"title": "AI daily", "max_items": 15, "days_back": 1})
    assert (digest["status"], digest["actions"]) == ("active", ["scrape", "generate", "send"])
    due = newsroom.next_run(digest)
    assert (due.hour, due.minute) == (8, 0)
    [(now,)] = newsroom.sql("select now()")
    assert timedelta(0) < due - now <= timedelta(hours=25)
    entry = newsroom.run(digest)
    scraped, generated, sent = entry["actions"]
    titles = ["PostgreSQL 19 is out", "Plant tulips now", "Row level security & you"]
    assert [item["title"] for item in scraped["result"]["items"]] == titles
    assert set(scraped["result"]["failed"]) == {"broken", "odd"}
    assert generated["result"]["subject"] == "AI daily: PostgreSQL 19 is out"
    assert sent["result"] == {"sent": 2, "refused": 0}
    assert sorted(to for to, _ in newsroom.inbox.mails) == [[reader] for reader in READERS]
    mail = newsroom.inbox.mails[0][1]
    assert mail["Subject"] == "AI daily: PostgreSQL 19 is out"
    assert "Row level security &amp; you" in mail.get_body(("html",)).get_content()
    issue = generated["result"]["issue_id"]
    deliveries = newsroom.sql("select status from newsletter_deliveries where issue_id = %s", issue)
    assert deliveries == [("sent",), ("sent",)]


def test_a_weekly_roundup_has_the_news_of_a_week(newsroom: Newsroom):
    """On its day, at its time, in its zone."""
    weekly = {"schedule_type": "weekly", "schedule_time": "17:30", "schedule_days": ["friday"]}
    roundup = newsroom.create(**{**weekly, "timezone": "Europe/Berlin"}, config={"sources": ["rss"], "days_back": 7})
    due = newsroom.next_run(roundup)
    assert (due.strftime("%A"), due.hour, due.minute) == ("Friday", 17, 30)
    [scraped, _, sent] = newsroom.run(roundup)["actions"]
    assert [item["title"] for item in scraped["result"]["items"]][-1] == "A release candidate"
    assert sent["result"]["sent"] == 2
    assert "A release candidate" in newsroom.inbox.mails[0][1].get_body(("plain",)).get_content()


def test_a_rehearsal_sends_nothing(newsroom: Newsroom):
    """It says to whom it would, and leaves no issue; the schedule goes on."""
    digest = newsroom.create()
    entry = newsroom.run(digest, test_mode=True)
    assert (entry["status"], entry["test_mode"]) == ("completed", True)
    assert entry["actions"][2]["result"] == {"would_send": READERS}
    assert entry["actions"][1]["result"]["issue_id"] is None
    assert newsroom.inbox.mails == []
    assert newsroom.sql("select from newsletter_issues where scheduled_job_id = %s", digest["id"]) == []
    assert newsroom.call("GET", f"/{digest['id']}").json()["status"] == "active"


def test_a_schedule_may_rehearse_first(newsroom: Newsroom):
    """Every second, and nobody gets a mail; then the same schedule sends."""
    cron = {"schedule_type": "cron", "schedule_time": None, "cron_expression": "* * * * * *"}
    trial = newsroom.create(**cron, config={"sources": ["rss"]}, test_mode=True)
    entry = newsroom.ended(trial, lambda entry: entry["actions"])
    assert (entry["test_mode"], entry["actions"][-1]["result"]) == (True, {"would_send": READERS})
    assert newsroom.inbox.mails == []
    assert newsroom.call("PUT", f"/{trial['id']}", test_mode=False).json()["test_mode"] is False
    entry = newsroom.ended(trial, lambda entry: not entry["test_mode"] and entry["status"] == "completed")
    assert entry["actions"][-1]["result"] == {"sent": 2, "refused": 0}
    newsroom.call("POST", f"/{trial['id']}/pause")
    for started in newsroom.call("GET", f"/{trial['id']}/history").json():  # none sends into the next test
        newsroom.ended(trial, lambda entry, run=started["execution_id"]: entry["execution_id"] == run)
    newsroom.call("DELETE", f"/{trial['id']}")


def test_what_an_action_completed_outlives_the_failure_of_a_later_one(newsroom: Newsroom):
    """The mail server says "later" to one reader: the next attempt only sends, and only to her."""
    digest = newsroom.create(config={"sources": ["rss"]})
    newsroom.sql("update scheduled_jobs set retry_delay_seconds = 0.1 where id = %s", digest["id"])
    newsroom.inbox.later.add("grace@example.com")
    first = newsroom.run(digest)
    noted = [(action["action"], action["status"]) for action in first["actions"]]
    assert noted == [("scrape", "completed"), ("generate", "completed"), ("send", "failed")]
    second = newsroom.ended(digest, lambda entry: entry["attempt"] == 2)
    assert [(action["action"], action["status"]) for action in second["actions"]] == [("send", "completed")]
    assert second["actions"][0]["result"] == {"sent": 1, "refused": 0}
    assert [to for to, _ in newsroom.inbox.mails] == [["ada@example.com"], ["grace@example.com"]]


def test_a_newsletter_whose_last_run_failed_is_failed(newsroom: Newsroom):
    """Its next run is scheduled nevertheless; a reader whom the server refuses for good is no failure."""
    digest = newsroom.create(config={"sources": ["broken"]})
    newsroom.sql("update scheduled_jobs set max_attempts = 1 where id = %s", digest["id"])
    entry = newsroom.run(digest)
    assert (entry["status"], entry["actions"][0]["status"]) == ("failed", "failed")
    shown = newsroom.call("GET", f"/{digest['id']}").json()
    assert (shown["status"], shown["last_run_status"]) == ("failed", "failed")
    newsroom.call("PUT", f"/{digest['id']}", config={"sources": ["rss"]})
    newsroom.inbox.refused["ada@example.com"] = "550 unknown"
    assert newsroom.run(digest)["actions"][2]["result"] == {"sent": 1, "refused": 1}
    assert newsroom.call("GET", f"/{digest['id']}").json()["status"] == "active"


def test_the_ten_endpoints(newsroom: Newsroom):
    """Create, list, get, update, pause, resume, run now, history, statistics, delete."""
    made = newsroom.create(name="Ten", description="all of them", actions=["scrape"], config={"sources": ["rss"]})
    path = f"/{made['id']}"
    newsroom.next_run(made)
    everything = newsroom.call("GET", f"/workspace/{newsroom.workspace}").json()
    assert [each for each in everything if each["name"] == "Ten"] == [newsroom.call("GET", path).json()]
    changed = newsroom.call("PUT", path, schedule_type="monthly", schedule_time="09:00", schedule_days=[1, -1]).json()
    words = ("schedule_type", "schedule_time", "schedule_days")
    assert [changed[word] for word in words] == ["monthly", "09:00", [1, -1]]
    assert newsroom.call("PUT", path, schedule_time="10:15").json()["schedule_days"] == [1, -1]
    assert newsroom.call("POST", f"{path}/pause").json()["status"] == "paused"
    paused = newsroom.call("GET", f"/workspace/{newsroom.workspace}?status=paused").json()
    assert [each["id"] for each in paused] == [made["id"]]
    assert newsroom.call("POST", f"{path}/resume").json()["status"] == "active"
    assert newsroom.call("PUT", path, status="disabled").json()["status"] == "disabled"
    assert newsroom.call("PUT", path, status="active").json()["status"] == "active"
    assert newsroom.run(made)["status"] == "completed"
    stats = newsroom.call("GET", f"{path}/stats").json()
    assert (stats["total_runs"], stats["successful_runs"], stats["success_rate"]) == (1, 1, 1)
    assert newsroom.call("DELETE", path).status_code == 204
    assert newsroom.call("GET", path).status_code == 404


def test_only_members_reach_a_newsletter(newsroom: Newsroom):
    """Each request has the caller's own rights: for others there is nothing, and nobody is not let in."""
    made = newsroom.create()
    path = f"/{made['id']}"
    of_one = {"GET": ["", "/history", "/stats"], "POST": ["/pause", "/resume", "/run-now"], "DELETE": [""]}
    for method, ends in of_one.items():
        assert {newsroom.call(method, path + end, user="mallory").status_code for end in ends} == {404}
    assert newsroom.call("PUT", path, user="mallory", name="mine").status_code == 404
    assert newsroom.call("GET", f"/workspace/{newsroom.workspace}", user="mallory").json() == []
    refused = newsroom.call("POST", "", user="mallory", workspace_id=newsroom.workspace, name="mine", **DAILY)
    assert refused.status_code == 403
    assert newsroom.call("GET", path, user=None).status_code == 401
    nonsense = {"Authorization": "Bearer nonsense"}
    assert newsroom.http.get(f"{newsroom.app}{ROOT}{path}", headers=nonsense).status_code == 401
    assert newsroom.call("GET", path).json()["id"] == made["id"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"schedule_time": "25:00"}, "schedule_time"),
        ({"schedule_type": "weekly"}, "schedule_days is required with weekly"),
        ({"schedule_type": "cron", "schedule_time": None, "cron_expression": "61 * * * *"}, "minute (field 1)"),
        ({"schedule_days": ["monday"]}, "schedule_days is not allowed with daily"),
        ({"actions": []}, "actions"),
        ({"actions": ["shout"]}, "shout"),
        ({"config": {"max_items": 0}}, "max_items"),
        ({"colour": "blue"}, "colour"),
    ],
    ids=["zone", "time", "no days", "cron", "days", "no action", "action", "config", "unknown"],
)
def test_what_makes_no_newsletter_is_refused(newsroom: Newsroom, wrong: dict[str, Any], named: str):
    """By the models, or by the database, whose message the answer has."""
    answer = newsroom.call("POST", "", workspace_id=newsroom.workspace, name="wrong", **{**DAILY, **wrong})
    assert answer.status_code == 422
    assert named in answer.text


def test_a_source_of_a_host_that_is_not_allowed_is_not_read(newsroom: Newsroom):
    """An editor chooses URLs, and the listener may reach more than editors may."""
    [inside] = newsroom.rest(
        "newsletter_sources",
        [{"workspace_id": newsroom.workspace, "name": "inside", "url": "http://169.254.169.254/latest"}],
    )
    digest = newsroom.create(actions=["scrape"], config={"sources": [inside["name"], "rss"]})
    [scraped] = newsroom.run(digest)["actions"]
    assert "not in NEWSLETTER_HOSTS" in scraped["result"]["failed"]["inside"]
