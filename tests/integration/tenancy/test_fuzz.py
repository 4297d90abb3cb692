"""Each write of a signed-in user is refused with 4xx and a message, or its job ends; the listener survives them all.

By default some hundreds of rows; `FUZZ_EXAMPLES=10000 pytest tests/integration/tenancy/test_fuzz.py` takes minutes.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from child_listener import listeners_on
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import allowed

from listener.local.keys import user_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from cast import Tenancy
    from child_listener import Listener

    from listener.local.stack import Stack

NEIGHBOURS = 20
"""Jobs of another user, each due every second at a time of its own."""
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
FINAL_SECONDS = 30.0 + EXAMPLES / 50
FINAL = ("completed", "failed", "cancelled")


def nested(levels: int) -> list[Any]:
    """Make a list in lists."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
seconds = st.sampled_from([0, 0.5, 1, 1.5, 30, 1e9, -1, "1", None])
instants = st.sampled_from(
    [
        "now",
        "2000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2999-12-31",
        "infinity",
        "-infinity",
        "tomorrow",
        "never",
        7,
    ]
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "europe/berlin", "Mars/Base", "+03", ""])
times = st.sampled_from(["08:00", "23:59:59", "24:00", "8:00", "", None])
schedules = st.one_of(
    anything,
    st.just({}),
    st.fixed_dictionaries({"seconds": seconds}),
    st.fixed_dictionaries({"time": times}),
    st.fixed_dictionaries({"time": times, "days": st.lists(st.sampled_from(["monday", "funday", 1, -1, 31, 0]))}),
    st.fixed_dictionaries(
        {"expression": st.sampled_from(["* * * * *", "*/5 * * * * *", "61 * * * *", "0 0 31 2 *", "@daily", "@reboot"])}
    ),
    st.fixed_dictionaries({"expression": st.text(alphabet="0123456789*/,-#lw? ", max_size=30)}),
)
payloads = st.one_of(
    anything,
    st.just({}),
    st.fixed_dictionaries({"message": scalars}),
    st.fixed_dictionaries(
        {"message": st.text(), "level": st.sampled_from(["info", "error", "loud"]), "fields": anything}
    ),
    st.fixed_dictionaries({"sleep_seconds": st.sampled_from([0, 0.01, -1, "x", "nan", "inf", None, 1e-320, 10**400])}),
    st.fixed_dictionaries({"fields": st.sampled_from([90, 150, 250, 900]).map(nested)}),
)
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "job_id": st.text(max_size=250),
    "name": anything,
    "description": st.text(),
    "metadata": payloads,
    "trigger_type": st.sampled_from(["once", "once", "daily", "weekly", "monthly", "interval", "cron", "yearly", ""]),
    "run_date": instants,
    "schedule": schedules,
    "timezone": zones | st.text(),
    "ends_at": instants | st.none(),
    "max_runs": st.integers(-1, 3) | st.just(2**40),
    "status": st.sampled_from(["scheduled", "scheduled", "paused", "cancelled", "running", "completed", "odd", None]),
    "max_attempts": st.sampled_from([1, 2, 0, 101, "many"]),
    "retry_delay_seconds": st.sampled_from([0, 0.01, -1, 1e9, "NaN", "Infinity"]),
    "retry_backoff": st.sampled_from([1, 2.5, 0, 101]),
    "timeout_seconds": st.sampled_from([0.001, 1, 300, 0, 1e9]),
    "priority": st.sampled_from([0, -5, 32767, 32768]),
    "overlap": st.sampled_from(["skip", "queue", "allow", "replace", "pile"]),
    "misfire": st.sampled_from(["run_once", "run_all", "skip", "run"]),
    "misfire_grace_seconds": st.sampled_from([0, 60, -1, 2**31]),
    "dst_gap": st.sampled_from(["run_after", "skip", "x"]),
    "dst_fold": st.sampled_from(["first", "second", "both", "x"]),
    "test_mode": st.booleans(),
    "traceparent": st.sampled_from([None, "x", f"00-{'a' * 32}-{'b' * 16}-01"]),
    "concurrency_key": st.sampled_from(["printer", "", " "]) | st.text(max_size=5),
    "cleanup_after_days": st.sampled_from([1, 0, -1, "NaN", "Infinity", 1e300]),
    "workspace_id": st.sampled_from([None, "00000000-0000-4000-8000-000000000000", "mine"]),
    "created_by": st.sampled_from([None, "00000000-0000-4000-8000-000000000000"]),
    "exposed_only": st.booleans(),
    "due_at": instants,
    "no_such_column": anything,
}
odd_handlers = st.sampled_from(["log", "webhook", "meeting_status", "nope", "", None]) | st.text()
definitions = st.dictionaries(st.sampled_from(sorted(COLUMNS)), st.none(), max_size=2).flatmap(
    lambda chosen: st.fixed_dictionaries({name: COLUMNS[name] for name in chosen})
)
good = st.sampled_from(
    [
        {"handler": "noop"},
        {"handler": "noop", "metadata": {"sleep_seconds": 0.01}},
        {"handler": "log", "metadata": {"message": "a line"}},
        {"handler": "noop", "trigger_type": "interval", "schedule": {"seconds": 1}},
        {"handler": "noop", "trigger_type": "cron", "schedule": {"expression": "* * * * * *"}, "max_runs": 2},
    ]
)
odd = st.builds(lambda handler: {"handler": handler}, odd_handlers)
inserts = st.builds(
    lambda one_of_six, usual, rare, rest: {"max_attempts": 1, **(usual if one_of_six else rare), **rest},
    st.integers(0, 5),
    good,
    odd,
    definitions,
)
updates = st.none() | definitions


@pytest.fixture(scope="module")
def listener(embedded_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    """Run a real listener."""
    folder: Path = tmp_path_factory.mktemp("listener")
    with listeners_on(embedded_stack, folder, folder) as listeners:
        yield listeners.start(handlers="handlers")


def written(answer: httpx.Response) -> list[dict[str, Any]]:
    """Give the rows that were accepted; what is refused says why, and is never the server's fault."""
    if answer.is_success:
        return answer.json() if answer.content else []
    assert answer.is_client_error, (answer.status_code, answer.text)
    assert answer.json()["message"], answer.text
    return []


def is_due(job: dict[str, Any]) -> bool:
    """Whether a job runs once, and was due when it was last written."""
    run_date, updated_at = (datetime.fromisoformat(job[column]) for column in ("run_date", "updated_at"))
    return job["trigger_type"] == "once" and job["status"] == "scheduled" and run_date <= updated_at


def all_end(tenancy: Tenancy, jobs: list[int]) -> None:
    """Wait until each of these jobs has a final status."""
    query = """
        select to_jsonb(j) as job, (
            select jsonb_agg(to_jsonb(e)) from public.job_executions as e where e.scheduled_job_id = j.id
        ) as runs
        from public.scheduled_jobs as j where id = any(%s) and status <> all(%s)
    """

    def left() -> list[dict[str, Any]]:
        return tenancy.database.execute(query, [jobs, list(FINAL)]).fetchall()

    deadline = time.monotonic() + FINAL_SECONDS
    while unfinished := left():
        if time.monotonic() > deadline:
            pytest.fail(f"{len(unfinished)} jobs have not ended, such as {unfinished[:3]}")
        time.sleep(0.05)


@contextmanager
def neighbours(tenancy: Tenancy) -> Iterator[None]:
    """Let another user's jobs run meanwhile; they start on time."""
    began = datetime.fromtimestamp(time.time(), UTC)  # noqa: TID251 - the database is on this machine
    ticks = [
        {
            "handler": "noop",
            "trigger_type": "interval",
            "schedule": {"seconds": 1},
            "run_date": (began + timedelta(seconds=1 + number / NEIGHBOURS)).isoformat(),
        }
        for number in range(NEIGHBOURS)
    ]
    client = tenancy.clients["stranger"]
    assert client.post("/scheduled_jobs", json=ticks).is_success
    yield
    assert client.patch("/scheduled_jobs", params={"id": "gt.0"}, json={"status": "cancelled"}).is_success
    runs = tenancy.database.execute(
        "select lateness_ms, status, reason from public.job_executions where created_by = %s", [user_id("stranger")]
    ).fetchall()
    assert "failed" not in {run["status"] for run in runs}, runs
    late = sorted(run["lateness_ms"] for run in runs if run["status"] == "completed")
    p99 = late[int(0.99 * len(late))]
    print(  # noqa: T201 - the figure is what a long run is for
        f"{len(late)} runs of a neighbour late by {late[len(late) // 2]:.1f} ms (p50), {p99:.1f} ms (p99)"
    )
    assert p99 <= allowed(10, 2000)


def written_by_a_user() -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Make rows to insert, and what to change of each; all of them first, for that takes longer than writing them."""
    made: list[tuple[dict[str, Any], dict[str, Any] | None]] = []

    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=EXAMPLES <= 300,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(row=inserts, change=updates)
    def make(row: dict[str, Any], change: dict[str, Any] | None) -> None:
        made.append((row, change))

    make()
    return made


def test_whatever_a_user_writes_is_refused_with_a_message_or_ends(tenancy: Tenancy, listener: Listener):
    """Never 5xx; accepted jobs end, by themselves or when they are cancelled; no fault is logged, no neighbour late."""
    client, read_back = tenancy.clients["owner"], {"Prefer": "return=representation"}
    accepted: dict[int, dict[str, Any]] = {}

    rows = written_by_a_user()
    with neighbours(tenancy):
        for row, change in rows:
            for job in written(client.post("/scheduled_jobs", json=row, headers=read_back)):
                accepted[job["id"]] = job
                if change:
                    where = {"id": f"eq.{job['id']}"}
                    changes = client.patch("/scheduled_jobs", params=where, json=change, headers=read_back)
                    accepted |= {job["id"]: job for job in written(changes)}
    assert len(accepted) > EXAMPLES / 10, "most rows were refused: this tests little"
    due = [job["id"] for job in accepted.values() if is_due(job)]
    assert len(due) > EXAMPLES / 20, "few jobs were due: this tests little"
    all_end(tenancy, due)
    for job in accepted:
        written(client.patch("/scheduled_jobs", params={"id": f"eq.{job}"}, json={"status": "cancelled"}))
    all_end(tenancy, list(accepted))
    assert listener.process.poll() is None
    assert listener.ready()
    log = listener.log.read_text()
    assert [line for line in log.splitlines() if "Traceback" in line or "ExceptionGroup" in line] == []
