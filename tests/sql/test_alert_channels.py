"""Channels and rules over the REST API: secrets that nobody reads, addresses that are confirmed, and checks."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx
    import psycopg

KEY = "whsec_" + "c2VjcmV0" * 4
URL = "https://hooks.slack.com/services/T00/B00/ZZZsecretZZZ"
SECRETS = "select secret from job_scheduler.channel_secrets where channel_id = %s"
CODE = "select job_scheduler.confirmation_code(%s) as code"


@pytest.fixture(autouse=True)
def clean(sql: psycopg.Connection[Any]) -> Iterator[None]:
    """Leave no rule behind: a listener of another test would evaluate it."""
    yield
    sql.execute("truncate public.job_alert_rules, public.job_alert_channels, public.job_alert_deliveries cascade")
    sql.execute("truncate job_scheduler.alert_requests")
    sql.execute("delete from public.scheduled_jobs where handler = 'alert_delivery'")


@pytest.fixture
def carol(client_for: Callable[[str], httpx.Client]) -> httpx.Client:
    """A signed-in user who has no channels yet."""
    return client_for(f"carol-{uuid.uuid4()}")


def add(client: httpx.Client, table: str = "job_alert_channels", **columns: Any) -> dict[str, Any]:
    """Insert a row; give what the API answers."""
    answer = client.post(f"/{table}", json=columns)
    assert answer.status_code == 201, answer.text
    row: dict[str, Any] = answer.json()[0]
    return row


def call(client: httpx.Client, function: str, **arguments: Any) -> Any:
    """Call a function; give its answer."""
    answer = client.post(f"/rpc/{function}", json=arguments)
    assert answer.is_success, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("columns", "target"),
    [
        ({"kind": "webhook", "target": "https://example.com/hook", "secret": KEY}, "https://example.com/hook"),
        ({"kind": "slack", "secret": URL}, "hooks.slack.com/…"),
        ({"kind": "discord", "secret": "https://discord.com/api/webhooks/1/ZZZ"}, "discord.com/…"),
    ],
)
def test_a_secret_is_written_and_read_by_nobody(carol, service, sql, columns, target):
    """Not in the answer of the insert or the update, not by the service key; it stays until it is written anew."""
    row = add(carol, **columns)
    assert (row["secret"], row["target"], row["confirmed_at"] is not None) == (None, target, True)
    changed = carol.patch("/job_alert_channels", params={"id": f"eq.{row['id']}"}, json={"name": "Ops"}).json()
    assert (changed[0]["secret"], changed[0]["target"]) == (None, target)
    for client in (carol, service):
        assert columns["secret"] not in client.get("/job_alert_channels", params={"id": f"eq.{row['id']}"}).text
    assert sql.execute(SECRETS, [row["id"]]).fetchone() == (columns["secret"],)
    again = columns["secret"].replace("ZZZ", "YYY") if columns["kind"] != "webhook" else "whsec_" + "YW5vdGhl" * 4
    carol.patch("/job_alert_channels", params={"id": f"eq.{row['id']}"}, json={"secret": again})
    assert sql.execute(SECRETS, [row["id"]]).fetchone() == (again,)
    carol.delete("/job_alert_channels", params={"id": f"eq.{row['id']}"})
    assert sql.execute(SECRETS, [row["id"]]).fetchone() is None


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_no_role_reads_the_table_of_secrets(sql, role):
    """Nor calls the functions that do, but for the service, whose handler sends with them."""
    may = "select has_table_privilege(%s, 'job_scheduler.channel_secrets', 'select')"
    assert sql.execute(may, [role]).fetchone() == (False,)
    may = "select has_function_privilege(%s, 'public.alert_delivery_v1(jsonb)', 'execute')"
    assert sql.execute(may, [role]).fetchone() == (role == "service_role",)
    hidden = ("confirmation_code(uuid)", "shown_alert(uuid)", "take_secret()")
    for function in hidden:
        may = f"select has_function_privilege(%s, 'job_scheduler.{function}', 'execute')"
        assert sql.execute(may, [role]).fetchone() == (False,)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"kind": "email", "target": "nobody"},
            'job_alert_channels.target: "nobody" is not allowed; expected an e-mail address',
        ),
        ({"kind": "email"}, "job_alert_channels.target: null is not allowed"),
        ({"kind": "email", "target": "a@b.c", "secret": "x"}, 'job_alert_channels.secret: "…" is not allowed'),
        (
            {"kind": "webhook", "target": "https://example.com/"},
            'job_alert_channels.secret: "…" is not allowed; expected the key',
        ),
        ({"kind": "webhook", "target": "https://user@example.com/", "secret": KEY}, "job_alert_channels.target: "),
        ({"kind": "webhook", "target": "ftp://example.com/", "secret": KEY}, "job_alert_channels.target: "),
        ({"kind": "slack"}, "job_alert_channels.secret: "),
        ({"kind": "slack", "target": URL, "secret": URL}, "job_alert_channels.target: "),
        ({"kind": "apprise", "secret": "json://127.0.0.1"}, 'job_alert_channels.kind: "apprise" is not allowed'),
        (
            {"kind": "pigeon", "target": "x"},
            'job_alert_channels.kind: "pigeon" is not allowed; expected one of email, webhook, slack, discord, apprise',
        ),
    ],
    ids=range(10),
)
def test_a_malformed_channel_is_refused(carol, columns, message):
    """With the column and what is allowed, and never with the secret."""
    answer = carol.post("/job_alert_channels", json=columns)
    assert (answer.status_code, message in answer.json()["message"]) == (400, True), answer.text
    assert "ZZZ" not in answer.text
    assert KEY not in answer.text


def test_a_channel_of_another_cannot_be_taken_over(alice, bob, sql):
    """Neither by its id, which a client does not choose, nor by an upsert; kind and owner stay."""
    row = add(alice, kind="slack", secret=URL)
    stolen = {"id": row["id"], "kind": "slack", "secret": "https://example.com/mine"}
    headers = {"Prefer": "resolution=merge-duplicates"}
    assert bob.post("/job_alert_channels", json=stolen).status_code == 403
    assert bob.post("/job_alert_channels", json=stolen, headers=headers).status_code == 403
    for column in ({"kind": "discord"}, {"created_by": str(uuid.uuid4())}, {"confirmed_at": "2026-01-01Z"}):
        assert alice.patch("/job_alert_channels", params={"id": f"eq.{row['id']}"}, json=column).status_code == 403
    assert bob.post("/rpc/test_alert_channel", json={"channel": row["id"]}).status_code == 404
    assert sql.execute(SECRETS, [row["id"]]).fetchone() == (URL,)


def test_an_address_is_confirmed_by_its_code(carol, sql):
    """Five wrong ones use it up, and another address is to be confirmed anew."""
    row = add(carol, kind="email", target="ada@example.com")
    assert row["confirmed_at"] is None
    deliveries = carol.get("/job_alert_deliveries").json()
    assert [(each["kind"], each["target"], each["status"]) for each in deliveries] == [
        ("confirmation", "ada@example.com", "queued")
    ]
    assert carol.post("/rpc/test_alert_channel", json={"channel": row["id"]}).status_code == 400
    (code,) = sql.execute(CODE, [row["id"]]).fetchone()
    assert sql.execute(CODE, [row["id"]]).fetchone() == (code,), "the same for every attempt"
    for _ in range(5):
        assert call(carol, "confirm_alert_channel", channel=row["id"], code="wrong") is False
    assert call(carol, "confirm_alert_channel", channel=row["id"], code=code) is False
    sql.execute("update job_scheduler.channel_secrets set code_expires_at = now() where channel_id = %s", [row["id"]])
    call(carol, "request_alert_confirmation", channel=row["id"])
    (another,) = sql.execute(CODE, [row["id"]]).fetchone()
    assert call(carol, "confirm_alert_channel", channel=row["id"], code=f" {another.lower()}") is True
    assert call(carol, "confirm_alert_channel", channel=row["id"], code="again") is True
    delivery = call(carol, "test_alert_channel", channel=row["id"])
    assert carol.get("/job_alert_deliveries", params={"id": f"eq.{delivery}"}).json()[0]["kind"] == "test"
    changed = carol.patch(
        "/job_alert_channels", params={"id": f"eq.{row['id']}"}, json={"target": "eve@example.com"}
    ).json()
    assert changed[0]["confirmed_at"] is None
    assert call(carol, "confirm_alert_channel", channel=row["id"], code=another) is False


def test_what_a_user_has_sent_in_an_hour_is_bounded(carol, sql):
    """Also where the channels are deleted in between: nobody fills the mailbox of somebody else."""
    for number in range(20):
        row = add(carol, kind="email", target=f"a{number}@example.com")
        carol.delete("/job_alert_channels", params={"id": f"eq.{row['id']}"})
    answer = carol.post("/job_alert_channels", json={"kind": "email", "target": "b@example.com"})
    assert (answer.status_code, answer.json()["message"].startswith("quota max_alert_requests_per_hour")) == (403, True)


def test_one_address_gets_few_codes_in_a_day(carol, sql):
    """The number of channels, the case of the letters, and what follows a plus sign do not matter."""
    for spelling in (
        "eve@example.com",
        "Eve@example.com",
        "eve+1@example.com",
        "eve+2@example.com",
        "eve+@example.com",
    ):
        row = add(carol, kind="email", target=spelling)
        carol.delete("/job_alert_channels", params={"id": f"eq.{row['id']}"})
    answer = carol.post("/job_alert_channels", json={"kind": "email", "target": "eve+3@EXAMPLE.com"})
    assert answer.status_code == 403
    assert answer.json()["message"].startswith("quota max_alert_confirmations_per_day")
    add(carol, kind="email", target="mallory@example.com")


def test_a_long_secret_is_refused(carol):
    """Each delivery reads it."""
    answer = carol.post("/job_alert_channels", json={"kind": "slack", "secret": URL + "a" * 2000})
    assert (answer.status_code, "2000 characters at most" in answer.text) == (400, True)


def test_a_code_that_is_used_up_is_replaced(carol, sql):
    """Another request sends a new one."""
    row = add(carol, kind="email", target="ada@example.com")
    ((used_up,),) = sql.execute(CODE, [row["id"]]).fetchall()
    for _ in range(5):
        assert call(carol, "confirm_alert_channel", channel=row["id"], code="00000000") is False
    assert call(carol, "confirm_alert_channel", channel=row["id"], code=used_up) is False
    ((another,),) = sql.execute(CODE, [row["id"]]).fetchall()
    assert another != used_up
    assert call(carol, "confirm_alert_channel", channel=row["id"], code=another) is True


def test_workspaces_are_no_further_quotas(carol, sql):
    """A user's channels and rules are bounded over all workspaces, but for those with a bound of their own."""
    first, second = (add(carol, "job_workspaces", name=name)["id"] for name in ("One", "Two"))
    sql.execute(
        "update job_scheduler.limits set value = 2 where name in ('quota_max_alert_channels', 'quota_max_alert_rules')"
    )
    try:
        for table, row in (
            ("job_alert_channels", {"kind": "slack", "secret": URL}), ("job_alert_rules", {"condition": "late"})
        ):  # fmt: skip
            add(carol, table, **row)
            add(carol, table, **row, workspace_id=first)
            answer = carol.post(f"/{table}", json={**row, "workspace_id": second})
            assert (answer.status_code, "in all workspaces together" in answer.text) == (403, True)
        sql.execute("update public.job_workspaces set settings = '{\"max_alert_rules\": 5}' where id = %s", [second])
        add(carol, "job_alert_rules", condition="late", workspace_id=second)
    finally:
        sql.execute("update job_scheduler.limits set value = 20 where name = 'quota_max_alert_channels'")
        sql.execute("update job_scheduler.limits set value = 100 where name = 'quota_max_alert_rules'")


def test_channels_and_rules_of_a_tenant_are_bounded(carol, service, sql):
    """The service key is not; `list_quotas` shows both."""
    sql.execute(
        "update job_scheduler.limits set value = 1 where name in ('quota_max_alert_channels', 'quota_max_alert_rules')"
    )
    try:
        add(carol, kind="slack", secret=URL)
        add(carol, "job_alert_rules", condition="failed")
        for table, row in (("channels", {"kind": "slack", "secret": URL}), ("rules", {"condition": "late"})):
            answer = carol.post(f"/job_alert_{table}", json=row)
            assert (
                answer.json()["message"] == f"quota max_alert_{table}: one more is not allowed; limit 1, used 1, left 0"
            )
        assert call(carol, "list_quotas")["max_alert_rules"] == {"limit": 1, "used": 1}
    finally:
        sql.execute("update job_scheduler.limits set value = 20 where name = 'quota_max_alert_channels'")
        sql.execute("update job_scheduler.limits set value = 100 where name = 'quota_max_alert_rules'")


def test_a_rule_is_about_its_tenants_own(alice, bob):
    """Jobs and channels of others are as unknown as none."""
    job = alice.post("/scheduled_jobs", json={"handler": "noop", "status": "paused"}).json()[0]["id"]
    channel = add(alice, kind="slack", secret=URL)["id"]
    assert (
        add(alice, "job_alert_rules", condition="failing", scheduled_job_id=job, channel_ids=[channel])["threshold"]
        == 3
    )
    for column in ({"scheduled_job_id": job}, {"channel_ids": [channel]}, {"scheduled_job_id": 0}):
        answer = bob.post("/job_alert_rules", json={"condition": "failed", **column})
        assert (answer.status_code, f"job_alert_rules.{next(iter(column))}: " in answer.text) == (400, True)
    for column in ({"threshold": 1.5}, {"threshold": 1}, {"threshold": 51}):
        assert bob.post("/job_alert_rules", json={"condition": "failing", **column}).status_code == 400
    assert bob.post("/job_alert_rules", json={"condition": "failed", "threshold": 2}).status_code == 400
    answer = bob.post("/job_alert_rules", json={"condition": "odd"})
    assert answer.json()["message"].startswith(
        'job_alert_rules.condition: "odd" is not allowed; expected one of failed, '
    )
    assert (
        bob.post("/job_alert_rules", json={"condition": "failed", "handler": "a", "scheduled_job_id": 1}).status_code
        == 400
    )


def test_one_call_makes_the_rule_that_anything_fails(carol, sql):
    """Once, with a channel for mail where an address is given; what was muted looks again."""
    rule = call(carol, "alert_on_failure", email="ada@example.com")
    assert (rule["condition"], rule["channel_ids"], rule["enabled"]) == ("failed", [], True)
    call(carol, "mute_alert_rule", rule=rule["id"])
    again = call(carol, "alert_on_failure", email="ada@example.com")
    assert (again["id"], again["muted_until"]) == (rule["id"], None)
    assert [row["target"] for row in carol.get("/job_alert_channels").json()] == ["ada@example.com"]


def test_an_alert_goes_from_firing_to_acknowledged_to_resolved(carol, bob, sql):
    """And no other way, nor by anybody else."""
    rule = add(carol, "job_alert_rules", condition="failed")
    columns = "rule_id, created_by, condition, subject, next_notification_at, is_announced"
    query = f"insert into public.job_alerts ({columns}) values (%s, %s, 'failed', 'all', now(), true) returning id"  # noqa: S608
    (alert,) = map(str, sql.execute(query, [rule["id"], rule["created_by"]]).fetchone())
    assert bob.post("/rpc/acknowledge_alert", json={"alert": alert}).status_code == 404
    acknowledged = call(carol, "acknowledge_alert", alert=alert)
    assert (acknowledged["status"], acknowledged["acknowledged_by"]) == ("acknowledged", rule["created_by"])
    assert (acknowledged["next_notification_at"], acknowledged["is_announced"]) == (None, True)
    assert call(carol, "acknowledge_alert", alert=alert) == acknowledged
    resolved = call(carol, "resolve_alert", alert=alert)
    assert (resolved["status"], resolved["resolved_at"] is None, resolved["is_announced"]) == ("resolved", False, False)
    answer = carol.patch("/job_alerts", params={"id": f"eq.{alert}"}, json={"status": "firing"})
    assert (answer.status_code, "job_alerts.status" in answer.text) == (400, True)
    assert carol.patch("/job_alerts", params={"id": f"eq.{alert}"}, json={"occurrences": 0}).status_code == 403


PAST = """
    insert into public.job_executions (
        scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, attempt, status, completed_at,
        duration_ms, lateness_ms
    )
    select j.id, j.workspace_id, j.created_by, at, at, 'schedule', 1, e.status, at, duration, 1
    from public.scheduled_jobs as j
    cross join (values
        (now() - interval '50 hours', 'failed', 10), (now() - interval '49 hours 55 minutes', 'failed', 10),
        (now() - interval '26 hours', 'completed', 90000), (now() - interval '25 hours', 'failed', 10),
        (now() - interval '24 hours', 'failed', 10), (now() - interval '23 hours', 'failed', 10)
    ) as e (at, status, duration)
    where j.id = %s
"""


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"condition": "failed"}, (4, 5)),
        ({"condition": "failed", "cooldown_seconds": 7200}, (2, 5)),
        ({"condition": "failing", "threshold": 3}, (1, 1)),
        ({"condition": "failing", "threshold": 2, "cooldown_seconds": 7200}, (2, 3)),
        ({"condition": "long_running", "threshold": 60}, (1, 1)),
        ({"condition": "failed", "handler": "other"}, (0, 0)),
    ],
    ids=range(6),
)
def test_a_preview_says_how_often_a_rule_would_have_fired(carol, bob, sql, rule, expected):
    """Over the ledger that the caller sees, and nobody else's."""
    job = carol.post("/scheduled_jobs", json={"handler": "noop", "status": "paused"}).json()[0]["id"]
    sql.execute(PAST, [job])
    answer = call(carol, "preview_alert_rule", rule=rule)
    assert ((answer["alerts"], answer["occurrences"]), answer["replayable"]) == (expected, True)
    assert sum(day["occurrences"] for day in answer["by_day"]) == expected[1]
    theirs = {**rule, "created_by": carol.get("/scheduled_jobs").json()[0]["created_by"]}
    assert call(bob, "preview_alert_rule", rule=theirs)["occurrences"] == 0


def test_what_is_in_no_ledger_is_not_replayable(carol):
    """A backlog, and that there was no listener."""
    for condition in ("backlog", "no_listener"):
        assert call(carol, "preview_alert_rule", rule={"condition": condition})["replayable"] is False


def test_a_workspace_takes_its_alerts_with_it(sql):
    """Channels, secrets, rules and alerts."""
    workspace = uuid.uuid4()
    sql.execute("insert into public.job_workspaces (id, name) values (%s, 'Team')", [workspace])
    sql.execute(
        "insert into public.job_alert_channels (workspace_id, kind, secret) values (%s, 'slack', %s)", [workspace, URL]
    )
    sql.execute("insert into public.job_alert_rules (workspace_id, condition) values (%s, 'failed')", [workspace])
    sql.execute("delete from public.job_workspaces where id = %s", [workspace])
    for table in ("public.job_alert_channels", "public.job_alert_rules", "job_scheduler.channel_secrets"):
        assert sql.execute(f"select count(*) from {table}").fetchone() == (0,)  # noqa: S608 - ours
