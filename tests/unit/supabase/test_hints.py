"""A frame of a channel becomes a hint, and no more than that."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from listener.domain.messages import Hint
from listener.supabase.hints import read_hint, read_signal


def test_plain_jobs_travel_whole():
    """Enough to claim them without another look."""
    rows = [[7, 900, "2026-01-05T12:00:00+00:00", 3, None, None, "noop"], [8, 900, None, 0]]
    hint = read_signal("broadcast", {"table": "scheduled_jobs", "rows": rows, "xid": 900})
    assert (hint.source, hint.table, hint.xid, hint.gone, hint.ids) == ("broadcast", "scheduled_jobs", 900, (), ())
    one, paused = hint.jobs
    assert (one.id, one.revision, one.status, one.priority) == (7, 900, "scheduled", 3)
    assert one.due_at == one.next_run_at == datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert (paused.next_run_at, paused.handler, one.handler) == (None, None, "noop")


def test_a_later_version_may_say_more_of_a_row():
    """Old replicas live on during a deploy."""
    hint = read_signal("broadcast", {"table": "scheduled_jobs", "rows": [[7, 9, None, 0, "new"]], "xid": 9, "also": 1})
    assert [job.id for job in hint.jobs] == [7]


def test_deleted_jobs_are_named_under_their_table():
    """The receiver of jobs takes them."""
    hint = read_signal("postgres_changes", {"table": "deleted_jobs", "rows": [[7], [8]], "xid": 9})
    assert (hint.table, hint.gone, hint.jobs) == ("scheduled_jobs", (7, 8), ())


@pytest.mark.parametrize("table", ["meetings", "stopped_runs", "something_new"])
def test_other_tables_name_their_rows(table):
    """The receiver of such a hint knows its meaning."""
    assert read_signal("broadcast", {"table": table, "rows": ["a", "b"], "xid": 9}).ids == ("a", "b")


@pytest.mark.parametrize("table", ["scheduled_jobs", "deleted_jobs", "meetings"])
def test_without_rows_it_only_asks_to_look(table):
    """There were too many, or they were not so plain."""
    hint = read_signal("broadcast", {"table": table, "rows": None, "xid": 9})
    assert (hint.jobs, hint.gone, hint.ids, hint.xid) == ((), (), (), 9)


@pytest.mark.parametrize(
    "message",
    [
        None,
        "changed",
        [],
        {},
        {"table": "scheduled_jobs"},
        {"table": ["scheduled_jobs"], "rows": [], "xid": 1},
        {"table": "stopped_runs", "rows": [[1], {}], "xid": 1},
        {"table": "deleted_jobs", "rows": [7], "xid": 1},
        {"table": "scheduled_jobs", "rows": None, "xid": "1"},
        {"table": "scheduled_jobs", "rows": None, "xid": 10**30},
        *(
            {"table": "scheduled_jobs", "rows": rows, "xid": 1}
            for rows in (
                7,
                "rows",
                [7],
                [[]],
                [[True, 1, None, 0]],
                [["7", 1, None, 0]],
                [[10**30, 1, None, 0]],
                [[7, 10**30, None, 0]],
                [[7, 1, "2026-01-05T12:00:00", 0]],
                [[7, 1, "soon", 0]],
                [[7, 1, 5, 0]],
                [[7, 1, None, 10**6]],
                [[7, 1, None, 0, {"tenant": 1}]],
                [[7, 1, None, 0, None, None, ["handler"]]],
            )
        ),
    ],
    ids=str,
)
def test_what_the_database_did_not_send_only_causes_a_look(message):
    """Anybody may send one where the project's policies are wide: neither the session nor a stage may end of it."""
    assert read_hint("broadcast", message) == Hint("broadcast", "scheduled_jobs")


def test_no_more_jobs_are_read_of_a_message_than_the_database_names():
    """The others are found by a look, which their number costs nothing."""
    rows = [[job, 9, None, 0] for job in range(1000)]
    assert len(read_hint("broadcast", {"table": "scheduled_jobs", "rows": rows, "xid": 9}).jobs) == 100
