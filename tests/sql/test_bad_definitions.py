"""Invalid definitions are refused at once, with a message that helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx


def daily(**schedule: object) -> dict[str, Any]:
    """A daily job with this schedule."""
    return {"trigger_type": "daily", "schedule": schedule}


def weekly(**schedule: object) -> dict[str, Any]:
    """A weekly job with this schedule."""
    return {"trigger_type": "weekly", "schedule": {"time": "10:00", **schedule}}


def monthly(**schedule: object) -> dict[str, Any]:
    """A monthly job with this schedule."""
    return {"trigger_type": "monthly", "schedule": {"time": "10:00", **schedule}}


def interval(seconds: object) -> dict[str, Any]:
    """An interval job with this schedule."""
    return {"trigger_type": "interval", "schedule": {"seconds": seconds}}


def cron(expression: object) -> dict[str, Any]:
    """A cron job with this schedule."""
    return {"trigger_type": "cron", "schedule": {"expression": expression}}


BAD = [
    # columns
    ("handler", {"handler": ""}, "1 to 200 characters"),
    ("handler", {"handler": "  "}, "1 to 200 characters"),
    ("handler", {"handler": None}, "null is not allowed; expected 1 to 200 characters"),
    ("trigger_type", {"trigger_type": None}, "null is not allowed; expected a value; left out"),
    ("timezone", {"timezone": None}, "null is not allowed; expected a value; left out"),
    ("run_date", {"run_date": None}, "null is not allowed; expected a value; left out"),
    ("metadata", {"metadata": None}, "null is not allowed; expected a value; left out"),
    ("store_result", {"store_result": None}, "null is not allowed; expected a value; left out"),
    ("handler", {"handler": "x" * 201}, "1 to 200 characters"),
    ("job_id", {"job_id": ""}, "1 to 200 characters"),
    ("job_id", {"job_id": "x" * 201}, "1 to 200 characters"),
    ("concurrency_key", {"concurrency_key": ""}, "1 to 200 characters"),
    ("name", {"name": "x" * 501}, "1 to 500 characters"),
    ("description", {"description": "x" * 10_001}, "1 to 10000 characters"),
    ("job_type", {"job_type": "x" * 201}, "1 to 200 characters"),
    ("trigger_type", {"trigger_type": "yearly"}, "one of once, daily, weekly, monthly, interval, cron"),
    ("trigger_type", {"trigger_type": ""}, "one of once"),
    ("timezone", {"timezone": "Mars/Base"}, "IANA time zone"),
    ("timezone", {"timezone": "CEST"}, "IANA time zone"),
    ("timezone", {"timezone": "+03"}, "IANA time zone"),
    ("timezone", {"timezone": "EST5EDT4"}, "IANA time zone"),
    ("timezone", {"timezone": "europe/berlin"}, "IANA time zone"),
    ("timezone", {"timezone": "posix/Europe/Berlin"}, "IANA time zone"),
    ("timezone", {"timezone": "../etc/passwd"}, "IANA time zone"),
    ("timezone", {"timezone": ""}, "IANA time zone"),
    ("run_date", {"run_date": "infinity"}, "years 1970 to 2999"),
    ("run_date", {"run_date": "1969-12-31T23:59:59Z"}, "years 1970 to 2999"),
    ("run_date", {"run_date": "9999-01-01T00:00:00Z"}, "years 1970 to 2999"),
    ("ends_at", {"ends_at": "infinity"}, "years 1970 to 2999"),
    ("ends_at", {**interval(60), "run_date": "2030-01-02T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}, "run_date"),
    ("max_runs", {"max_runs": 0}, "from 1"),
    ("max_runs", {"max_runs": -1}, "from 1"),
    ("max_attempts", {"max_attempts": 0}, "from 1 to 100"),
    ("max_attempts", {"max_attempts": 101}, "from 1 to 100"),
    ("retry_delay_seconds", {"retry_delay_seconds": -1}, "from 0 to 2592000"),
    ("retry_delay_seconds", {"retry_delay_seconds": "NaN"}, "from 0 to 2592000"),
    ("retry_backoff", {"retry_backoff": 0.5}, "from 1 to 100"),
    ("retry_backoff", {"retry_backoff": "Infinity"}, "from 1 to 100"),
    ("timeout_seconds", {"timeout_seconds": 0}, "to 604800"),
    ("timeout_seconds", {"timeout_seconds": "NaN"}, "to 604800"),
    ("timeout_seconds", {"timeout_seconds": 604_801}, "to 604800"),
    ("misfire_grace_seconds", {"misfire_grace_seconds": -1}, "from 0"),
    ("cleanup_after_days", {"cleanup_after_days": 0}, "to 36500"),
    ("cleanup_after_days", {"cleanup_after_days": "NaN"}, "to 36500"),
    ("cleanup_after_days", {"cleanup_after_days": "Infinity"}, "to 36500"),
    ("cleanup_after_days", {"cleanup_after_days": 1e300}, "to 36500"),
    ("overlap", {"overlap": "panic"}, "one of skip, queue, allow, replace"),
    ("misfire", {"misfire": "panic"}, "one of run_once, run_all, skip"),
    ("dst_gap", {"dst_gap": "first"}, "one of run_after, skip"),
    ("dst_fold", {"dst_fold": "skip"}, "one of first, second, both"),
    ("metadata", {"metadata": []}, "an object"),
    ("metadata", {"metadata": "text"}, "an object"),
    ("metadata", {"metadata": {"x": "y" * 300_000}}, "at most 262144 bytes"),
    ("status", {"status": "running"}, "scheduled"),
    ("status", {"status": "completed"}, "scheduled"),
    ("status", {"status": "asleep"}, "scheduled"),
    # schedules and their keys
    ("schedule", {"schedule": []}, "exactly the keys {}"),
    ("schedule", {"schedule": {"time": "10:00"}}, "exactly the keys {}"),
    ("schedule", daily(), '{"time"}'),
    ("schedule", daily(time="10:00", days=["monday"]), '{"time"}'),
    ("schedule", daily(time="24:00"), "time of day"),
    ("schedule", daily(time="10:60"), "time of day"),
    ("schedule", daily(time="8:00"), "time of day"),
    ("schedule", daily(time="08:00\n"), "time of day"),
    ("schedule", daily(time=8), "time of day"),
    ("schedule", daily(time=None), "time of day"),
    ("schedule", weekly(), '{"time", "days"}'),
    ("schedule", weekly(days=[]), "monday"),
    ("schedule", weekly(days="monday"), "monday"),
    ("schedule", weekly(days=["funday"]), "monday"),
    ("schedule", weekly(days=["Monday"]), "monday"),
    ("schedule", weekly(days=[1]), "monday"),
    ("schedule", weekly(days=[None]), "monday"),
    ("schedule", weekly(days=[["monday"]]), "monday"),
    ("schedule", weekly(days=["monday"], missing_day="skip"), '{"time", "days"}'),
    ("schedule", monthly(days=[0]), "1 to 31"),
    ("schedule", monthly(days=[32]), "1 to 31"),
    ("schedule", monthly(days=[-32]), "1 to 31"),
    ("schedule", monthly(days=[1.5]), "1 to 31"),
    ("schedule", monthly(days=["1"]), "1 to 31"),
    ("schedule", monthly(days=[1] * 63), "1 to 31"),
    ("schedule", monthly(days=[31], missing_day="first"), '"last" or "skip"'),
    ("schedule", monthly(days=[31], missing_day=None), '"last" or "skip"'),
    ("schedule", interval(0), "from 1 to"),
    ("schedule", interval(-30), "from 1 to"),
    ("schedule", interval(0.5), "from 1 to"),
    ("schedule", interval("30"), "from 1 to"),
    ("schedule", interval(None), "from 1 to"),
    ("schedule", interval(1e12), "from 1 to"),
    ("schedule", {"trigger_type": "interval", "schedule": {}}, '{"seconds"}'),
    ("schedule", {"trigger_type": "cron", "schedule": {"cron": "* * * * *"}}, '{"expression"}'),
    # cron
    ("schedule", cron(None), "a text of at most 255"),
    ("schedule", cron(5), "a text of at most 255"),
    ("schedule", cron(""), "five fields"),
    ("schedule", cron("hello"), "five fields"),
    ("schedule", cron("* * * *"), "five fields"),
    ("schedule", cron("* * * * * * *"), "five fields"),
    ("schedule", cron("@every 5m"), 'trigger_type "interval"'),
    ("schedule", cron("@reboot"), "a program inserts a job"),
    ("schedule", cron("CRON_TZ=Asia/Tokyo 0 9 * * *"), 'the column "timezone"'),
    ("schedule", cron("0 0 12 * * ?"), "the last is the second"),
    ("schedule", cron("60 * * * *"), "minute (field 1)"),
    ("schedule", cron("*/0 * * * *"), "minute (field 1)"),
    ("schedule", cron("*/61 * * * *"), "minute (field 1)"),
    ("schedule", cron("-5 * * * *"), "minute (field 1)"),
    ("schedule", cron("1,,2 * * * *"), "minute (field 1)"),
    ("schedule", cron("5-5 * * * *"), "minute (field 1)"),
    ("schedule", cron("*,1 * * * *"), "minute (field 1)"),
    ("schedule", cron("? * * * *"), "minute (field 1)"),
    ("schedule", cron("* 24 * * *"), "hour (field 2)"),
    ("schedule", cron("* h * * *"), "drawn at random"),
    ("schedule", cron("* r * * *"), "drawn at random"),
    ("schedule", cron("* * 0 * *"), "day of month (field 3)"),
    ("schedule", cron("* * 32 * *"), "day of month (field 3)"),
    ("schedule", cron("* * l-31 * *"), "day of month (field 3)"),
    ("schedule", cron("* * 15-16w * *"), "day of month (field 3)"),
    ("schedule", cron("* * * 0 *"), "month (field 4)"),
    ("schedule", cron("* * * 13 *"), "month (field 4)"),
    ("schedule", cron("* * * foo *"), "month (field 4)"),
    ("schedule", cron("* * * * 8"), "day of week (field 5)"),
    ("schedule", cron("* * * * mon#6"), "day of week (field 5)"),
    ("schedule", cron("* * * * mon-tue#1"), "day of week (field 5)"),
    ("schedule", cron("* * * * l"), "day of week (field 5)"),
    ("schedule", cron("* * * * * 60"), "second (field 6)"),
    ("schedule", cron("0 0 31 2 *"), "one of its months has"),
    ("schedule", cron("0 0 30 feb *"), "one of its months has"),
    ("schedule", cron("0 0 31 4,6,9,11 ?"), "one of its months has"),
    ("schedule", cron("0 0 l-29 2 *"), "one of its months has"),
    ("schedule", cron("0 0 31 2 */2"), "one of its months has"),
    ("schedule", cron("0 0 * * mon\u00a0"), "five fields"),
    ("schedule", cron("0 0 1 * mon#1"), "only where the other day field"),
    ("schedule", cron("0 0 15w * mon"), "only where the other day field"),
    ("schedule", cron(",".join(["1"] * 200) + " * * * *"), "at most 255 characters"),
    ("schedule", cron("*/5 * * * *; drop table scheduled_jobs"), "five fields"),
]


@pytest.mark.parametrize(("column", "row", "allowed"), BAD, ids=[f"{column}-{str(row)[:60]}" for column, row, _ in BAD])
def test_bad_input_is_refused_naming_the_column_and_what_is_allowed(
    alice: httpx.Client, column: str, row: dict[str, Any], allowed: str
):
    """HTTP 400, and a message with the column, the value and the alternative, not a constraint's name."""
    answer = alice.post("/scheduled_jobs", json={"handler": "noop", **row})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"scheduled_jobs.{column}: ")
    assert "is not allowed" in answer.json()["message"]
    assert allowed in answer.json()["message"]
    assert answer.json()["code"] == "22023"


def test_a_refusal_shows_the_value_but_never_all_of_a_huge_one(alice: httpx.Client):
    """A message of 300 kB would be an attack on whoever logs it."""
    answer = alice.post("/scheduled_jobs", json={"handler": "noop", "timezone": "x" * 300_000})
    assert answer.status_code == 400
    assert '"xxx' in answer.json()["message"]
    assert len(answer.content) < 1_000


def nested(levels: int) -> str:
    """An object with so many levels, itself and lists."""
    return '{"x": ' + "[" * (levels - 1) + "0" + "]" * (levels - 1) + "}"


@pytest.mark.parametrize("who", ["alice", "service"])
@pytest.mark.parametrize(
    ("payload", "allowed"),
    [
        (nested(101), "at most 100 levels"),
        (nested(250), "at most 100 levels"),
        (nested(5_000), "at most 100 levels"),
        ('{"x": 1e309}', "numbers between -1e308 and 1e308"),
        ('{"x": [{"y": -1e5000}]}', "numbers between -1e308 and 1e308"),
    ],
    ids=["101", "250", "5000", "1e309", "-1e5000"],
)
def test_a_payload_that_a_listener_could_not_read_is_refused(client_for, who: str, payload: str, allowed: str):
    """It would make the answers to claims unreadable, and with them every other job."""
    body = f'{{"handler": "noop", "run_date": "2099-01-01Z", "metadata": {payload}}}'
    answer = client_for(who).post("/scheduled_jobs", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "22023")
    assert answer.json()["message"].startswith("scheduled_jobs.metadata: ")
    assert allowed in answer.json()["message"]


@pytest.mark.parametrize(
    "payload", [nested(100), '{"x": 9.9e307, "y": 1e-5000}', '{"x": "' + "1" * 400 + '"}', '{"x": "' + "[" * 400 + '"}']
)
def test_a_payload_that_only_looks_like_that_is_let_through(alice: httpx.Client, payload: str):
    """Brackets and digits in a text are a text."""
    body = f'{{"handler": "noop", "run_date": "2099-01-01Z", "metadata": {payload}}}'
    assert alice.post("/scheduled_jobs", content=body, headers={"Content-Type": "application/json"}).status_code == 201


def test_a_payload_that_was_sent_as_a_text_is_reported_by_its_length(alice: httpx.Client):
    """Its secrets are unknown, and the hint says what went wrong."""
    answer = alice.post("/scheduled_jobs", json={"handler": "noop", "metadata": '{"password": "hunter2"}'})
    assert (answer.status_code, answer.json()["code"]) == (400, "22023")
    assert 'scheduled_jobs.metadata: "text of 23 characters" is not allowed' in answer.json()["message"]
    assert "not a text of JSON" in answer.json()["hint"]
    assert "hunter2" not in answer.text


def test_an_edit_is_checked_as_an_insert_is(alice: httpx.Client):
    """A job cannot be made bad afterwards, and the refused edit changes nothing."""
    job = alice.post("/scheduled_jobs", json={"handler": "noop", **daily(time="08:00")}).json()[0]
    at = {"id": f"eq.{job['id']}"}
    answer = alice.patch("/scheduled_jobs", params=at, json={"schedule": {"time": "25:00"}})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("scheduled_jobs.schedule: ")
    assert alice.get("/scheduled_jobs", params=at).json() == [job]


def test_an_edit_of_how_long_a_job_is_kept_is_checked_too(alice: httpx.Client):
    """The cleaner reckons with the times of all jobs at once: one that is none would stop it for everybody."""
    job = alice.post("/scheduled_jobs", json={"handler": "noop", "run_date": "2030-01-01T00:00:00Z"}).json()[0]
    for value in ("NaN", "Infinity", 1e300, 0):
        answer = alice.patch("/scheduled_jobs", params={"id": f"eq.{job['id']}"}, json={"cleanup_after_days": value})
        assert (answer.status_code, answer.json()["code"]) == (400, "22023")


def test_one_bad_row_refuses_its_whole_request_and_no_other(alice: httpx.Client):
    """A bulk insert is one transaction: nothing of it stays, and the next request goes through."""
    keys = ["bulk-1", "bulk-2"]
    rows = [{"handler": "noop", "job_id": keys[0]}, {"handler": "", "job_id": keys[1]}]
    assert alice.post("/scheduled_jobs", json=rows).status_code == 400
    assert alice.get("/scheduled_jobs", params={"job_id": f"in.({','.join(keys)})"}).json() == []
    assert alice.post("/scheduled_jobs", json={"handler": "noop"}).status_code == 201


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("created_by", "11111111-1111-1111-1111-111111111111"),
        ("next_run_at", "2030-01-01T00:00:00Z"),
        ("attempt", 1),
        ("last_run_at", "2030-01-01T00:00:00Z"),
        ("last_run_status", "completed"),
        ("last_run_duration_ms", 1),
        ("total_runs", 1),
        ("successful_runs", 1),
        ("failed_runs", 1),
        ("step", "step 1"),
        ("result", {}),
        ("error", "none"),
        ("progress", 0.5),
        ("claimed_by", "11111111-1111-1111-1111-111111111111"),
        ("lease_expires_at", "2030-01-01T00:00:00Z"),
        ("revision", 1),
        ("created_at", "2030-01-01T00:00:00Z"),
        ("updated_at", "2030-01-01T00:00:00Z"),
    ],
)
@pytest.mark.parametrize("who", ["alice", "service"])
def test_a_column_of_the_service_is_refused_by_name(client_for, who: str, column: str, value: object):
    """At the insert and at an edit, for users and for the service key alike; nothing changes."""
    client = client_for(who)
    inserted = client.post("/scheduled_jobs", json={"handler": "noop", column: value})
    job = client.post("/scheduled_jobs", json={"handler": "noop", "status": "paused"}).json()[0]
    at = {"id": f"eq.{job['id']}"}
    edited = client.patch("/scheduled_jobs", params=at, json={column: value})
    for answer in (inserted, edited):
        assert answer.status_code == 403
        assert column in answer.json()["message"]
    assert client.get("/scheduled_jobs", params=at).json() == [job]


def test_the_identity_of_a_job_cannot_be_chosen(alice: httpx.Client):
    """Column id is generated, always."""
    answer = alice.post("/scheduled_jobs", json={"handler": "noop", "id": 7})
    assert answer.status_code == 400
    assert '"id"' in answer.json()["message"]


def test_the_same_key_twice_is_a_conflict_for_its_owner_alone(alice: httpx.Client, bob: httpx.Client):
    """`job_id` makes an insert idempotent; two users may use the same one."""
    row = {"handler": "noop", "job_id": "report-2030"}
    assert alice.post("/scheduled_jobs", json=row).status_code in {201, 409}
    assert alice.post("/scheduled_jobs", json=row).status_code == 409
    assert bob.post("/scheduled_jobs", json=row).status_code in {201, 409}
    assert len(bob.get("/scheduled_jobs", params={"job_id": "eq.report-2030"}).json()) == 1
