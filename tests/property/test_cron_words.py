"""The preview's sentence never contradicts the due instants: a reader of sentences finds the same times and dates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import pytest
from cron_corpus import corpus
from cron_oracle import MONTHS, WEEKDAYS, due_dates, names_date
from cron_strategies import EVERY_FORM
from hypothesis import given, settings

from listener.domain.cron import parse
from listener.domain.cron_fields import read
from listener.errors import InvalidValueError
from listener.preview.cron_words import cron_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DATES = [date(2027, 12, 28) + timedelta(days) for days in range(430)]
CLOCK = r"\d\d:\d\d(?::\d\d)?"
DAY_NAME = rf"(?:{'|'.join(day.capitalize() for day in WEEKDAYS)})[a-z]*"
Time = tuple[int, int, int]


@dataclass
class Clocks:
    """Each combination of hours, minutes and seconds: up to 86,400 times."""

    hours: set[int]
    minutes: set[int]
    seconds: set[int]


@dataclass
class Said:
    """Read a sentence: times of day, day fields as cron spells them, and whether a date has to suit both."""

    times: set[Time] | Clocks
    number: str
    month: str
    weekday: str
    both: bool

    def dates(self) -> list[date]:
        """The dates that it names."""
        by_number, by_weekday = dates(self.number, self.month, "*"), dates("*", self.month, self.weekday)
        return sorted(by_number & by_weekday if self.both else by_number | by_weekday)


@cache
def dates(number: str, month: str, weekday: str) -> frozenset[date]:
    """The dates that the oracle finds for three fields, one of which is a star."""
    return frozenset(day for day in DATES if names_date(f"0 0 {number} {month} {weekday}", day))


def items(text: str) -> list[str]:
    """Split "a, b and c" or "a, b or c"."""
    return re.split(r", | and | or ", text)


def numbers(text: str, unit: str) -> list[int]:
    """Read "minute 5", "minutes 0, 5 through 7 and 9", or "every 7th minute from 0 through 56"."""
    if series := re.fullmatch(rf"every (\d+)(?:st|nd|rd|th) {unit} from (\d+) through (\d+)", text):
        step, first, last = map(int, series.groups())
        assert (last - first) % step == 0
        return list(range(first, last + 1, step))
    listed = re.fullmatch(rf"{unit}s? (\d.*)", text)
    assert listed, text
    found: list[int] = []
    for item in items(listed[1]):
        first, _, last = item.partition(" through ")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def clock(text: str) -> Time:
    """Read 09:00 or 09:00:30."""
    hour, minute, *second = map(int, text.split(":"))
    return hour, minute, second[0] if second else 0


def around(first: int, last: int, size: int, step: int = 1) -> list[int]:
    """The values from `first` to `last`, around the end where `last` is the lesser."""
    return [value % size for value in range(first, last + (size if last < first else 0) + 1, step)]


def times(text: str) -> set[Time] | Clocks:
    """Read the first part of a sentence."""
    if re.fullmatch(rf"At {CLOCK}(?:(?:, | and ){CLOCK})*", text):
        return {clock(item) for item in items(text.removeprefix("At "))}
    if text == "Every hour":
        return {(hour, 0, 0) for hour in range(24)}
    if hourly := re.fullmatch(rf"Every (?:(\d+) )?hours? from ({CLOCK}) through ({CLOCK})", text):
        step, first, last = int(hourly[1] or 1), clock(hourly[2]), clock(hourly[3])
        assert first[1:] == last[1:]
        return {(hour, *first[1:]) for hour in around(first[0], last[0], 24, step)}
    text, within = re.fullmatch(r"(.*?)(?:, ((?:in|between) .*))?", text).groups()
    hours = list(range(24))
    if between := re.fullmatch(r"between (\d\d):00 and (\d\d):59", within or ""):
        hours = around(int(between[1]), int(between[2]), 24)
    elif within:
        hours = numbers(within.removeprefix("in "), "hour")
    return Clocks(set(hours), *map(set, within_hour(text.removesuffix(" of every hour"))))


def within_hour(text: str) -> tuple[Iterable[int], Iterable[int]]:
    """Read minutes and seconds."""
    if every := re.fullmatch(r"Every (?:(\d+) )?(minute|second)s?(?: of (.*))?", text):
        step = int(every[1] or 1)
        assert 60 % step == 0, "else it is not every so many"
        evenly = range(0, 60, step)
        if every[2] == "minute":
            return evenly, [0]
        return numbers(every[3], "minute") if every[3] else range(60), evenly
    assert text.startswith("At ")
    small, _, great = text.removeprefix("At ").partition(" of ")
    if great:
        return range(60) if great == "every minute" else numbers(great, "minute"), numbers(small, "second")
    if "second" in small:
        return range(60), numbers(small, "second")
    return numbers(small, "minute"), [0]


def named(text: str, names: Sequence[str]) -> str:
    """Read "January through March" or a list as a field."""
    first, _, last = text.partition(" through ")
    if last:
        return f"{first[:3].lower()}-{last[:3].lower()}"
    assert all(item[:3].lower() in names for item in items(text))
    return ",".join(item[:3].lower() for item in items(text))


def day_of_month(item: str) -> str:
    """Read a day of the month, or several, as elements of a field."""
    for sentence, element in (
        (r"the last day", "l"), (r"the last day but (\d+)", r"l-\1"), (r"the last weekday", "lw"),
        (r"the weekday nearest day (\d+)", r"\1w"),
    ):  # fmt: skip
        if re.fullmatch(sentence, item):
            return re.sub(sentence, element, item)
    return ",".join(map(str, numbers(item if "day" in item else f"days {item}", "day")))


def of_month(text: str) -> str:
    """Read "days 1 and 15 and the last day" as a field."""
    series = re.match(r"every \d+.. day from \d+ through \d+", text)
    rest = text[series.end() :].removeprefix(", ").removeprefix(" and ") if series else text
    return ",".join(day_of_month(item) for item in [*([series[0]] if series else []), *(items(rest) if rest else [])])


def of_week(text: str) -> str:
    """Read "every Monday", "Monday through Friday", and "the 2nd Monday and the last Friday of the month"."""
    whole, _, nth = text.rpartition("on the ")
    fields = [named(whole.removesuffix(" and ").removeprefix("every "), WEEKDAYS)] if whole else []
    if not nth.endswith(" of the month"):
        return named(nth.removeprefix("every "), WEEKDAYS)
    for item in items(nth.removesuffix(" of the month")):
        count, name = item.removeprefix("the ").split()
        fields.append(f"{name[:3].lower()}{'l' if count == 'last' else '#' + count[0]}")
    return ",".join(fields)


def said(sentence: str) -> Said:
    """Read a sentence."""
    sentence, month = re.fullmatch(r"(.*?)(?:, in ([A-Z].*))?", sentence).groups()
    time, days = re.fullmatch(rf"(.*?)(?:, ((?:on |every {DAY_NAME}|{DAY_NAME} through ).*))?", sentence).groups()
    rest = (named(month, MONTHS) if month else "*",)
    if days is None:
        return Said(times(time), "*", *rest, "*", both=True)
    if both := re.fullmatch(r"on ([^A-Z]*) of the month if it is (?:a )?(.*)", days):
        return Said(times(time), of_month(both[1]), *rest, named(both[2], WEEKDAYS), both=True)
    if either := re.fullmatch(r"on ([^A-Z]*) of the month, and (.*)", days):
        return Said(times(time), of_month(either[1]), *rest, of_week(either[2]), both=False)
    if alone := re.fullmatch(r"on ([^A-Z]*) of the month", days):
        return Said(times(time), of_month(alone[1]), *rest, "*", both=True)
    return Said(times(time), "*", *rest, of_week(days), both=True)


def check(expression: str) -> None:
    """Compare the sentence with the times and the dates of a year."""
    rule = parse(expression)
    sentence = cron_words(read(expression))
    meant = said(sentence)
    clocks = Clocks({*rule.hours}, {*rule.minutes}, {*rule.seconds})
    expected = clocks if isinstance(meant.times, Clocks) else set(product(*vars(clocks).values()))
    assert meant.times == expected, sentence
    assert meant.dates() == due_dates(rule.days, DATES[0], DATES[-1]), sentence


@pytest.mark.slow
def test_the_words_of_public_expressions_say_what_is_due():
    """Each that is accepted; one that says the same as an earlier one in other words is read once."""
    seen = set()
    for expression in corpus():
        try:
            fields = read(expression)
            parse(expression)
        except InvalidValueError:
            continue
        if fields not in seen:
            check(expression)
            seen.add(fields)
    assert len(seen) > 1100


@settings(max_examples=100)
@given(EVERY_FORM)
def test_the_words_of_every_form_say_what_is_due(expression: str):
    """Wraps, days from the end, lists of all forms, and both day fields."""
    try:
        parse(expression)
    except InvalidValueError as never:
        assert "one of its months has" in str(never)  # noqa: PT017 - all else has to be accepted
        return
    check(expression)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "Every minute"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("*/45 * * * *", "At minutes 0 and 45 of every hour"),
        ("59/1 * * * *", "At minute 59 of every hour"),
        ("*/7 * * * *", "At every 7th minute from 0 through 56 of every hour"),
        ("*/5 9-17 * * 1-5", "Every 5 minutes, between 09:00 and 17:59, Monday through Friday"),
        ("30 9-17 * * *", "Every hour from 09:30 through 17:30"),
        ("0 */2 * * *", "Every 2 hours from 00:00 through 22:00"),
        ("0 20-6 * * *", "Every hour from 20:00 through 06:00"),
        ("0 22-2/3 * * *", "At 01:00 and 22:00"),
        ("* * * * * */15", "Every 15 seconds"),
        ("*/20 8,12 * * * 30", "At 08:00:30, 08:20:30, 08:40:30, 12:00:30, 12:20:30 and 12:40:30"),
        ("0 0 */2 * 1", "At 00:00, on every 2nd day from 1 through 31 of the month if it is a Monday"),
        ("0 0 13 * 5", "At 00:00, on day 13 of the month, and every Friday"),
        ("0 0 1-31 * 1", "At 00:00"),
        ("0 0 1,l-2,lw * *", "At 00:00, on day 1, the last day but 2 and the last weekday of the month"),
        (
            "0 0 * 11-2 mon,fri#1",
            "At 00:00, every Monday and on the 1st Friday of the month, in November through February",
        ),
        ("0 0 1 11-2/3 *", "At 00:00, on day 1 of the month, in February and November"),
    ],
)
def test_a_sentence_names_what_the_fields_name(expression: str, words: str):
    """Steps that do not divide the hour, wraps and both day fields in plain English."""
    assert cron_words(read(expression)) == words


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("*/45 * * * *", "Every 45 minutes"),
        ("59/1 * * * *", "Every minute"),
        ("0 0 */2 * 1", "At 00:00, on every 2nd day from 1 through 31 of the month, and every Monday"),
        ("0 22-2/3 * * *", "At 02:00 and 22:00"),
    ],
)
def test_the_reader_of_sentences_finds_a_contradiction(monkeypatch, expression: str, wrong: str):
    """It refuses what describers say that read an expression by rules of their own."""
    monkeypatch.setitem(check.__globals__, "cron_words", lambda _: wrong)
    with pytest.raises(AssertionError):
        check(expression)
