"""When more jobs are due than slots are free, priority decides the order and no limit is exceeded."""

from __future__ import annotations

from itertools import accumulate

import pytest


def most_at_a_time(changes) -> int:
    """How many went on at once, by the order in which they began and ended: +1 and -1."""
    return max(accumulate(changes))


def by_instant(runs) -> list[int]:
    """Begins and ends of ledger rows in the order of time; of two at one instant, the end comes first."""
    moments = [(run["started_at"], 1) for run in runs] + [(run["completed_at"], -1) for run in runs]
    return [change for _, change in sorted(moments)]


def test_the_higher_priority_starts_first_and_within_one_the_earlier(project, listeners, marks, eventually) -> None:
    """One place, and nine jobs that are due while it is taken."""
    listeners.start(concurrency=1)
    project.insert("rest", metadata={"marks": str(marks), "seconds": 1.5})
    eventually(lambda: "begun" in marks.read_text(), "the place is taken")
    wanted = [(priority, project.soon(-9 + n)) for n, priority in enumerate([0, 5, -3, 5, 0, 9, -3, 0, 5])]
    jobs = project.insert_many([{"handler": "noop", "priority": each, "run_date": due} for each, due in wanted])
    for job in jobs:
        project.wait(job)
    query = """
        select j.priority, e.scheduled_for, e.started_at from public.job_executions as e
        join public.scheduled_jobs as j on j.id = e.scheduled_job_id where j.id = any(%s) order by e.started_at
    """
    order = [(row["priority"], row["scheduled_for"]) for row in project.rows(query, jobs)]
    assert order == sorted(order, key=lambda pair: (-pair[0], pair[1]))
    assert [priority for priority, _ in order] == sorted((priority for priority, _ in wanted), reverse=True)


def test_a_key_is_shared_by_as_many_runs_as_it_allows_over_all_listeners(project, listeners) -> None:
    """Three places for the key, and two in each of two listeners: never four at a time, and three at some time."""
    for _ in range(2):
        listeners.launch(concurrency=2, key_concurrency=3)
    for each in listeners.started:
        each.wait_until_ready()
    rows = [{"handler": "rest", "concurrency_key": "printer", "metadata": {"seconds": 0.3}}] * 12
    jobs = project.insert_many(rows)
    for job in jobs:
        assert project.wait(job, within=30)["status"] == "completed"
    runs = project.rows("select * from public.job_executions where scheduled_job_id = any(%s)", jobs)
    assert len(runs) == len(jobs)
    assert most_at_a_time(by_instant(runs)) == 3
    assert len({run["listener_id"] for run in runs}) == 2


@pytest.mark.parametrize("handler", ["rest_by_twos", "rest_by_twos_in_thread"])
def test_a_handler_runs_no_more_often_at_a_time_than_it_allows(project, listeners, marks, handler) -> None:
    """`concurrency=2`, on the loop and in threads; other handlers do not wait for it."""
    listeners.start(concurrency=20)
    row = {"handler": handler, "metadata": {"marks": str(marks), "seconds": 0.4}}
    jobs = project.insert_many([row] * 8)
    others = project.insert_many([{"handler": "noop"}] * 3)
    ended = [project.wait(job)["last_run_at"] for job in [*others, *jobs]]
    words = [line.split()[0] for line in marks.read_text().splitlines()]
    assert most_at_a_time({"begun": 1, "ended": -1}[word] for word in words) == 2
    assert words.count("ended") == len(jobs)
    assert max(ended[: len(others)]) < max(ended[len(others) :])
