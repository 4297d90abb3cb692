"""Masks secrets in log lines and ledger texts: texts that look like secrets, and values marked as secret."""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from listener.masking.masker import MASK, Masker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, MutableMapping

    from structlog.typing import WrappedLogger

__all__ = ["MASK", "hide_always", "hiding", "looks_secret", "mask_line", "redact", "redact_json", "redact_text"]

SECRET_KEY = re.compile(
    r"authorization|api[-_]?key|service[-_]?(role[-_]?)?key|secret|passw(or)?d|token|credential|cookie|private[-_]?key"
    r"|database[-_]?url|db[-_]?url|(^|_)dsn",
    re.IGNORECASE,
)
SECRET_TEXT = re.compile(
    r"((?:apikey|access_token|token)=|Bearer\s+|sb_secret_(?=\w))[^\s&\"']+"
    r"|(://[^\s:/@]{1,200}:)[^\s@]{1,200}(?=@)"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]+\.[\w-]*",
    re.IGNORECASE,
)
"""Keys in URLs, bearer tokens, Supabase's secret keys, passwords of connection strings, and bare JWTs.

Bounded and anchored so that the time is linear: texts may come from a job's row.
"""
MAX_DEPTH = 6

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
    """Mask, as a structlog processor, values under keys that look secret and secrets inside texts."""
    for key, value in event.items():
        event[key] = _masked(key, value, MAX_DEPTH)
    return event


def mask_line(_: WrappedLogger, __: str, line: Any) -> Any:  # noqa: ANN401 - a renderer may give anything
    """Mask, as the last of structlog's processors, the values that became visible only when the line was formatted."""
    return redact_text(line, numbers=False) if isinstance(line, str) else line


def redact_text(text: str, *, numbers: bool = True) -> str:
    """Mask secrets inside a text; `numbers` as `Masker.over` has it."""
    text = _always.over(text)
    hidden = _hidden.get()
    if hidden is not None:
        text = hidden.over(text, numbers=numbers)
    return SECRET_TEXT.sub(lambda found: (found[1] or found[2] or "") + MASK, text)


def redact_json(value: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Mask the present run's secret values inside a JSON value."""
    hidden = _hidden.get()
    return value if hidden is None else hidden.over_json(value)


def _masked(key: object, value: Any, depth: int) -> Any:  # noqa: ANN401 - log fields are anything
    if isinstance(key, str) and value is not None and looks_secret(key):
        return MASK
    if isinstance(value, str):
        return redact_text(value)
    if depth and isinstance(value, dict):
        return {redact_json(inner): _masked(inner, item, depth - 1) for inner, item in value.items()}
    if depth and isinstance(value, (list, tuple)):
        return [_masked(None, item, depth - 1) for item in value]
    return value if _hidden.get() is None or key == "exc_info" else redact_json(_plain(value))


def _plain(value: Any) -> Any:  # noqa: ANN401 - log fields are anything
    """Return the text of an object as it will be written, so that it can be masked."""
    try:
        return to_jsonable_python(value, fallback=repr)
    except Exception as error:  # noqa: BLE001 - a field's own repr may raise anything
        return f"unprintable: {type(error).__name__}"
