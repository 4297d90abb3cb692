"""All pages share these: signing in, the open workspace, updates that come and pause, keys, and who may what."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from dashboard_browser import REPOSITORY
from dashboard_team import PASSWORD
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from dashboard_team import Team
    from playwright.sync_api import Page

REFUSED = "400|401"
SPOIL = """() => {
    const key = Object.keys(localStorage).find((name) => name.startsWith('jobs.session'))
    const session = JSON.parse(localStorage[key])
    localStorage[key] = JSON.stringify({ ...session, expires_at: 1, refresh_token: 'gone' })
}"""


def sign_in(page: Page, email: str, password: str = PASSWORD) -> None:
    """Fill the form in, and send it."""
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_wrong_password_is_refused_in_the_words_of_auth_and_the_right_one_opens_the_page(visit, team: Team):
    """The route that was asked for is shown then."""
    window = visit(None)
    window.expects(REFUSED)
    page = window.go("/handlers")
    sign_in(page, team.people["editor"].email, "wrong")
    expect(page.get_by_role("alert")).to_have_text("Invalid login credentials")
    sign_in(page, team.people["editor"].email)
    expect(page.get_by_role("heading", name="Handlers")).to_be_visible()
    page.get_by_label("Account").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to your jobs")).to_be_visible()
    assert page.evaluate("Object.keys(localStorage).filter((name) => name.includes('session'))") == []


def test_a_session_that_ends_keeps_the_page_and_signing_in_goes_on_there(visit, team: Team):
    """With the filter that was chosen meanwhile, and without a word of a refused request."""
    window = visit("editor")
    window.expects(REFUSED)
    page = window.go("/audit")
    page.evaluate(SPOIL)
    page.locator("summary", has_text="Action").click()
    page.get_by_role("checkbox", name="pause").check()  # a request, which finds the session spoilt
    dialog = page.get_by_role("dialog", name="Your session has ended")
    expect(dialog).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog).to_have_count(0)
    assert "action=pause" in page.url
    expect(page.get_by_text("No entry matches")).to_be_visible()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()


def test_what_changes_is_shown_at_once_unless_updates_are_paused(visit, team: Team):
    """Resuming shows what was missed."""
    page = visit("editor").go("/jobs")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    team.insert(name="While it is live", run_date="2999-01-01T00:00:00Z")
    expect(page.get_by_text("While it is live")).to_be_visible()
    page.keyboard.press(".")
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    team.insert(name="While it is paused", run_date="2999-01-01T00:00:00Z")
    with page.expect_request("**/list_quotas"):  # a page that is opened reads all the same
        page.keyboard.press("g")
        page.keyboard.press("w")
    page.go_back()
    expect(page.get_by_text("While it is live")).to_be_visible()
    page.keyboard.press(".")
    expect(page.get_by_text("While it is paused")).to_be_visible()


def test_the_palette_finds_a_command_by_its_words(visit):
    """Wherever the focus is."""
    page = visit("editor").go("/handlers")
    page.get_by_label("Find a handler").focus()
    page.keyboard.press("ControlOrMeta+k")
    expect(page.get_by_role("combobox", name="Command")).to_be_focused()
    page.keyboard.type("aud go")
    expect(page.get_by_role("dialog").get_by_role("option")).to_have_text(["Go to auditgu", "Find jobs named “aud go”"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Audit")).to_be_visible()


def test_the_palette_finds_a_job_by_its_name(visit, team: Team):
    """Of the workspace that is open."""
    team.insert(name="A needle", run_date="2999-01-01T00:00:00Z")
    page = visit("viewer").go("/handlers")
    page.keyboard.press("ControlOrMeta+k")
    page.get_by_role("combobox", name="Command").fill("needle")
    page.get_by_role("option", name="Job A needle").click()
    expect(page.get_by_role("heading", name="A needle")).to_be_visible()


def test_the_first_job_is_inserted_by_what_is_shown(visit, team: Team, tmp_path: Path):
    """By supabase-js, on the Node that is installed, and by curl, as printed; the page shows how they end."""
    page = visit("stranger").go("/")
    expect(page.get_by_text("Insert your first job")).to_be_visible()
    module = page.get_by_role("region", name="supabase-js").inner_text()
    page.get_by_role("tab", name="curl").click()
    line = page.get_by_role("region", name="curl").inner_text()
    (tmp_path / "node_modules").symlink_to(REPOSITORY / "node_modules")
    (tmp_path / "job.mjs").write_text(module, encoding="utf-8")
    for command in (["node", "job.mjs"], ["bash", "-c", f"{line} --silent"]):
        inserted = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert team.people["stranger"].session["user"]["id"] in inserted.stdout
    expect(page.get_by_text("Insert your first job")).to_have_count(0)
    expect(page.get_by_text("2 completed", exact=True)).to_be_visible()


def test_handlers_that_users_may_not_schedule_are_left_out_until_somebody_asks(visit, listener):
    """On the page and in the form of a new job, whose code has a place for the handler."""
    page = visit("editor").go("/handlers")
    expect(page.get_by_role("heading", name="noop")).to_be_visible()
    expect(page.get_by_role("heading", name="alert_delivery")).to_have_count(0)
    page.get_by_label("Those of the service, too").check()
    expect(page.get_by_role("heading", name="alert_delivery")).to_be_visible()
    page = visit("editor").go("/jobs/new")
    code = page.get_by_role("region", name="SQL")
    expect(code).to_contain_text("'<handler>'")
    handlers = page.get_by_label("Handler", exact=True)
    assert "alert_delivery" not in handlers.locator("option").all_inner_texts()
    handlers.select_option("noop")
    expect(code).to_contain_text("'noop'")


def test_the_audit_shows_who_changed_what_exactly(visit, team: Team):
    """Numbers that JavaScript would round among it."""
    job = team.insert(name="Audited", run_date="2999-01-01T00:00:00Z")["id"]
    with team.rest("editor") as client:
        changed = {"content-type": "application/json"}
        body = '{"metadata": {"amount": 9007199254740993}, "name": "Renamed"}'
        client.patch(f"/scheduled_jobs?id=eq.{job}", content=body, headers=changed).raise_for_status()
    entry = visit("admin").go("/audit").get_by_role("listitem").filter(has_text="changed").filter(has_text="Renamed")
    expect(entry.get_by_text('{"amount":9007199254740993}')).to_be_visible()
    expect(entry.locator("del", has_text="Audited")).to_be_visible()
    expect(entry.get_by_text(team.people["editor"].email)).to_be_visible()


def test_an_invitation_is_written_accepted_and_makes_a_member(visit, team: Team):
    """By the id that the other user finds on the page."""
    admin, stranger = visit("admin").go("/workspace"), visit("stranger").go("/workspace")
    user = str(team.people["stranger"].id)
    expect(stranger.get_by_text(user)).to_be_visible()
    admin.get_by_role("textbox", name="User id").fill(user)
    admin.get_by_role("button", name="Invite").click()
    expect(admin.get_by_text("not answered")).to_be_visible()
    stranger.reload()
    stranger.get_by_role("button", name="Accept").click()
    stranger.get_by_role("button", name="Open").click()
    expect(stranger.get_by_label("Workspace")).to_have_value(str(team.workspace))
    expect(stranger.get_by_role("button", name="New job")).to_have_attribute("aria-disabled", "true")
    admin.reload()
    member = admin.get_by_role("listitem").filter(has_text=team.people["stranger"].email)
    member.get_by_role("button", name="Remove").click()
    admin.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(member).to_have_count(0)


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_only_an_admin_changes_members(visit, team: Team, role: str):
    """The others see them, and may leave."""
    page = visit(role).go("/workspace")
    others = page.get_by_role("listitem").filter(has_text=team.people["admin"].email)
    expect(others.get_by_role("button", name="Remove")).to_have_attribute("aria-disabled", "true")
    expect(others.get_by_role("combobox")).to_be_disabled()
    expect(page.get_by_role("button", name="Leave")).to_have_attribute("aria-disabled", "false")
    expect(page.get_by_text("Invite somebody")).to_have_count(0)
