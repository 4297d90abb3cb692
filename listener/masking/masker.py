"""Masks known secret values in texts, whether they stand there whole, quoted, encoded or cut off."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MASK = "[redacted]"
LEAST_CHARACTERS = 4
"""A shorter value occurs in too many words: masking it would reveal it, and make every text unreadable."""
RECOGNISED_CHARACTERS = 12
"""Of a long value, a beginning or end of this length is masked too: messages cut values in the middle."""
LONG_CHARACTERS = 20
SHORT_JSON = 8 * 1024
MAX_WORK = 20_000_000
"""Characters looked at for one text, each value once: some milliseconds. Of what takes more nothing is shown."""


class Masker:
    """Secret values that no text may show.

    Args:
        secrets: the values; those shorter than `LEAST_CHARACTERS` are ignored.
    """

    __slots__ = ("_always_walk", "_long", "_signs", "_whole", "secrets")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.secrets = frozenset(each for each in secrets if len(each) >= LEAST_CHARACTERS)
        forms = {form for secret in self.secrets for form in _forms(secret)}
        self._whole = sorted(forms, key=lambda form: (-len(form), form))  # the longer one first: it may contain another
        self._long = [form for form in self._whole if len(form) >= LONG_CHARACTERS]
        ends = {end for form in self._long for end in (form[:RECOGNISED_CHARACTERS], form[-RECOGNISED_CHARACTERS:])}
        self._signs = [*self._whole, *ends]
        self._always_walk = any(
            "e+" in secret.lower() for secret in self.secrets
        )  # a number that JSON writes otherwise

    def over(self, text: str, *, numbers: bool = True) -> str:
        """Return the text with every value masked.

        Args:
            text: a text.
            numbers: false for a line of JSON, which a mask inside a longer number would break.
        """
        if len(text) * len(self._signs) > MAX_WORK:
            return MASK
        for form in self._whole:
            if form in text and (numbers or not form.isdecimal()):
                text = text.replace(form, MASK)
        for form in self._long:
            text = _without_ends(text, form)
        return text

    def over_json(self, value: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Return a JSON value in which every text, key and number that is or contains one of the values is masked.

        Most contain none: a search of their text shows that in a thousandth of the time that a walk through them takes.
        """
        if self._always_walk or isinstance(value, str):
            return self._walk(value)
        text = to_json(value).decode()
        if len(text) * len(self._signs) > MAX_WORK:
            return MASK
        if not any(sign in text for sign in self._signs):
            return value
        if len(text) < SHORT_JSON:
            return self._walk(value)
        try:
            return from_json(self.over(text))
        except ValueError:  # a mask stands in a number, or amid an escape
            return self._walk(value)

    def _walk(self, value: Any) -> Any:  # noqa: ANN401 - as above
        if isinstance(value, str):
            return self.over(value)
        if isinstance(value, dict):
            return {self.over(key): self._walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._walk(item) for item in value]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return MASK if is_number and str(value) in self.secrets else value


def _forms(secret: str) -> Iterator[str]:
    """Return the forms in which messages show the value: as it is, as Python and JSON quote it, and as URLs do."""
    yield secret
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    yield json.dumps(repr(secret)[1:-1])[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)


def _without_ends(text: str, form: str) -> str:
    """Mask words that begin or end like the value."""
    head, tail = form[:RECOGNISED_CHARACTERS], form[-RECOGNISED_CHARACTERS:]
    if head in text:
        text = "".join(_beginnings(text, form, head))
    if tail in text:
        backwards = _beginnings(text[::-1], form[::-1], tail[::-1], MASK[::-1])
        text = "".join(backwards)[::-1]
    return text


def _beginnings(text: str, form: str, head: str, mask: str = MASK) -> Iterator[str]:
    at = 0
    while (found := text.find(head, at)) >= 0:
        yield text[at:found]
        yield mask
        at = found + len(head)
        for character in form[len(head) :]:
            if text[at : at + 1] != character:
                break
            at += 1
    yield text[at:]
