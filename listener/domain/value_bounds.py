"""Bounds on values of handlers, applied before they are converted: the loop converts them, and all runs wait for it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PARTS = 10_000
"""Values inside a value, keys of objects not counted: pydantic-core keeps the interpreter while it converts them."""
MAX_INTEGER_BITS = 14_000
"""About as many digits as Python converts to a text by itself; the time is quadratic."""
MAX_SAMPLE_PARTS, MAX_SAMPLE_DEPTH, MAX_SAMPLE_TEXT = 512, 100, 1024
SEQUENCES = (list, tuple, set, frozenset, deque)
CONTAINERS = (dict, *SEQUENCES)
TEXTS = (str, bytes, bytearray)


def is_too_large(value: object, most_characters: int, most_parts: int = MAX_PARTS) -> bool:
    """Return whether a value has more parts, or more characters, than so many; what JSON does not have counts twice.

    The time is bounded: a part of a part is counted, but not looked at, once it is too many.

    Raises:
        TypeError: the value is or contains an iterator, which may have no end.
        ValueError: it contains an integer that has too many digits.
    """
    waiting: list[Any] = [value]
    parts = characters = 0
    while waiting:
        part = waiting.pop()
        kind = type(part)
        if kind is str:
            characters += len(part)
        elif kind is int:
            characters += _digits(part)
        elif kind is not float and kind is not bool and part is not None:
            is_plain = kind is list or kind is dict
            inner = (part if kind is list else part.values()) if is_plain else _inside(part)
            parts += len(inner) + (not is_plain)
            if parts > most_parts:
                return True
            waiting += inner
            characters += _length(part)
        if characters > most_characters:
            return True
    return False


def sample(value: object, characters: int) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Copy the beginning of a value: enough for so many characters of its JSON.

    Raises:
        ValueError: the value contains itself, or is nested too deeply.
    """
    return _Sample(characters).copy(value, ())


class _Sample:
    """Copies until its characters or its parts are used up."""

    def __init__(self, characters: int) -> None:
        self._characters, self._parts = characters, MAX_SAMPLE_PARTS

    def copy(self, value: Any, around: tuple[int, ...]) -> Any:  # noqa: ANN401 - as above
        """Copy a value that is inside of others, which are named by their ids."""
        self._characters -= 0 if isinstance(value, dict) else _length(value)
        if isinstance(value, TEXTS):
            return value[:MAX_SAMPLE_TEXT]
        if _has_fields(value):
            return f"({type(value).__name__})"  # its own serializer may hide fields, and is not bounded
        if not isinstance(value, CONTAINERS):
            return value
        if id(value) in around or len(around) > MAX_SAMPLE_DEPTH:
            raise ValueError("it contains itself" if id(value) in around else "it is nested too deeply")
        around = (*around, id(value))
        if isinstance(value, dict):
            return {self.copy(key, around): self.copy(value[key], around) for key in self._first(value)}
        return [self.copy(item, around) for item in self._first(value)]

    def _first(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            if self._parts <= 0 or self._characters <= 0:
                return
            self._parts -= 1
            yield item


def _inside(part: Any) -> Any:  # noqa: ANN401 - as above
    """Return what is inside of a part.

    Raises:
        TypeError: the part is an iterator.
    """
    if isinstance(part, dict):
        return part.values()
    if isinstance(part, SEQUENCES):
        return part
    if _is_model(part):
        return part.__dict__.values()
    if hasattr(type(part), "__dataclass_fields__"):
        return [getattr(part, name, None) for name in part.__dataclass_fields__]
    if isinstance(part, Iterator | AsyncIterator):
        message = f"a {type(part).__name__} has no end that could be known; return a list"
        raise TypeError(message)
    return ()


def _is_model(part: object) -> bool:
    """Whether a part is a pydantic model, which the domain does not know: each of their classes has this attribute."""
    return "__pydantic_fields__" in type(part).__dict__


def _has_fields(part: object) -> bool:
    return _is_model(part) or hasattr(type(part), "__dataclass_fields__")


def _length(part: Any) -> int:  # noqa: ANN401 - as above
    """Return how many characters a part has beside those of what is inside of it."""
    if isinstance(part, dict):
        try:
            return sum(map(len, part))
        except TypeError:
            return sum(len(key) for key in part if isinstance(key, str))
    if isinstance(part, TEXTS):
        return len(part)
    return _digits(part) if isinstance(part, int) else 0


def _digits(number: int) -> int:
    """Return about how many digits an integer has.

    Raises:
        ValueError: too many.
    """
    bits = number.bit_length()
    if bits > MAX_INTEGER_BITS:
        message = f"an integer of {bits} bits has too many digits; return it as a text"
        raise ValueError(message)
    return bits // 3
