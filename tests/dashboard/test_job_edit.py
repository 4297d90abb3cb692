"""Jobs made and edited in a browser: from the schema of a handler, with the next runs, and beside somebody else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from dashboard_team import Team
    from playwright.sync_api import Page
    from supabase_project import Project

LATER = "2999-01-01T00:00:00Z"


def _saved(page: Page) -> int:
    """Wait for the page of the job that was written; give its id."""
    expect(page).to_have_url(re.compile(r"/jobs/\d+\?"))
    return int(re.search(r"/jobs/(\d+)", page.url).group(1))


def _change(team: Team, job: int, **columns: object) -> None:
    """Change a job as somebody else."""
    with team.rest("admin") as client:
        client.patch(f"/scheduled_jobs?id=eq.{job}", json=columns).raise_for_status()


def test_a_job_is_made_from_the_schema_of_its_handler(visit, project: Project) -> None:
    """A missing value is said at the field; defaults are left to the handler."""
    page = visit("editor").go("/jobs/new")
    page.get_by_label("Handler", exact=True).select_option("send_report")
    page.get_by_label("Name").fill("Figures")
    page.get_by_label("Title required").fill("Q3")
    page.get_by_role("button", name="Create job").click()
    title = page.get_by_label("Title required")
    expect(title).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("Must have at least 3 characters")).to_be_visible()
    title.fill("Quarter 3")
    expect(page.get_by_text("Must have at least 1 item")).to_be_visible()
    page.get_by_role("button", name="Add to Recipients").click()
    page.get_by_label("Recipients 1", exact=True).fill("a@example.com")
    page.get_by_role("button", name="Add Period").click()
    page.get_by_label("Since").fill("2026-01-01")
    page.get_by_text("Weekly", exact=True).click()
    page.get_by_text("Fri", exact=True).click()
    page.get_by_label("Time zone").last.fill("tok")
    page.get_by_role("option", name="Asia/Tokyo").click()
    page.get_by_label("At", exact=True).fill("18:30")
    expect(page.get_by_text("At 18:30, Monday, Friday, Asia/Tokyo")).to_be_visible()
    expect(page.locator(".upcoming-runs li")).to_have_count(5)
    page.get_by_role("button", name="Create job").click()
    row = project.job(_saved(page))
    written = {
        column: row[column] for column in ("name", "handler", "metadata", "schedule", "timezone", "max_attempts")
    }
    assert written == {
        "name": "Figures",
        "handler": "send_report",
        "metadata": {"title": "Quarter 3", "recipients": ["a@example.com"], "period": {"since": "2026-01-01"}},
        "schedule": {"time": "18:30", "days": ["monday", "friday"]},
        "timezone": "Asia/Tokyo",
        "max_attempts": 4,
    }


def test_what_the_database_refuses_is_said_at_the_field(visit, team) -> None:
    """A column of the schedule, and one behind "Advanced", which opens."""
    window = visit("editor")
    window.expects("400|403")
    page = window.go("/jobs/new", handler="noop")
    page.get_by_text("Cron", exact=True).click()
    page.get_by_label("Expression").fill("61 * * * *")
    page.get_by_role("button", name="Create job").click()
    field = page.get_by_label("Expression")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#job-schedule-fault")).to_contain_text("is not allowed; expected")
    field.fill("@daily")
    page.get_by_text("Advanced").click()
    page.get_by_label("Timeout").fill("999999999")
    page.get_by_text("Advanced").click()
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_label("Timeout")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Timeout")).to_be_visible()


def test_a_payload_is_edited_as_json_with_exact_numbers(visit, team, project) -> None:
    """Broken JSON says where, and is not written."""
    job = team.insert(handler="play", name="Exact", run_date=LATER, metadata={"result": 9007199254740993})["id"]
    page = visit("editor").go(f"/jobs/{job}/edit")
    page.get_by_role("button", name="JSON").click()
    field = page.get_by_label("Payload as JSON")
    expect(field).to_have_value('{\n  "result": 9007199254740993\n}')
    field.fill('{"result": 9007199254740995,}')
    expect(page.get_by_text("line 1, column 29")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    field.fill('{"result": 9007199254740995}')
    page.get_by_role("button", name="Save").click()
    _saved(page)
    assert project.job(job)["metadata"] == {"result": 9007199254740995}
    assert project.rows("select metadata::text as text from public.scheduled_jobs where id = %s", job) == [
        {"text": '{"result": 9007199254740995}'}
    ]


def test_an_edit_beside_somebody_else_shows_theirs_and_lets_one_take_either(visit, team, project) -> None:
    """Their own changes stay; where both changed a value, one is chosen."""
    job = team.insert(name="Ours", run_date=LATER, priority=1)["id"]
    page = visit("editor").go(f"/jobs/{job}/edit")
    page.get_by_label("Name").fill("Mine")
    page.get_by_text("Advanced").click()
    page.get_by_label("Priority").fill("5")
    _change(team, job, name="Theirs", priority=9, description="They wrote this")
    page.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog", name="Somebody else changed this job")
    expect(dialog.get_by_role("row").filter(has_text="description")).to_contain_text("They wrote this")
    dialog.get_by_label("Theirs", exact=True).check()
    dialog.get_by_role("button", name="Save").click()
    _saved(page)
    row = project.job(job)
    assert (row["name"], row["priority"], row["description"]) == ("Theirs", 5, "They wrote this")


def test_a_run_meanwhile_is_no_conflict(visit, team, project) -> None:
    """A run moves the revision, but not what the job is."""
    job = team.insert(name="Busy", trigger_type="interval", schedule={"seconds": 86400}, run_date=LATER)["id"]
    page = visit("editor").go(f"/jobs/{job}/edit")
    before = project.job(job)["revision"]
    for status in ("paused", "scheduled"):
        _change(team, job, status=status)
    assert project.job(job)["revision"] > before
    page.get_by_label("Name").fill("Busy still")
    page.get_by_role("button", name="Save").click()
    _saved(page)
    assert project.job(job)["name"] == "Busy still"


def test_the_same_is_there_to_copy_and_does_the_same(visit, team, project) -> None:
    """The SQL that the form shows inserts the job that the form describes."""
    page = visit("editor").go("/jobs/new", handler="play")
    page.get_by_label("Name").fill("It's \\ SQL")
    page.get_by_label("Fault").fill('a "quoted" fault')
    page.get_by_text("Daily", exact=True).click()
    expect(page.get_by_role("region", name="SQL")).to_contain_text("daily")
    statement = page.get_by_role("region", name="SQL").inner_text()
    project.sql.execute(statement)
    (row,) = project.rows("select * from public.scheduled_jobs where name = %s", "It's \\ SQL")
    assert (row["metadata"], row["trigger_type"]) == ({"fault": 'a "quoted" fault'}, "daily")
    page.get_by_role("tab", name="curl").click()
    expect(page.get_by_role("region", name="curl")).to_contain_text("It'\\''s")


def test_a_job_is_made_with_the_keyboard_alone(visit, project) -> None:
    """From the list: n, then Tab, letters and Enter."""
    page = visit("editor").go("/jobs")
    page.keyboard.press("n")
    handler = page.get_by_label("Handler", exact=True)
    expect(handler).to_be_visible()
    while not handler.evaluate("field => field === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.type("noop")
    expect(handler).to_have_value("noop")
    page.keyboard.press("Tab")
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    assert project.job(_saved(page))["name"] == "By keyboard"


def test_axe_finds_nothing_in_a_form_with_all_that_it_can_have(visit, team) -> None:
    """With the fields of the payload and of "Advanced", and what is wrong with them."""
    window = visit("editor")
    page = window.go("/jobs/new", handler="send_report")
    page.get_by_role("button", name="Add to Recipients").click()
    page.get_by_role("button", name="Add Period").click()
    page.get_by_role("button", name="Add a key").click()
    page.get_by_text("Advanced").click()
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_text("Required", exact=True).first).to_be_visible()
    found = {}
    for trigger, scheme in (("Weekly", "light"), ("Cron", "light"), ("Monthly", "dark")):
        page.get_by_text(trigger, exact=True).click()
        window.settle()
        page.emulate_media(color_scheme=scheme)
        found[trigger] = window.violations()
    assert {place: faults for place, faults in found.items() if faults} == {}


def test_a_viewer_may_look_at_the_form_and_not_save(visit, team) -> None:
    """With the reason."""
    page = visit("viewer").go("/jobs/new", handler="noop")
    button = page.get_by_role("button", name=re.compile("^Create job"))
    assert button.get_attribute("aria-disabled") == "true"
    assert "viewer" in (button.get_attribute("title") or "")
