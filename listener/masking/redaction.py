"""Masks secrets in log lines and ledger texts: texts that look like secrets, and values marked as secret."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from listener.domain.value_bounds import CONTAINERS, MAX_INTEGER_BITS, is_too_large
from listener.masking.masker import MASK, Masker

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from structlog.typing import WrappedLogger

__all__ = [
    "MASK", "hide_always", "hiding", "looks_secret", "mask_line", "redact", "redact_head", "redact_json", "redact_tail",
    "redact_text",
]  # fmt: skip

SECRET_KEY = re.compile(
    r"authorization|api[-_]?key|service[-_]?(role[-_]?)?key|secret|passw(or)?d|token|credential|cookie|private[-_]?key"
    r"|database[-_]?url|db[-_]?url|(^|_)dsn",
    re.IGNORECASE,
)
SECRET_TEXT = re.compile(
    r"((?:apikey|access_token|token)=|Bearer\s+|sb_secret_(?=\w))[^\s&\"']+"
    r"|(://[^\s:/@]{1,200}+:)[^\s@]{1,200}+(?=@)"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]+\.[\w-]*",
    re.IGNORECASE,
)
"""Keys in URLs, bearer tokens, Supabase's secret keys, passwords of connection strings, and bare JWTs.

Bounded and anchored so that the time is linear: texts may come from a job's row.
"""
SIGNS = ("apikey=", "token=", "bearer", "sb_secret_", "://", "eyj")
"""Every hit of `SECRET_TEXT` contains one of them; searching them takes a hundredth of its time."""
CUT_TOKEN = re.compile(r"(?<![\w-])eyJ[\w-]*+(\.[\w-]*)?$")
"""A bare JWT that was cut before its second dot."""
TWO_WORDS = re.compile(r"[^\s&\"']*+[\s&\"']++[^\s&\"']*+[\s&\"']")
"""The rest of a cut token, or of the word before it."""
DELIMITERS = " \n\t\r&\"'"
LONGEST_SIGN = 16
OVERLAP = 512
"""A text is bounded first, and then masked: this much beyond the bound is masked too, and dropped. What was cut in half
is in it: a password in a URL, a short value, the beginning of a long one that is too short to be recognised."""
MAX_DEPTH = 6
MAX_NAME_CHARACTERS = 256
MAX_TEXT_CHARACTERS = 8 * 1024
MAX_EVENT_CHARACTERS = 24 * 1024
MAX_EVENT_PARTS = 500
"""Limit of one event, which may be as large as a payload: fields beyond it are left out."""
LEFT_OUT = "…"

_always: Masker = Masker()
_hidden: ContextVar[Masker | None] = ContextVar("hidden", default=None)
"""The secret values of the present run; its tasks and threads inherit it."""


def hide_always(secrets: Iterable[str]) -> None:
    """Mask these values from now on, in every text of this process."""
    global _always  # noqa: PLW0603 - the process has one set of keys, and no line may be without them
    _always = Masker([*_always.secrets, *secrets])


@contextmanager
def hiding(masker: Masker | None) -> Iterator[None]:
    """Mask values in everything that is logged and redacted inside this block."""
    token = _hidden.set(masker)
    try:
        yield
    finally:
        _hidden.reset(token)


@lru_cache(maxsize=1024)
def looks_secret(name: str) -> bool:
    """Return whether a name is typical of secrets."""
    return SECRET_KEY.search(name) is not None


def redact(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask, as a structlog processor, values under keys that look secret and secrets inside texts.

    An event is bounded before it is masked, and masked once: a run's logger does so first, and of the event that it
    leaves only the traceback is new to the service's own processors.
    """
    if isinstance(event, Bounded):
        if "exception" in event:
            event["exception"] = redact_tail(str(event["exception"]), MAX_TEXT_CHARACTERS)
        return event
    budget = _Budget()
    bounded = Bounded({_name(key, budget): _masked(key, value, MAX_DEPTH, budget) for key, value in event.items()})
    bounded.characters = MAX_EVENT_CHARACTERS - budget.characters
    return bounded


def mask_line(_: WrappedLogger, __: str, line: Any) -> Any:  # noqa: ANN401 - a renderer may give anything
    """Mask, as the last of structlog's processors, the values that became visible only when the line was formatted."""
    return redact_text(line, numbers=False) if isinstance(line, str) else line


def redact_text(text: str, *, numbers: bool = True) -> str:
    """Mask secrets inside a text; `numbers` as `Masker.over` has it. The time is in proportion to the text."""
    hidden = _hidden.get()
    if hidden is not None:
        text = hidden.over(text, numbers=numbers)
    lower = text.lower()
    if any(sign in lower for sign in SIGNS):
        text = SECRET_TEXT.sub(lambda found: (found[1] or found[2] or "") + MASK, text)
    return _always.over(text)  # last: all JWTs begin alike, and of one that is masked whole no end is left over


def redact_head(text: str, limit: int) -> str:
    """Mask secrets in the first `limit` characters of a text, and return how many more it has; the time is bounded."""
    if len(text) <= limit:
        return redact_text(text)
    masked = redact_text(text[: limit + OVERLAP])
    head = CUT_TOKEN.sub(MASK, masked[: -OVERLAP if len(text) > limit + OVERLAP else None][:limit])
    return f"{head} … ({len(text) - limit} more characters)"


def redact_tail(text: str, limit: int) -> str:
    """Mask secrets in the last `limit` characters, as `redact_head` does in the first ones."""
    if len(text) <= limit:
        return redact_text(text)
    start = max(0, len(text) - limit - OVERLAP)
    masked = redact_text(text[start:])
    if start and _is_in_token(text, start):
        end = TWO_WORDS.match(masked)
        masked = masked[max(end.end(), OVERLAP) :] if end else ""
    elif start:
        masked = masked[OVERLAP:]
    return f"… ({len(text) - limit} more characters)\n{masked[-limit:]}"


def _is_in_token(text: str, at: int) -> bool:
    """Whether what may be a token, or its sign, begins before and does not end there."""
    word = max(text.rfind(delimiter, 0, at) for delimiter in DELIMITERS)
    around = text[max(0, word - LONGEST_SIGN) : at + LONGEST_SIGN].lower()
    return any(sign in around for sign in SIGNS)


def redact_json(value: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Mask the present run's secret values inside a JSON value."""
    hidden = _hidden.get()
    return value if hidden is None else hidden.over_json(value)


class Bounded(dict[str, Any]):
    """An event that has been bounded and masked; structlog's processors change it, and pass it on."""

    characters = 0
    """About how many there are in its texts."""


class _Budget:
    """The rest of the bounds of an event."""

    __slots__ = ("characters", "parts")

    def __init__(self) -> None:
        self.characters, self.parts = MAX_EVENT_CHARACTERS, MAX_EVENT_PARTS

    def text(self, text: str) -> str:
        """Mask as much of a text as is left."""
        limit = min(MAX_TEXT_CHARACTERS, self.characters)
        self.characters -= min(len(text), limit)
        return redact_head(text, limit) if limit or not text else LEFT_OUT

    def thing(self, value: Any) -> Any:  # noqa: ANN401 - log fields are anything
        """Give what is written as its representation, or that, if it is too long."""
        try:
            text = repr(value)
        except Exception:  # noqa: BLE001 - whoever writes it will meet that again
            return value
        if len(text) > min(MAX_TEXT_CHARACTERS, self.characters):
            return self.text(text)
        self.characters -= len(text)
        return value

    def unshown(self, value: Any) -> str | None:  # noqa: ANN401 - as above
        """Describe a thing that has no end or is too large to be looked at; None for any other."""
        if isinstance(value, Iterator | AsyncIterator):
            return object.__repr__(value)
        if isinstance(value, bytes | bytearray) and len(value) > MAX_TEXT_CHARACTERS:
            return f"{bytes(value[:MAX_TEXT_CHARACTERS])!r} … ({len(value)} bytes)"
        try:
            if not is_too_large(value, MAX_EVENT_CHARACTERS, MAX_EVENT_PARTS):
                return None
        except (TypeError, ValueError):  # there is an iterator inside, or an integer with thousands of digits
            pass
        except Exception:  # noqa: BLE001 - as above
            return None
        return f"({type(value).__name__}, too large to be shown)"

    def has_part(self) -> bool:
        """Take one part, if any is left."""
        self.parts -= 1
        return self.parts >= 0 < self.characters


def _masked(key: object, value: Any, depth: int, budget: _Budget) -> Any:  # noqa: ANN401 - log fields are anything
    if not budget.has_part():
        return LEFT_OUT
    if isinstance(key, str) and value is not None and looks_secret(key[:MAX_NAME_CHARACTERS]):
        return MASK
    if isinstance(value, str):
        return budget.text(value)
    if key == "exc_info" or value is None or isinstance(value, bool):
        return value
    if depth and isinstance(value, CONTAINERS):
        return _masked_inside(value, depth - 1, budget)
    return _masked_number(value) if isinstance(value, int | float) else _masked_thing(value, depth, budget)


def _masked_number(value: float) -> Any:  # noqa: ANN401 - as above
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        return f"(an integer of {value.bit_length()} bits)"
    return redact_json(value)


def _masked_inside(value: Any, depth: int, budget: _Budget) -> Any:  # noqa: ANN401 - as above
    if isinstance(value, dict):
        kept = islice(value.items(), budget.parts + 1)
        return {_name(inner, budget): _masked(inner, item, depth, budget) for inner, item in kept}
    return [_masked(None, item, depth, budget) for item in islice(value, budget.parts + 1)]


def _masked_thing(value: Any, depth: int, budget: _Budget) -> Any:  # noqa: ANN401 - as above
    unshown = budget.unshown(value)
    if unshown is not None:
        return budget.text(unshown)
    if _hidden.get() is None:
        return budget.thing(value)
    plain = _plain(value)
    if isinstance(plain, dict | list) and not depth:
        return redact_json(budget.thing(plain))
    return _masked(None, plain, depth - 1, budget)


def _name(key: Any, budget: _Budget) -> Any:  # noqa: ANN401 - as above
    if isinstance(key, str) and (_hidden.get() is not None or len(key) > MAX_NAME_CHARACTERS):
        return budget.text(key)
    return redact_json(key)


def _plain(value: Any) -> Any:  # noqa: ANN401 - log fields are anything
    """Return the text of an object as it will be written, so that it can be masked."""
    try:
        return to_jsonable_python(value, fallback=repr)
    except Exception as error:  # noqa: BLE001 - a field's own repr may raise anything
        return f"unprintable: {type(error).__name__}"
