"""Jobs in a browser: listed, narrowed, acted on by hundreds, and each with what was, is and will be of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from dashboard_team import Team
    from playwright.sync_api import Page

LATER = "2999-01-01T00:00:00Z"
HOSTILE = '<img src=x onerror="document.title=1">\u202egpj'


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """Give the file for which runs wait."""
    return tmp_path / "go"


def _many(team: Team, number: int, **columns: object) -> None:
    """Insert jobs that are due in years, in one request."""
    row = {"workspace_id": str(team.workspace), "handler": "noop", "run_date": LATER, **columns}
    with team.rest("editor") as client:
        client.post(
            "/scheduled_jobs", json=[{**row, "name": f"{row['name']} {n}"} for n in range(number)]
        ).raise_for_status()


def _status(project, name: str) -> dict[str, int]:
    query = "select status, count(*) as jobs from public.scheduled_jobs where name like %s group by status"
    return {row["status"]: row["jobs"] for row in project.rows(query, f"{name} %")}


def _named(page: Page, name: str):
    return page.get_by_role("link", name=name, exact=True)


def test_a_job_that_somebody_inserts_shows_by_itself_and_so_does_its_status(visit, team, held) -> None:
    """With its schedule in words and its handler."""
    page = visit("viewer").go("/jobs")
    expect(page.get_by_role("status").get_by_text("Live")).to_be_visible()
    team.insert(name="Each weekday", trigger_type="cron", schedule={"expression": "0 9 * * 1-5"}, timezone="Asia/Tokyo")
    row = page.get_by_role("row").filter(has=_named(page, "Each weekday"))
    expect(row).to_contain_text("At 09:00, Monday through Friday")
    expect(row).to_contain_text("Asia/Tokyo")
    team.insert(handler="play", name="Long", metadata={"hold": str(held)})
    row = page.get_by_role("row").filter(has=_named(page, "Long"))
    expect(row).to_contain_text("running")
    held.touch()
    expect(row).to_contain_text("completed")


def test_a_filter_is_in_the_address_and_no_match_is_not_no_jobs(visit, team) -> None:
    """Somebody else opens the same address; a name is a text, not a pattern."""
    team.insert(name="100% of it", run_date=LATER)
    team.insert(name="100 of it", run_date=LATER)
    page = visit("editor").go("/jobs")
    page.get_by_label("Search by name").fill("100%")
    expect(_named(page, "100 of it")).to_have_count(0)
    expect(_named(page, "100% of it")).to_be_visible()
    page.get_by_text("Status", exact=True).first.click()
    page.get_by_label("failed", exact=True).check()
    expect(page.get_by_text("No job matches")).to_be_visible()
    assert "status=failed" in page.url
    again = visit("viewer").page
    again.goto(page.url)
    expect(again.get_by_text("No job matches")).to_be_visible()
    again.get_by_role("button", name="Clear filter").last.click()
    expect(_named(again, "100 of it")).to_be_visible()
    stranger = visit("stranger").go("/jobs", name="100")
    expect(stranger.get_by_text("100 of it")).to_have_count(0)


def test_an_act_on_all_that_match_counts_first_and_leaves_others_alone(visit, team, project) -> None:
    """Paused, resumed, cancelled, retried: more jobs than a page shows."""
    _many(team, 120, name="Crowd")
    _many(team, 3, name="Bystander")
    page = visit("editor").go("/jobs", name="Crowd")
    for act, sentence, after in (
        ("Pause", "120 jobs of 120 will be paused.", "paused"),
        ("Resume", "120 jobs of 120 will be resumed.", "scheduled"),
        ("Cancel", "120 jobs of 120 will be cancelled.", "cancelled"),
        ("Retry", "120 jobs of 120 will be retried.", "scheduled"),
    ):
        page.get_by_label("Select all that are shown").check()
        page.get_by_role("button", name="Select all that match").click()
        page.get_by_role("region", name="Selected jobs").get_by_role("button", name=act, exact=True).click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(sentence)
        dialog.get_by_role("button", name=f"{act} 120 jobs").click()
        expect(dialog).to_have_count(0)
        assert _status(project, "Crowd") == {after: 120}
    assert _status(project, "Bystander") == {"scheduled": 3}


def test_an_act_on_all_of_mine_leaves_those_of_others_alone(visit, team, project) -> None:
    """The database's act knows no "mine": the page names the jobs."""
    _many(team, 3, name="Mixed")
    theirs = team.insert("admin", name="Mixed too", run_date=LATER)["id"]
    page = visit("editor").go("/jobs", name="Mixed", mine="yes")
    expect(page.locator("tbody tr")).to_have_count(3)
    page.get_by_label("Select all that are shown").check()
    page.get_by_role("button", name="Select all that match").click()
    page.get_by_role("region", name="Selected jobs").get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Pause 3 jobs").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert _status(project, "Mixed") == {"paused": 3, "scheduled": 1}
    assert project.job(theirs)["status"] == "scheduled"


def test_the_keyboard_selects_and_opens_rows(visit, team, project) -> None:
    """/ searches, Enter leaves the field; j chooses, x selects, Enter opens; p and r act on the job."""
    job = team.insert(name="By keys", run_date=LATER)["id"]
    page = visit("editor").go("/jobs")
    expect(_named(page, "By keys")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("By keys")
    expect(page).to_have_url(re.compile("name=By"))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.keyboard.press("Enter")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_text("1 job selected")).to_be_visible()
    page.keyboard.press("p")
    project.wait(job, "paused")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="By keys")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.keyboard.press("p")
    project.wait(job, "scheduled")
    page.keyboard.press("r")
    expect(page.get_by_text("A run is queued")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="manual")).to_contain_text("completed")


def test_a_viewer_finds_acts_disabled_with_the_reason(visit, team) -> None:
    """On the page of a job and in the list."""
    job = team.insert(name="Not theirs", run_date=LATER)["id"]
    page = visit("viewer").go(f"/jobs/{job}")
    for name in ("Run now", "Pause", "Edit", "Cancel job", "Delete"):
        button = page.get_by_role("button", name=re.compile(f"^{name}"))
        assert button.get_attribute("aria-disabled") == "true"
        assert "viewer" in (button.get_attribute("title") or "")


def test_a_job_shows_its_runs_figures_payload_and_audit(visit, team, project) -> None:
    """Figures are those of job_stats; secrets are covered, and numbers exact."""
    job = team.insert(
        handler="play",
        name="Whole",
        trigger_type="weekly",
        schedule={"time": "02:30", "days": ["sunday"]},
        timezone="Europe/Berlin",
        metadata={"say": ["a"], "result": 9007199254740993},
    )["id"]
    with team.rest("editor") as client:
        for _ in range(3):
            client.post("/rpc/run_job_now", json={"job": job}).raise_for_status()
        client.patch(f"/scheduled_jobs?id=eq.{job}", json={"priority": 7}).raise_for_status()
    page = visit("viewer").go(f"/jobs/{job}")
    expect(page.get_by_role("row").filter(has_text="completed")).to_have_count(3)
    page.get_by_role("tab", name="Next ten").click()
    expect(page.locator(".upcoming-runs li")).to_have_count(10)
    expect(page.get_by_text("At 02:30, Sunday, Europe/Berlin")).to_be_visible()
    page.get_by_role("tab", name="Figures").click()
    with team.rest("viewer") as client:
        stats = client.post("/rpc/job_stats", json={"job": job}).raise_for_status().json()
    facts = page.get_by_role("heading", name="All its runs").locator("xpath=../..")
    expect(facts).to_contain_text(f"Runs{stats['total_runs']}")
    expect(facts).to_contain_text(f"Completed{stats['successful_runs']}")
    page.get_by_role("tab", name="Payload").click()
    expect(page.get_by_role("region", name="Payload")).to_contain_text("9007199254740993")
    page.get_by_role("tab", name="Audit").click()
    entries = page.get_by_role("list", name="Changes of this job")
    expect(entries).to_contain_text("priority")
    assert page.url.count("tab=audit") == 1


def test_what_the_handler_marks_secret_is_covered(visit, team) -> None:
    """In the payload of a job, in its form until it is asked for, and in the code that the form offers."""
    payload = {"title": "Secrets", "recipients": ["a@example.com"], "api_key": "hush-hush"}
    job = team.insert(handler="send_report", name="Secrets", run_date=LATER, metadata=payload)["id"]
    window = visit("editor")
    page = window.go(f"/jobs/{job}", tab="payload")
    expect(page.get_by_role("region", name="Payload")).to_contain_text("[redacted]")
    window.go(f"/jobs/{job}/edit")
    page.get_by_label("Title required").fill("Other")
    for language in ("SQL", "supabase-js", "curl"):
        page.get_by_role("tab", name=language).click()
        expect(page.get_by_role("region", name=language)).to_contain_text("[redacted]")
    assert "hush-hush" not in page.content()
    field = page.get_by_label("Api key", exact=True)
    expect(field).to_have_attribute("type", "password")
    page.get_by_role("button", name="Show Api key").click()
    expect(field).to_have_attribute("type", "text")


def test_a_job_is_cancelled_after_a_question_and_deleted_unless_it_is_taken_back(visit, team, project) -> None:
    """A deleted job still shows who did it."""
    job = team.insert(name="To go", run_date=LATER)["id"]
    window = visit("editor")
    page = window.go(f"/jobs/{job}")
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    project.wait(job, "cancelled")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").click()
    window.go(f"/jobs/{job}")
    expect(page.get_by_role("heading", name="To go")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)  # the five seconds are over
    expect(page.get_by_role("link", name="To go")).to_have_count(0)
    window.go(f"/jobs/{job}")
    expect(page.get_by_text("There is no such job")).to_be_visible()
    expect(page.get_by_role("list", name="Changes of this job")).to_contain_text("deleted")


def test_what_somebody_wrote_is_text(visit, team) -> None:
    """In the list, the title, the description and the payload."""
    job = team.insert(name=HOSTILE, description=HOSTILE, handler="play", metadata={"fault": HOSTILE, "say": [HOSTILE]})[
        "id"
    ]
    window = visit("viewer")
    for route in ("/jobs", f"/jobs/{job}", f"/jobs/{job}?tab=payload"):
        page = window.go(route.partition("?")[0], **({"tab": "payload"} if "?" in route else {}))
        expect(page.get_by_text('<img src=x onerror="document.title=1">⟨U+202E⟩gpj').first).to_be_visible()
        assert page.locator("img").count() == 0
    assert page.title() != "1"
