"""The answer to a request says how many due instants it skipped, and why: the listener counts them."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from life_database import LONG_SECONDS, LifeDatabase

ME = str(uuid.uuid4())
HOUR = timedelta(hours=1)


@pytest.fixture
def life(stack):
    """Connections by role."""
    with LifeDatabase(stack) as database:
        yield database


def claim(life, job, due, **fields):
    """Claim an instant, and give what the answer counts."""
    claims = [{"id": job, "due": due, "next": due + HOUR, **fields}]
    request = {"listener": ME, "lease_seconds": LONG_SECONDS, "ahead_seconds": 1, "claims": claims}
    return life.service("claim_runs_v1", request)["skipped"]


def test_a_claim_counts_what_it_enters_as_missed_and_what_met_a_running_job(life) -> None:
    """And nothing of the request before."""
    first = life.now() + timedelta(seconds=0.5)
    job = life.insert("service", {"trigger_type": "interval", "schedule": {"seconds": 3600}, "run_date": first})
    life.shift(3 * HOUR)
    due = life.read()[0][job]["due_at"]
    missed = {"missed": [due, due + HOUR], "missed_reason": "misfire", "run": due + 2 * HOUR, "next": due + 3 * HOUR}
    assert claim(life, job, due, **missed) == {"misfire": 2}
    life.shift(HOUR)
    assert claim(life, job, due + 2 * HOUR) == {"overlap": 1}
    assert life.service("rescue_runs_v1", {"limit": 10})["skipped"] == {}


def test_a_plan_counts_what_cannot_be_planned(life) -> None:
    """The ledger has one row for it."""
    life.insert("service", {"trigger_type": "daily", "schedule": {"time": "08:00"}, "run_date": life.now()})
    (row,) = life.rows()
    plan = {"id": row.id, "revision": row.revision, "due": None, "error": "no such zone"}
    assert life.service("plan_jobs_v1", {"plans": [plan]})["skipped"] == {"invalid_schedule": 1}
