"""Every function of the API, called as everybody."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from cast import ROLES

from listener.local.keys import user_email, user_id

if TYPE_CHECKING:
    import httpx
    from cast import Tenancy

WRITING = ("cancel_job", "pause_job", "resume_job", "retry_job", "run_job_now")
READING = ("job_stats",)
OF_INVITATIONS = ("accept_invitation", "decline_invitation")  # see test_invitations.py
OF_PAGES = {
    "dashboard_overview": {},
    "list_runs": {},
    "list_failures": {},
    "list_listeners": {},
    "list_workspaces": {},
    "list_quotas": {},
    "list_member_emails": {"workspace": str(uuid.UUID(int=1))},
    "job_outcomes": {"jobs": [1]},
    "bulk_jobs": {"action": "pause", "filter": {"workspace_id": None}},
}
"""Functions for a dashboard: see tests/sql/test_pages_of_a_dashboard.py and test_bulk_jobs.py."""
OF_ALERTS = {
    "acknowledge_alert": ("job_alerts", "alert", "editor"),
    "resolve_alert": ("job_alerts", "alert", "editor"),
    "mute_alert_rule": ("job_alert_rules", "rule", "editor"),
    "test_alert_channel": ("job_alert_channels", "channel", "admin"),
    "request_alert_confirmation": ("job_alert_channels", "channel", "admin"),
    "confirm_alert_channel": ("job_alert_channels", "channel", "admin"),
}
"""The table whose row each one names, by which argument, and the least role that it takes in a workspace."""
OF_ALERT_RULES = ("alert_on_failure", "preview_alert_rule")  # see tests/sql/test_alert_channels.py
UNTIL_READY = {"resume_job": "paused", "retry_job": "cancelled"}
MAY_WRITE = {"private": {"owner", "service"}, "workspace": {"editor", "admin", "service"}}
MAY_READ = {"private": {"owner", "service"}, "workspace": {"viewer", "editor", "admin", "service"}}
DENIED = {401, 403, 404}


def call(client: httpx.Client, function: str, **arguments: object) -> httpx.Response:
    """Call a function of the API."""
    return client.post(f"/rpc/{function}", json=arguments)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", ["private", "workspace"])
@pytest.mark.parametrize("function", [*WRITING, *READING])
def test_a_function_works_for_whoever_may_do_what_it_does(tenancy: Tenancy, function: str, kind: str, role: str):
    """For all others there is no such job, and nothing changes."""
    job = tenancy.job(kind)
    if function in UNTIL_READY:
        tenancy.database.execute(
            "update public.scheduled_jobs set status = %s where id = %s", [UNTIL_READY[function], job]
        )
    everything = (
        "select j.*, (select count(*) from public.job_executions) from public.scheduled_jobs as j where id = %s"
    )
    before = tenancy.database.execute(everything, [job]).fetchone()
    answer = call(tenancy.clients[role], function, job=job)
    after = tenancy.database.execute(everything, [job]).fetchone()
    may = MAY_READ if function in READING else MAY_WRITE
    assert answer.is_success is (role in may[kind]), answer.text
    if not answer.is_success:
        assert answer.status_code in ({401, 403} if role == "anon" else {404})
    assert (after != before) is (answer.is_success and function in WRITING)


def test_what_the_service_calls_is_refused_to_everybody_else(tenancy: Tenancy):
    """Any argument is refused, and so are functions that were added since this was written."""
    query = "select proname, pronargs from pg_proc where pronamespace = 'public'::regnamespace"
    functions = {row["proname"] for row in tenancy.database.execute(query).fetchall()}
    functions -= {*WRITING, *READING, *OF_INVITATIONS, *OF_PAGES, *OF_ALERTS, *OF_ALERT_RULES}
    assert {"publish_handlers_v1", "claim_runs_v1", "sync_meetings_v1"} <= functions
    for function in sorted(functions):
        for role in set(ROLES) - {"service"}:
            for arguments in ({"request": {}}, {"request": {"limit": 1, "ids": [str(uuid.uuid4())]}}, {}):
                answer = call(tenancy.clients[role], function, **arguments)
                assert answer.status_code in DENIED, (function, role, answer.text)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", ["private", "workspace"])
@pytest.mark.parametrize("function", OF_ALERTS)
def test_a_function_of_alerts_works_for_whoever_may_do_what_it_does(
    tenancy: Tenancy, function: str, kind: str, role: str
):
    """For all others there is no such alert, rule or channel."""
    table, argument, least = OF_ALERTS[function]
    rule = tenancy.add("job_alert_rules", condition="failed", **tenancy.owned(kind))
    rows = {
        "job_alert_rules": rule,
        "job_alert_channels": tenancy.add(
            "job_alert_channels", kind="email", target="ada@example.com", **tenancy.owned(kind)
        ),
        "job_alerts": tenancy.add("job_alerts", rule_id=rule, condition="failed", subject="all", **tenancy.owned(kind)),
    }
    code = {"code": "no"} if function == "confirm_alert_channel" else {}
    answer = call(tenancy.clients[role], function, **{argument: str(rows[table])}, **code)
    may = MAY_WRITE[kind] - ({"editor"} if least == "admin" else set())
    assert answer.is_success is (role in may), answer.text
    if not answer.is_success:
        assert answer.status_code in ({401, 403} if role == "anon" else {404})


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("rules", ["no rule", "the rule"])
def test_anything_fails_is_a_rule_that_an_editor_makes(tenancy: Tenancy, rules: str, role: str):
    """Or finds. Its preview shows nothing of other tenants."""
    if rules == "the rule":
        tenancy.add("job_alert_rules", condition="failed", **tenancy.owned("workspace"))
    answer = call(tenancy.clients[role], "alert_on_failure", workspace=str(tenancy.workspace))
    assert answer.is_success is (role in MAY_WRITE["workspace"]), answer.text
    preview = {"condition": "failed", "workspace_id": str(tenancy.workspace)}
    fail = "update public.job_executions set status = 'failed', completed_at = now() where id = %s"
    tenancy.database.execute(fail, [tenancy.run("workspace")])
    answer = call(tenancy.clients[role], "preview_alert_rule", rule=preview)
    shown = answer.json()["occurrences"] if answer.is_success else None
    assert shown == (None if role == "anon" else int(role in MAY_READ["workspace"]))


@pytest.mark.parametrize("function", OF_PAGES)
@pytest.mark.parametrize("role", ROLES)
def test_what_a_dashboard_calls_is_refused_to_nobody_who_signed_in(tenancy: Tenancy, function: str, role: str):
    """It shows and changes what the caller may see and change anyway."""
    assert tenancy.private_job
    answer = call(tenancy.clients[role], function, **OF_PAGES[function])
    assert answer.status_code == (200 if role != "anon" else 401), answer.text


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", ["private", "workspace"])
def test_a_bulk_act_reaches_the_jobs_that_the_caller_may_write(tenancy: Tenancy, kind: str, role: str):
    """Named by their ids, so that it is the policies that decide; a dry run counts the same."""
    job = tenancy.job(kind)
    arguments = {"action": "pause", "filter": {"ids": [job]}}
    counts = [call(tenancy.clients[role], "bulk_jobs", **arguments, dry_run=dry_run) for dry_run in (True, False)]
    status = tenancy.database.execute("select status from public.scheduled_jobs where id = %s", [job]).fetchone()
    may = role in MAY_WRITE[kind]
    assert status == {"status": "paused" if may else "scheduled"}
    if role != "anon":
        assert [answer.json()["changed"] for answer in counts] == [int(may), int(may)]


@pytest.mark.parametrize("role", ROLES[1:])
@pytest.mark.parametrize("kind", ["private", "workspace"])
def test_pages_show_the_rows_that_the_caller_may_see(tenancy: Tenancy, kind: str, role: str):
    """Runs, failures, outcomes and figures of a workspace, or of one's own jobs."""
    run, job = tenancy.run(kind), getattr(tenancy, f"{kind}_job")
    tenancy.database.execute(
        "update public.job_executions set status = 'failed', error = 'boom', completed_at = now() where id = %s", [run]
    )
    client, of = tenancy.clients[role], {"workspace": str(tenancy.workspace)} if kind == "workspace" else {}
    runs = [row["id"] for row in call(client, "list_runs", **of).json()["rows"]]
    sample = [group["sample"]["id"] for group in call(client, "list_failures", **of).json()["groups"]]
    outcomes = call(client, "job_outcomes", jobs=[job]).json()
    newest = [row["id"] for row in call(client, "dashboard_overview", **of).json()["failures"]["newest"]]
    # The service has no private jobs of its own.
    may = role in MAY_READ[kind] and (role, kind) != ("service", "private")
    assert [str(run) in runs, str(run) in sample, str(run) in newest] == [may] * 3
    assert (str(job) in outcomes) is (role in MAY_READ[kind])


@pytest.mark.parametrize("role", ROLES[1:])
def test_quotas_are_seen_by_members(tenancy: Tenancy, role: str):
    """With what is used of them; a stranger learns nothing, not even the installation's bounds."""
    tenancy.database.execute(
        "update public.job_workspaces set settings = '{\"max_active_jobs\": 7}' where id = %s", [tenancy.workspace]
    )
    assert tenancy.workspace_job
    quotas = call(tenancy.clients[role], "list_quotas", workspace=str(tenancy.workspace)).json()
    if role in MAY_READ["workspace"]:
        assert quotas["max_active_jobs"] == {"limit": 7, "used": 1}
        assert quotas["max_timeout_seconds"] == {"limit": 3600, "used": None}
        assert quotas["max_stored_bytes"]["used"] > 0
    else:
        assert quotas == {}


@pytest.mark.parametrize("role", ROLES)
def test_addresses_of_members_are_seen_by_members(tenancy: Tenancy, role: str):
    """Those that their owners have confirmed, and of this workspace only."""
    add = (
        "insert into auth.users (id, email, email_confirmed_at) values (%(id)s, %(email)s, %(at)s)"
        " on conflict (id) do update set email = excluded.email, email_confirmed_at = excluded.email_confirmed_at"
    )
    for name, at in {"viewer": "2026-01-01Z", "editor": "2026-01-01Z", "admin": None, "owner": "2026-01-01Z"}.items():
        tenancy.database.execute(add, {"id": user_id(name), "email": user_email(name), "at": at})
    answer = call(tenancy.clients[role], "list_member_emails", workspace=str(tenancy.workspace))
    shown = {row["user_id"]: row["email"] for row in answer.json()} if answer.is_success else {}
    members = {str(user_id(name)): user_email(name) for name in ("viewer", "editor")}
    assert shown == (members if role in MAY_READ["workspace"] else {})


@pytest.mark.parametrize("role", ROLES[1:])
def test_a_listener_is_seen_without_its_host_and_without_runs_of_others(tenancy: Tenancy, role: str):
    """A tenant learns whether somebody runs its jobs, and nothing of other tenants."""
    listener = tenancy.add(
        "job_listeners", id=uuid.uuid4(), name="db-host-7/12", version="1.2", capacity=50, heartbeat_at="2099-01-01Z"
    )
    for kind in ("private", "workspace"):
        tenancy.database.execute(
            "update public.job_executions set status = 'running', lease_expires_at = now() + interval '1 minute',"
            " listener_id = %s where id = %s",
            [listener, tenancy.run(kind)],
        )
    answer = call(tenancy.clients[role], "list_listeners")
    assert "db-host" not in answer.text
    [seen] = [row for row in answer.json() if row["id"] == str(listener)]
    assert (seen["is_alive"], seen["version"], seen["capacity"]) == (True, "1.2", 50)
    assert seen["running"] == {"service": 2, "stranger": 0}.get(role, 1)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "service"])
def test_the_internals_cannot_be_called(tenancy: Tenancy, role: str):
    """Their schema is none of the API's."""
    client = tenancy.clients[role]
    for function in ("caller", "readable_workspaces", "writable_workspaces", "administered_workspaces", "enter_act"):
        for schema in ({}, {"Content-Profile": "job_scheduler"}):
            answer = client.post(f"/rpc/{function}", json={}, headers=schema)
            assert answer.status_code in {401, 403, 404, 406}, answer.text
