"""Every route, for everybody: it shows what the person may see, complains of nothing, and is usable by all.

Each window is checked at its end: no request to another host, nothing in the console.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from dashboard_team import ROLES
from playwright.sync_api import expect

if TYPE_CHECKING:
    from dashboard_browser import Visit
    from dashboard_team import Team

ROUTES = ("/", "/jobs", "/jobs/new", "/runs", "/failures", "/alerts", "/listeners", "/handlers", "/audit", "/workspace")
"""Those that need no id; see `every_route`."""
OWN_NAME = "Quarterly figures of Acme"
NARROW = {"width": 390, "height": 844}
WIDE = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def every_route(team, project, listener) -> list[str]:
    """Give all routes, with a job that failed and its run."""
    payload = {"say": ["reading"], "fault": "the bank declined the transfer of the quarter's rent to the owner"}
    job = team.insert(handler="play", name=OWN_NAME, metadata=payload)["id"]
    team.insert(name="Daily", trigger_type="daily", schedule={"time": "08:00"}, timezone="Europe/Berlin")
    project.wait(job)
    (run,) = project.ledger(job)
    return [*ROUTES, f"/jobs/{job}", f"/jobs/{job}/edit", f"/runs/{run['id']}"]


@pytest.mark.parametrize("role", ROLES)
def test_each_route_shows_what_the_person_may_see(visit, every_route, role: str) -> None:
    """A member sees the team's job; a stranger sees nothing of it on any route, and no error either."""
    window = visit(role)
    named = []
    for route in every_route:
        page = window.go(route)
        assert page.locator("h1, main h2").first.inner_text().strip(), route
        assert page.get_by_text("Something broke").count() == 0, route
        if OWN_NAME in page.locator("body").inner_text():
            named.append(route)
    if role == "stranger":
        assert named == []
    else:
        assert {"/jobs", "/runs", "/"} <= set(named)


def test_nobody_is_asked_to_sign_in(visit) -> None:
    """Without a session every route is the form."""
    window = visit(None)
    for route in ("/", "/jobs", "/runs"):
        expect(window.go(route).get_by_label("Password")).to_be_visible()


def test_axe_finds_nothing_in_the_light_and_in_the_dark_and_every_route_fits_a_telephone(visit, every_route) -> None:
    """Nothing is wider than the page, and nothing is cut off."""
    window = visit("editor")
    found = {}
    for route in every_route:
        page = window.go(route)
        found[f"{route} light"] = window.violations()
        page.emulate_media(color_scheme="dark")
        found[f"{route} dark"] = window.violations("color-contrast")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(NARROW)
        found[f"{route} narrow"] = [*_too_wide(window), *window.cut_off()]
        page.set_viewport_size(WIDE)
    assert {place: faults for place, faults in found.items() if faults} == {}


def _too_wide(window: Visit) -> list[str]:
    pixels = window.overflow()
    return [f"too wide by {pixels} pixels"] if pixels > 0 else []


def test_a_viewer_finds_acts_disabled_with_the_reason(visit, every_route) -> None:
    """On the pages of the runs; the editor may do them."""
    (run,) = [route for route in every_route if route.startswith("/runs/")]
    for role, disabled in (("viewer", "true"), ("editor", "false")):
        button = visit(role).go(run).get_by_role("button", name="Retry the job")
        assert button.get_attribute("aria-disabled") == disabled
        assert ("editor or an admin" in (button.get_attribute("title") or "")) == (role == "viewer")


def test_the_keyboard_is_enough(visit, every_route) -> None:
    """From the first page to a run and back, and to the list of keys; what has the focus is seen."""
    window = visit("editor")
    page = window.go("/")
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    expect(page.get_by_role("link", name=OWN_NAME)).to_be_visible()
    window.settle()
    page.keyboard.press("j")
    expect(page.locator("tr[data-chosen]")).to_be_visible()
    page.keyboard.press("x")
    expect(page.get_by_text("1 run of 1 job")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="What happened")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Tab")
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) != "none"


def test_the_command_line_the_page_and_the_ledger_have_the_same_figures(visit, team, project, listener) -> None:
    """Of a job that failed, was corrected and ran again; what was skipped is a row and no run."""
    job = team.insert(handler="play", name="Counted", metadata={"fault": "no"})["id"]
    project.wait(job, "failed")
    project.update(job, metadata={})
    project.call("retry_job", job=job)
    project.wait(job, "completed")
    project.rows(
        "insert into public.job_executions (scheduled_job_id, workspace_id, cause, status, reason,"
        " scheduled_for, completed_at) values (%s, %s, 'schedule', 'skipped', 'overlap', now() - interval '1 d', now())"
        " returning id",
        job,
        team.workspace,
    )
    ledger = project.ledger(job)
    ran = [row for row in ledger if row["started_at"] is not None]
    failed = [row for row in ran if row["status"] == "failed"]
    assert (len(ledger), len(ran), len(failed)) == (3, 2, 1)

    shown = {row["id"]: row for row in _listener(team, "runs", str(job))}
    assert {(id_, row["status"]) for id_, row in shown.items()} == {(str(row["id"]), row["status"]) for row in ledger}
    (row,) = [row for row in _listener(team, "jobs") if row["id"] == job]
    assert (row["total_runs"], row["failed_runs"]) == (2, 1)

    page = visit("viewer").go(f"/jobs/{job}", tab="figures")
    figures = dict(zip(page.locator("dt").all_inner_texts(), page.locator("dd").all_inner_texts(), strict=True))
    assert (figures["Runs"], figures["Completed"], figures["Failed"]) == ("2", "1", "1")
    page = visit("viewer").go(f"/jobs/{job}", tab="runs")
    expect(page.locator("tbody tr[data-row]")).to_have_count(3)


def _listener(team: Team, *words: str) -> list[dict[str, Any]]:
    """Give the rows that a command shows to the service."""
    command = [sys.executable, "-m", "listener.cli", *words, "--json"]
    done = subprocess.run(command, env={**os.environ, **team.stack.environment()}, capture_output=True, check=True)
    return json.loads(done.stdout)
