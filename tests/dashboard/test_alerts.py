"""Alerts in a browser: one click, rules, channels, and an alert that fires and is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from dashboard_team import Team
    from supabase_project import Project

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def no_alerts(project: Project) -> None:
    """Begin without rules, channels and alerts."""
    project.sql.execute(
        "truncate public.job_alert_rules, public.job_alert_channels, public.job_alert_deliveries cascade"
    )


def test_one_click_makes_the_rule_and_its_channel_and_a_failure_fires(visit, team: Team) -> None:
    """The first page says so, too; an editor acknowledges it, and it is over when the editor says that it is."""
    page = visit("admin").go("/alerts")
    expect(page.get_by_text("The listener sends no mail")).to_be_visible()
    page.get_by_role("button", name="Notify me when anything fails").click()
    expect(page.get_by_text("A code goes to")).to_be_visible()
    page.get_by_role("tab", name="Rules").click()
    expect(page.get_by_text("When a run fails for good")).to_be_visible()
    page.get_by_role("tab", name="Channels").click()
    expect(page.get_by_role("listitem").filter(has_text="admin@acme.example.com")).to_have_count(1)
    expect(page.get_by_text("The mail was not sent: the handler needs the setting LISTENER_SMTP_URL")).to_be_visible()
    page.get_by_label("Code of the mail").fill("00000000")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("This is not the code")).to_be_visible()
    page.get_by_role("tab", name="Deliveries").click()
    expect(page.get_by_role("region", name="Deliveries").get_by_text("confirmation")).to_be_visible()

    team.insert(handler="play", name="Doomed", metadata={"fault": HOSTILE}, max_attempts=1)
    editor = visit("editor").go("/")
    firing = editor.get_by_role("region", name="Firing alerts")
    expect(firing).to_contain_text("failed")
    firing.get_by_role("link", name="Alerts").click()
    row = editor.get_by_role("row").filter(has_text="firing")
    row.get_by_role("button", name="Acknowledge").click()
    acknowledged = editor.get_by_role("row").filter(has_text="acknowledged")
    acknowledged.get_by_role("button", name="Resolve").click()
    expect(editor.get_by_role("row").filter(has_text="resolved")).to_be_visible()


def test_a_phone_shows_what_fired_above_what_to_do_about_it(visit, team: Team) -> None:
    """The buttons cover no words of the alert, and acknowledge it."""
    page = visit("admin", width=390).go("/alerts")
    page.get_by_role("button", name="Notify me when anything fails").click()
    expect(page.get_by_text("Nothing has fired")).to_be_visible()
    team.insert(handler="play", name="Doomed", metadata={"fault": "no"}, max_attempts=1)
    row = page.get_by_role("row").filter(has_text="firing")
    expect(row.get_by_role("button", name="Acknowledge")).to_be_visible()
    words, acts = (
        each.bounding_box() for each in (row.locator(".muted").first, row.get_by_role("button", name="Acknowledge"))
    )
    assert acts["y"] >= words["y"] + words["height"]
    row.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("row").filter(has_text="acknowledged")).to_be_visible()


def test_a_rule_is_a_sentence_that_says_how_often_it_would_have_fired(visit, team: Team, project: Project) -> None:
    """While it is written, and in the list; it is muted, edited and deleted there."""
    job = team.insert(handler="play", metadata={"fault": "the bank declined"}, max_attempts=1)
    project.wait(job["id"])
    page = visit("editor").go("/alerts", tab="rules")
    page.get_by_role("button", name="New rule").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Would have fired")).to_be_visible()
    dialog.get_by_role("combobox", name="When").select_option("late")
    dialog.get_by_label("Threshold").fill("90")
    expect(dialog.get_by_text("When a run begins more than 1 min 30 s late.")).to_be_visible()
    dialog.get_by_role("combobox", name="Of").select_option("handler")
    dialog.get_by_role("combobox", name="Handler").fill("play")
    dialog.get_by_role("button", name="Create rule").click()
    rule = page.get_by_role("listitem").filter(has_text="late with handler play")
    rule.get_by_role("button", name="Mute for 1 h").click()
    expect(rule.get_by_text("muted until")).to_be_visible()
    rule.get_by_role("button", name="Edit").click()
    dialog.get_by_role("combobox", name="When").select_option("backlog")
    dialog.get_by_label("Threshold").fill("0")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_visible()  # the browser names what is allowed
    dialog.get_by_label("Threshold").fill("20")
    dialog.get_by_role("button", name="Save").click()
    changed = page.get_by_role("listitem").filter(has_text="more than 20 due jobs wait")
    expect(changed).to_be_visible()
    changed.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No rules yet")).to_be_visible()


def test_a_group_of_failures_becomes_a_rule(visit, team: Team, project: Project) -> None:
    """On a telephone too; it is about the job that failed, and a viewer may not."""
    job = team.insert(handler="play", metadata={"fault": "out of ink"}, max_attempts=1)
    project.wait(job["id"])
    page = visit("editor", width=390, height=844).go("/failures")
    page.get_by_role("row").filter(has_text="out of ink").get_by_role("button", name="Alert").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(f"When a run fails for good in job {job['id']}.")).to_be_visible()
    dialog.get_by_role("button", name="Create rule").click()
    page.get_by_role("button", name="Rules").click()
    expect(page.get_by_text(f"When a run fails for good in job {job['id']}")).to_be_visible()
    row = visit("viewer").go("/failures").get_by_role("row").filter(has_text="out of ink")
    expect(row.get_by_role("button", name="Alert")).to_have_attribute("aria-disabled", "true")


def test_a_channels_secret_goes_in_and_never_comes_out(visit, project: Project) -> None:
    """An admin writes it; editors and viewers see the channel, and why they may not change it."""
    page = visit("admin").go("/alerts", tab="channels")
    page.get_by_role("button", name="New channel").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("The listener sends no mail")).to_be_visible()
    dialog.get_by_role("combobox", name="Kind").select_option("slack")
    expect(dialog.get_by_text("The listener sends no mail")).to_have_count(0)
    dialog.get_by_label("URL of an incoming webhook").fill("https://hooks.slack.com/services/T0/B0/verysecret")
    dialog.get_by_label("Name").fill(HOSTILE)
    dialog.get_by_role("button", name="Create channel").click()
    expect(page.get_by_text(HOSTILE)).to_be_visible()
    assert "verysecret" not in page.content()
    (kept,) = project.rows("select * from public.job_alert_channels")
    assert "verysecret" not in str(kept)
    viewer = visit("viewer").go("/alerts", tab="channels")
    expect(viewer.get_by_text(HOSTILE)).to_be_visible()
    expect(viewer.get_by_role("button", name="Test")).to_have_attribute("aria-disabled", "true")
    stranger = visit("stranger").go("/alerts", tab="channels")
    expect(stranger.get_by_text(HOSTILE)).to_have_count(0)


@pytest.mark.parametrize("tab", ["alerts", "rules", "channels", "deliveries"])
def test_each_tab_is_usable_by_all(visit, team: Team, tab: str) -> None:
    """By what axe checks, in a narrow window too."""
    with team.rest("admin") as client:
        row = {"workspace_id": str(team.workspace)}
        channel = {**row, "kind": "slack", "secret": "https://hooks.slack.com/services/T0/B0/x"}
        client.post("/job_alert_channels", json=channel).raise_for_status()
        client.post("/job_alert_rules", json={**row, "condition": "failed"}).raise_for_status()
    window = visit("admin", width=390, height=844)
    window.go("/alerts", tab=tab)
    assert window.violations() == []
    assert window.overflow() <= 0
