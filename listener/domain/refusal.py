"""Errors for invalid input: the value is shown, but a long one is shortened."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn, TypeVar

from listener.errors import InvalidValueError

if TYPE_CHECKING:
    from datetime import datetime

Word = TypeVar("Word", bound=StrEnum)

_shortener = reprlib.Repr()
_shortener.maxstring = _shortener.maxother = 80
_shortener.maxlist = _shortener.maxdict = 8
_shortener.maxlevel = 3
_SHOWN_CHARACTERS = 120
LONGEST_NUMBER = 10**40
"""Greater numbers are not written out: that takes quadratic time, and Python refuses it beyond 4,300 digits."""


class _Shown:
    """A shortened value, which prints as its beginning."""

    def __init__(self, value: object) -> None:
        self._text = _shortener.repr(value)

    def __repr__(self) -> str:
        return self._text


def refuse(field: str, value: object, allowed: str) -> NoReturn:
    """Refuse `value` in `field`; a long value is shortened before it is stored or shown.

    Raises:
        InvalidValueError: always.
    """
    is_short = len(value) <= _shortener.maxstring if isinstance(value, str) else True
    if isinstance(value, int) and not -LONGEST_NUMBER < value < LONGEST_NUMBER:
        is_short, value = False, f"a number of about {value.bit_length() * 3 // 10} digits"
    keep = is_short and isinstance(value, (str, int, float, type(None)))
    raise InvalidValueError(field, value if keep else _Shown(value), allowed) from None


class _AsJson:
    """The beginning of a value as the database shows it."""

    def __init__(self, value: object) -> None:
        try:
            text = json.dumps(_beginning(value), ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):  # nothing that a column can hold
            text = _shortener.repr(value)
        shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
        self._text = shown.encode("utf-8", "backslashreplace").decode()

    def __repr__(self) -> str:
        return self._text


def _beginning(value: object) -> object:
    """Return as much of `value` as is shown, the keys of objects in jsonb's order: the shorter ones first."""
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return {key: _beginning(value[key]) for key in keys[:_SHOWN_CHARACTERS]}
    if isinstance(value, list | tuple):
        return [_beginning(each) for each in value[:_SHOWN_CHARACTERS]]
    return value[: _SHOWN_CHARACTERS + 1] if isinstance(value, str) else value


def refuse_column(column: str, value: object, allowed: str) -> NoReturn:
    """Refuse the value of a column with the message of the database at the insert.

    Raises:
        InvalidValueError: always.
    """
    raise InvalidValueError(field=f"scheduled_jobs.{column}", value=_AsJson(value), allowed=allowed) from None


def refuse_schedule(schedule: object, allowed: str) -> NoReturn:
    """Refuse a schedule with the message of the database at the insert.

    Raises:
        InvalidValueError: always.
    """
    refuse_column("schedule", schedule, allowed)


def word(kind: type[Word], field: str, value: object) -> Word:
    """Return `value` as one of the words of `kind`.

    Raises:
        InvalidValueError: it is none of them.
    """
    if isinstance(value, kind):
        return value
    if not isinstance(value, str) or value not in list(kind):
        refuse(field, value, ", ".join(kind))
    return kind(value)


def instant(field: str, value: datetime) -> datetime:
    """Return `value`, which must be aware.

    Raises:
        InvalidValueError: it names no time zone.
    """
    if value.utcoffset() is None:
        refuse(field, value.isoformat(), "an instant with its UTC offset")
    return value
