"""Cron expressions for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
OF_THE_MONTH = ["L", "l", "1,L", "15W", "31w", "?"]
OF_THE_WEEK = ["mon#1", "5#5", "L5", "l0", "1#1,3#2", "0-7", "7", "fri-mon"]


def field(lowest: int, highest: int, names: list[str] | None = None, *, wraps: bool = False) -> st.SearchStrategy[str]:
    """Any spelling of a cron field: star, steps, ranges, names, lists; with `wraps` ranges around the end, too."""
    value = st.integers(lowest, highest)
    spelled = value.map(lambda number: names[number - lowest] if names else str(number))
    bounds = st.tuples(value, value).filter(lambda pair: pair[0] != pair[1] if wraps else pair[0] < pair[1])
    span = bounds.map(lambda pair: f"{pair[0]}-{pair[1]}")
    step = st.integers(1, min(9, highest - lowest + 1))
    stepped = st.tuples(st.one_of(span, spelled) if wraps else span, step).map(lambda pair: f"{pair[0]}/{pair[1]}")
    star = st.one_of(st.just("*"), st.integers(2, min(9, highest - lowest + 1)).map(lambda step: f"*/{step}"))
    return st.one_of(star, st.lists(st.one_of(spelled, span, stepped), min_size=1, max_size=3).map(",".join))


def expressions(
    of_month: list[str] = OF_THE_MONTH, of_week: list[str] = OF_THE_WEEK, *, wraps: bool = False
) -> st.SearchStrategy[str]:
    """Expressions of five or six fields; `of_month` and `of_week` are spellings that leave the other day field free."""
    free = st.sampled_from(["*", "?"])
    days = st.one_of(
        st.tuples(field(1, 31, wraps=wraps), field(0, 6, WEEKDAYS, wraps=wraps)),
        st.tuples(st.sampled_from(of_month), free),
        st.tuples(free, st.sampled_from(of_week)),
    )
    time = (field(0, 59, wraps=wraps), field(0, 23, wraps=wraps))
    month = field(1, 12, MONTHS, wraps=wraps)
    five = st.tuples(*time, days, month).map(lambda part: f"{part[0]} {part[1]} {part[2][0]} {part[3]} {part[2][1]}")
    second = field(0, 59, wraps=wraps)
    six = st.tuples(five, second).map(" ".join).filter(lambda expression: "?" not in expression)
    return st.one_of(five, six)


EVERY_FORM = expressions(
    [*OF_THE_MONTH, "L-3", "l-30,l", "LW", "1W,15w", "lw,3", "L-2,20-5/4"],
    [*OF_THE_WEEK, "5L", "friL", "mon,fri#1", "6-2/3,sunL", "0-7/2"],
    wraps=True,
)
"""All that the insert accepts."""
