"""Runs, one run and failures: they follow what happens, say why, and act as the person may."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from dashboard_team import Team
    from supabase_project import Project

REASONS = {
    "overlap": ("skipped", "the job has overlap = skip"),
    "misfire": ("skipped", "misfire_grace_seconds = 60"),
    "paused": ("skipped", "the job was paused when it was due"),
    "no_handler": ("failed", "LISTENER_NO_HANDLER_SECONDS"),
    "timeout": ("failed", "timeout_seconds = 300"),
    "card_declined": ("failed", "The handler ended the run itself: reason = card_declined"),
}


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """Give the file for which runs wait."""
    return tmp_path / "go"


def _enter(project: Project, team: Team, job: int, **columns: object) -> str:
    """Enter a run into the ledger, as the service does; give its id."""
    row = {"scheduled_job_id": job, "workspace_id": team.workspace, "cause": "schedule", **columns}
    names, places = ", ".join(row), ", ".join(["%s"] * len(row))
    query = f"insert into public.job_executions ({names}) values ({places}) returning id"  # noqa: S608 - ours
    return str(project.rows(query, *row.values())[0]["id"])


def _later(team: Team, **columns: object) -> int:
    """Insert a job that is due in years."""
    return team.insert(run_date="2999-01-01T00:00:00Z", **columns)["id"]


def test_a_run_that_begins_elsewhere_shows_when_it_is_asked_for(visit, team, project) -> None:
    """A pill counts what is new, so that nothing moves under the pointer."""
    team.insert(name="The first")
    page = visit("viewer").go("/runs")
    expect(page.get_by_role("link", name="The first")).to_be_visible()
    expect(page.get_by_role("status").get_by_text("Live")).to_be_visible()
    team.insert(name="The second")
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    assert page.get_by_role("link", name="The second").count() == 0
    page.get_by_role("button", name="1 new").click()
    expect(page.get_by_role("link", name="The second")).to_be_visible()


def test_a_run_is_followed_to_its_end(visit, team, project, held) -> None:
    """Progress, the log and the result come by themselves."""
    payload = {"say": ["reading rows"], "progress": 0.4, "hold": str(held), "result": {"rows": 12345678901234567890}}
    job = team.insert(handler="play", name="Import", metadata=payload)["id"]
    project.wait(job, "running")
    page = visit("viewer").go(f"/runs/{project.ledger(job)[0]['id']}")
    expect(page.get_by_text("40 %")).to_be_visible()
    expect(page.get_by_text("reading rows")).to_be_visible()
    expect(page.get_by_text("not yet")).to_be_visible()
    held.touch()
    expect(page.get_by_text("12345678901234567890")).to_be_visible()
    expect(page.get_by_role("list", name="What happened").get_by_text("Completed")).to_be_visible()


def test_why_a_run_did_not_run_is_one_sentence_with_the_setting(visit, team, project) -> None:
    """The setting that decided, with its value in this job."""
    job = _later(team, handler="play", name="Reasons", misfire="skip")
    window = visit("viewer")
    for number, (reason, (status, words)) in enumerate(REASONS.items()):
        run = _enter(
            project,
            team,
            job,
            status=status,
            reason=reason,
            completed_at="2026-01-01Z",
            scheduled_for=f"2026-01-01T00:00:{number:02}Z",
        )
        expect(window.go(f"/runs/{run}").get_by_role("note")).to_contain_text(words)


def test_a_run_that_was_cleaned_away_says_for_how_long_runs_are_kept(visit, team) -> None:
    """An id that no ledger has, and one that is none."""
    window = visit("editor")
    for id_ in ("01234567-89ab-cdef-0123-456789abcdef", "none"):
        expect(window.go(f"/runs/{id_}").get_by_text("LISTENER_CLEANUP_AFTER_DAYS")).to_be_visible()


def test_an_editor_cancels_a_run_and_the_schedule_goes_on(visit, team, project, held) -> None:
    """The question says what else it stops; the handler ends, and the job is not cancelled."""
    job = team.insert(
        handler="play",
        name="Each year",
        trigger_type="interval",
        schedule={"seconds": 86400},
        metadata={"hold": str(held)},
    )["id"]
    project.wait(job, "running")
    page = visit("editor").go(f"/runs/{project.ledger(job)[0]['id']}")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_role("note")).to_contain_text("Somebody cancelled the job")
    assert project.wait(job, "scheduled")["next_run_at"] is not None


def test_an_editor_runs_it_again_rehearses_and_replays_it(visit, team, project) -> None:
    """Each leads to what it made; a payload that the handler refuses is shown with the database's words."""
    job = team.insert(handler="play", name="Again", metadata={"result": 9007199254740993})["id"]
    project.wait(job)
    (first,) = project.ledger(job)
    page = visit("editor").go(f"/runs/{first['id']}")
    page.get_by_role("button", name="Rehearse").click()
    expect(page.get_by_text("rehearsal", exact=True)).to_be_visible()
    page.get_by_role("button", name="Replay…").click()
    field = page.get_by_label("Payload, JSON")
    expect(field).to_have_value('{\n  "result": 9007199254740993\n}')
    field.fill('{"result": [}')
    page.get_by_role("button", name="Run it").click()
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill('{"result": 9007199254740995}')
    page.get_by_role("button", name="Run it").click()
    page.wait_for_url("**#/jobs/*")
    replayed = project.rows("select * from public.scheduled_jobs where name = 'Replay of Again'")[0]
    assert project.wait(replayed["id"])["result"] == 9007199254740995


def test_a_run_of_a_handler_that_users_may_not_schedule_is_not_replayed(visit, team, project) -> None:
    """The button says why before anything is typed; running the job again is another matter."""
    url = {"url": "http://127.0.0.1:1/"}
    job = project.insert("webhook", workspace_id=str(team.workspace), metadata=url, max_attempts=1)
    project.wait(job, "failed")
    page = visit("editor").go(f"/runs/{project.ledger(job)[0]['id']}")
    replay = page.get_by_role("button", name="Replay…")
    expect(replay).to_have_attribute("aria-disabled", "true")
    expect(replay).to_have_attribute("title", re.compile("not exposed"))
    expect(page.get_by_role("button", name="Rehearse")).not_to_have_attribute("aria-disabled", "true")


def test_selected_runs_and_a_group_of_failures_are_retried_after_a_count(visit, team, project) -> None:
    """Errors that differ in numbers are one group; jobs that end are retried, each once."""
    jobs = [
        team.insert(handler="play", name=f"Invoice {n}", metadata={"fault": f"invoice {n} is overdue"})["id"]
        for n in (1, 2)
    ]
    for job in jobs:
        project.wait(job, "failed")
    page = visit("editor").go("/failures")
    row = page.get_by_role("row").filter(has_text="is overdue")
    expect(row).to_have_count(1)
    row.get_by_role("button", name="Retry").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("2 jobs ended")).to_be_visible()
    dialog.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("2 jobs will run again")).to_be_visible()
    for job in jobs:
        project.wait_for_runs(job, 2)
    row.get_by_role("cell").first.click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(4)
    page.get_by_label("Select the run of Invoice 1").first.check()
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    assert len(project.wait_for_runs(jobs[0], 3)) == 3


def test_filters_stand_in_the_address(visit, team, project) -> None:
    """A link shows to others the same as to oneself; no match is not none yet."""
    team.insert(name="Works")
    project.wait(team.insert(handler="play", name="Breaks", metadata={"fault": "no"})["id"])
    page = visit("viewer").go("/runs", status="failed", handler="play")
    expect(page.get_by_role("link", name="Breaks")).to_be_visible()
    assert page.get_by_role("link", name="Works", exact=True).count() == 0
    page.get_by_text("Status", exact=False).first.click()
    page.get_by_label("queued").check()
    page.get_by_label("failed").uncheck()
    expect(page.get_by_role("link", name="Breaks")).to_have_count(0)
    assert "status=queued" in page.url
    expect(visit("viewer").go("/runs", error="0123").get_by_text("No run matches")).to_be_visible()


HOSTILE = "</title><script>window.hacked=1</script><img src=x onerror=window.hacked=1> \u202egnp.exe \u0007 שלום"
MEGABYTE = "x" * 1_000_000 + "<b>the end</b>"


def test_hostile_text_shows_as_text_everywhere(visit, team, project) -> None:
    """In names, descriptions, payloads, lines of the log, errors and results; a line of 1 MB is cut until asked for."""
    said = {"say": [HOSTILE], "fault": HOSTILE}
    job = team.insert(handler="play", name=HOSTILE[:400], description=HOSTILE, job_type=HOSTILE[:100], metadata=said)[
        "id"
    ]
    project.wait(job)
    run = project.ledger(job)[0]["id"]
    line = "insert into public.job_execution_logs (execution_id, message, fields) values (%s, %s, %s) returning id"
    project.rows(line, run, MEGABYTE, json.dumps({HOSTILE.replace("\u0007", ""): HOSTILE.replace("\u0007", "")}))
    window = visit("admin")
    dialogs: list[str] = []
    window.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    routes = ["/", "/jobs", f"/jobs/{job}", f"/jobs/{job}/edit", "/runs", f"/runs/{run}", "/failures", "/audit"]
    for route in routes:
        page = window.go(route)
        state = page.evaluate(
            "() => [window.hacked ?? null, document.querySelectorAll('img, #app script, #app b').length,"
            " document.getElementById('app').textContent.includes('\\u202e'), document.body.textContent.length]"
        )
        assert state[:3] == [None, 0, False], route
        assert state[3] < 200_000, route
    assert dialogs == []
    page = window.go(f"/runs/{run}")
    expect(page.get_by_text("<script>window.hacked=1</script>").first).to_be_visible()
    page.get_by_role("button", name="show all 1,000,014 characters").click()
    expect(page.get_by_text("<b>the end</b>")).to_be_attached()
