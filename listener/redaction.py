"""Keep secrets out of every log line, the ledger's included."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from structlog.typing import WrappedLogger

MASK = "[redacted]"
SECRET_KEY = re.compile(
    r"authorization|api[-_]?key|service[-_]?(role[-_]?)?key|secret|passw(or)?d|token|credential|cookie|private[-_]?key"
    r"|database[-_]?url|db[-_]?url|(^|_)dsn",
    re.IGNORECASE,
)
SECRET_TEXT = re.compile(
    r"((?:apikey|access_token|token)=|Bearer\s+|sb_secret_)[^\s&\"']+"
    r"|(://[^\s:/@]{1,200}:)[^\s@]{1,200}(?=@)"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]+\.[\w-]*",
    re.IGNORECASE,
)
"""Keys in URLs, bearer tokens, Supabase's secret keys, passwords of connection strings, and bare JWTs.

Bounded and anchored so that the time is linear: texts may come from a job's row.
"""
MAX_DEPTH = 6


def redact(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask, as a structlog processor, values under keys that look secret and secrets inside texts."""
    for key, value in event.items():
        event[key] = _masked(key, value, MAX_DEPTH)
    return event


def redact_text(text: str) -> str:
    """Mask secrets inside a text."""
    return SECRET_TEXT.sub(lambda found: (found[1] or found[2] or "") + MASK, text)


def _masked(key: object, value: Any, depth: int) -> Any:  # noqa: ANN401 - log fields are anything
    if isinstance(key, str) and value is not None and SECRET_KEY.search(key):
        return MASK
    if isinstance(value, str):
        return redact_text(value)
    if depth and isinstance(value, dict):
        return {inner: _masked(inner, item, depth - 1) for inner, item in value.items()}
    if depth and isinstance(value, (list, tuple)):
        return [_masked(None, item, depth - 1) for item in value]
    return value
