"""The text of an exception costs little, however much there is to show."""

from __future__ import annotations

import pytest

from listener.domain.traceback_text import MAX_FRAMES, MAX_NOTES, exception_text, message_of, traceback_of

FIRST = "first"
LARGE = {"list": list(range(100_000)), "dict": dict.fromkeys(range(100_000)), "tuple": ("x",) * 100_000}


class Counted(Exception):  # noqa: N818 - a name
    """Counts how often its text is made."""

    made = 0

    def __str__(self) -> str:
        Counted.made += 1
        return "line\n" * 10_000


def raised(error: BaseException) -> BaseException:
    """Give an exception with its traceback."""
    try:
        raise error  # noqa: TRY301 - for its traceback
    except BaseException as same:  # noqa: BLE001 - any
        return same


def raised_first() -> None:
    """Raise an error."""
    raise KeyError(FIRST)


def one(depth: int) -> None:
    """Call the other, which calls this one: no line repeats."""
    two(depth - 1) if depth else None


def two(depth: int) -> None:
    """Call the other."""
    one(depth - 1)


def test_a_short_exception_is_shown_with_its_causes():
    """As Python shows it."""
    try:
        try:
            raised_first()
        except KeyError as error:
            raise ValueError from error
    except ValueError as error:
        text = traceback_of(error)
    assert "KeyError: 'first'" in text
    assert "direct cause" in text
    assert text.endswith("ValueError\n")


def test_of_a_thousand_frames_the_last_are_shown():
    """Each takes a look at its source."""
    with pytest.raises(RecursionError) as caught:
        one(10_001)
    text = traceback_of(caught.value)
    assert text.count("\n  File ") <= MAX_FRAMES
    assert "RecursionError: maximum recursion depth exceeded" in text.splitlines()[-1]


def test_many_causes_share_the_frames():
    """A chain of retries may be long, and each of its errors deep."""
    error: BaseException | None = None
    for _ in range(20):
        with pytest.raises(RecursionError) as caught:
            one(10_001)
        caught.value.__cause__, error = error, caught.value
    assert error is not None
    assert traceback_of(error).count("\n  File ") <= MAX_FRAMES


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_of_a_large_argument_the_beginning_is_shown(value):
    """`raise ValueError(rows)` is written quickly."""
    error = raised(ValueError(value, "why"))
    assert len(message_of(error)) < 1000
    assert message_of(error).endswith("'why'")
    assert len(traceback_of(error)) < 5000


def test_a_long_text_is_not_laid_out_in_lines():
    """Nor is it made more often than needed; the text comes whole, for those who mask it."""
    Counted.made = 0
    text = traceback_of(raised(Counted()))
    assert text.endswith("Counted: " + "line\n" * 10_000)
    assert Counted.made <= 3


def test_notes_without_end_are_left_out():
    """Each is a text of its own."""
    error = raised(ValueError("why"))
    for _ in range(MAX_NOTES + 1):
        error.add_note("note")
    assert "note" not in traceback_of(error)


def test_what_cannot_be_shown_does_not_raise():
    """Not even what would end a process."""

    class Odd(Exception):  # noqa: N818 - a name
        args = property(lambda _: (_ for _ in ()).throw(SystemExit))  # type: ignore[assignment]

    error = raised(Odd())
    assert message_of(error) == "(its text cannot be shown)"
    assert "cannot be shown" in exception_text((type(error), error, error.__traceback__))
