"""The preview of a schedule, in instants and in words; and the command that shows it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from listener.cli import app
from listener.domain.job import DstFold, Trigger, TriggerType
from listener.errors import InvalidValueError
from listener.preview.request import read_request
from listener.preview.schedule_preview import as_instants, as_text, describe, preview

NEW_YORK = "America/New_York"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def job(kind: str, timezone: str = "UTC", /, *, fold: DstFold = DstFold.FIRST, **schedule: Any) -> Trigger:
    """A job that began long ago."""
    return Trigger(TriggerType(kind), LONG_AGO, schedule, timezone, dst_fold=fold)


def shown(*arguments: str) -> str:
    """The output of `listener preview`."""
    result = CliRunner().invoke(app, ["preview", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_a_run_that_a_gap_moved_says_so():
    """02:30 does not exist in New York on 8 March 2026."""
    found = preview(job("daily", NEW_YORK, time="02:30"), datetime(2026, 3, 7, tzinfo=UTC), 3)
    assert [run.local for run in found] == [
        "Sat 2026-03-07 02:30 EST",
        "Sun 2026-03-08 03:00 EDT",
        "Mon 2026-03-09 02:30 EDT",
    ]
    assert [run.note for run in found] == [
        None,
        "clocks go forward by 1 h before it; moved: its own time does not exist that day",
        None,
    ]


def test_a_run_at_the_end_of_a_gap_was_not_moved_if_that_is_its_own_time():
    """03:00 exists; that 02:00 to 02:59 do not has only changed the clock before it."""
    found = preview(job("daily", NEW_YORK, time="03:00"), datetime(2026, 3, 8, tzinfo=UTC), 1)
    assert found[0].note == "clocks go forward by 1 h before it"


def test_the_first_run_too_says_that_clocks_change_before_it():
    """Between the instant from which the preview begins and that run."""
    weekly = job("weekly", NEW_YORK, time="09:00", days=["monday"])
    assert preview(weekly, datetime(2026, 3, 6, tzinfo=UTC), 1)[0].note == "clocks go forward by 1 h before it"
    assert preview(weekly, datetime(2026, 3, 8, 7, tzinfo=UTC), 1)[0].note is None


def test_runs_in_a_repeated_hour_name_their_pass():
    """01:30 comes twice in New York on 1 November 2026."""
    found = preview(job("daily", NEW_YORK, fold=DstFold.BOTH, time="01:30"), datetime(2026, 10, 31, 12, tzinfo=UTC), 3)
    assert [run.note for run in found] == [
        "first pass of the repeated time",
        "clocks go back by 1 h before it; second pass of the repeated time",
        None,
    ]


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (job("cron", NEW_YORK, expression="0 9 * * 1-5"), "At 09:00, Monday through Friday, America/New_York"),
        (job("cron", expression="@hourly"), "Every hour, UTC"),
        (job("cron", expression="30 8 * * * 15"), "At 08:30:15, UTC"),
        (job("cron", expression="0 8 l * *"), "At 08:00, on the last day of the month, UTC"),
        (job("cron", expression="0 8 15w * *"), "At 08:00, on the weekday nearest day 15 of the month, UTC"),
        (job("cron", expression="0 8 * * L5"), "At 08:00, on the last Friday of the month, UTC"),
        (
            job("cron", expression="0 8 * * mon#1,fri#3"),
            "At 08:00, on the 1st Monday and the 3rd Friday of the month, UTC",
        ),
        (job("daily", time="08:00"), "At 08:00, every day, UTC"),
        (job("weekly", time="08:00", days=["monday", "friday"]), "At 08:00, Monday, Friday, UTC"),
        (job("monthly", time="08:00", days=[1, -1]), "At 08:00, on days 1, -1 of the month (-1 is the last), UTC"),
        (job("interval", seconds=5400.5), "Every 1 h 30 min 0.5 s from 2020-01-01T00:00:00Z"),
        (job("once"), "Once, at 2020-01-01T00:00:00Z"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_trigger_can_be_said_in_words(trigger: Trigger, words: str):
    """A person can check the rule without reading cron."""
    assert describe(trigger) == words


def test_an_exhausted_schedule_says_that_nothing_comes():
    """No line is no answer."""
    assert "exhausted" in as_text(job("once"), preview(job("once"), datetime(2026, 1, 1, tzinfo=UTC), 5))


def test_a_bad_trigger_is_refused_not_shown():
    """The preview refuses what the database would."""
    with pytest.raises(InvalidValueError, match=r"scheduled_jobs\.schedule: .* \"time\" to be"):
        preview(job("daily", time="25:99"), LONG_AGO, 1)


def test_instants_are_utc_in_iso_8601():
    """Every language reads them."""
    found = preview(job("daily", "Asia/Kathmandu", time="08:00"), datetime(2026, 1, 1, tzinfo=UTC), 1)
    assert as_instants(found) == ["2026-01-01T02:15:00Z"]


def test_the_command_prints_lines_for_people():
    """Description first, then local time, UTC and note."""
    lines = shown(
        "--cron", "0 9 * * 1-5", "--timezone", NEW_YORK, "-n", "2", "--after", "2026-03-06T15:00:00Z"
    ).splitlines()
    assert lines == [
        "At 09:00, Monday through Friday, America/New_York",
        "  1  Mon 2026-03-09 09:00 EDT  2026-03-09T13:00:00Z  (clocks go forward by 1 h before it)",
        "  2  Tue 2026-03-10 09:00 EDT  2026-03-10T13:00:00Z",
    ]


def test_the_command_prints_json_for_programs():
    """`--json` is an array of instants and nothing else."""
    text = shown(
        "--trigger", "daily", "--schedule", '{"time":"02:30"}', "--timezone", NEW_YORK,
        "--after", "2026-03-07T12:00:00Z", "-n", "2", "--json",
    )  # fmt: skip
    assert json.loads(text) == ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]


def test_without_after_the_command_starts_now():
    """The next minute is less than a minute and a bit away."""
    (first,) = json.loads(shown("--cron", "* * * * *", "-n", "1", "--json"))
    away = datetime.fromisoformat(first) - datetime.now(UTC)  # noqa: TID251 - compared with the real clock
    assert -5 < away.total_seconds() <= 60


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--cron", "* * * *"],
        ["--cron", "* * * * *", "--trigger", "daily"],
        ["--trigger", "daily", "--schedule", "{"],
        ["--cron", "* * * * *", "--after", "2026-03-07T12:00:00"],
        ["--cron", "* * * * *", "--timezone", "Mars/Olympus"],
    ],
)
def test_the_command_refuses_what_it_cannot_show(arguments: list[str]):
    """Each as the error that the console script turns into one line and exit code 1."""
    with pytest.raises(InvalidValueError):
        CliRunner().invoke(app, ["preview", *arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"--trigger: '' is not allowed; expected --cron, or one of once, "),
        (["--cron", "* * * * *", "-n", "0"], r"-n: '0' is not allowed"),
        (["--cron", "* * * * *", "--run-date", "soon"], r"--run-date: 'soon' is not allowed"),
        (["--cron", "* * * * *", "--dst-gap", "x"], r"--dst-gap: 'x' is not allowed"),
    ],
)
def test_a_refusal_names_the_option_as_it_is_given(arguments: list[str], message: str):
    """Not as the words of `/api/preview` are spelled."""
    with pytest.raises(InvalidValueError, match=f"^{message}"):
        CliRunner().invoke(app, ["preview", *arguments], catch_exceptions=False)


@pytest.mark.parametrize(("trigger", "runs"), [("once", ["12:00"]), ("interval", ["12:00", "13:00", "14:00"])])
def test_a_job_without_a_run_date_runs_when_it_is_inserted(trigger: str, runs: list[str]):
    """Its first due instant is that of the insert, not an interval later."""
    words = {"trigger": trigger, "schedule": '{"seconds": 3600}' if trigger == "interval" else "{}", "n": "3"}
    request = read_request(words, datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert as_instants(preview(request.trigger, request.after, request.n)) == [f"2026-01-01T{at}:00Z" for at in runs]
