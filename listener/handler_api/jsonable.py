"""Converts values to JSON that PostgreSQL's jsonb accepts: no NUL, no lone surrogate, no NaN or infinity."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json, to_json, to_jsonable_python

from listener.domain.value_bounds import MAX_PARTS, is_too_large, sample

REPLACEMENT = "\ufffd"
HEAD_CHARACTERS = 1024
"""How much of a too large value is kept, as a sample."""


def clean_text(text: str, limit: int | None = None) -> str:
    """Replace characters that PostgreSQL refuses in a text, and cut it at `limit` characters with a note of the cut."""
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]} … ({len(text) - limit} more characters)"
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", REPLACEMENT)


def clean(value: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Apply `clean_text` to every text inside a JSON value, keys included."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(key) if isinstance(key, str) else key: clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def to_jsonb(value: object, limit_bytes: int) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Dump a handler's result: models and dataclasses become objects, NaN and infinity null.

    A value of more than `limit_bytes` of JSON becomes `{"truncated": true, "bytes": …, "limit_bytes": …, "head": …}`,
    and one that is not converted at all, because it has too many parts or characters,
    `{"truncated": true, "limit_bytes": …, "limit_parts": …, "head": …}`.

    Raises:
        TypeError: when the value is, or contains, an iterator.
        ValueError: when a part of the value has no JSON form, or when it is nested too deeply.
    """
    if value is None:
        return None
    if is_too_large(value, limit_bytes):
        head = _head(_encode(sample(value, HEAD_CHARACTERS)))
        return {"truncated": True, "limit_bytes": limit_bytes, "limit_parts": MAX_PARTS, "head": head}
    encoded = _encode(value)
    if len(encoded) > limit_bytes:
        return {"truncated": True, "bytes": len(encoded), "limit_bytes": limit_bytes, "head": _head(encoded)}
    plain = from_json(encoded)
    return clean(plain) if b"\\u0000" in encoded else plain


def _head(encoded: bytes) -> str:
    return clean_text(encoded[:HEAD_CHARACTERS].decode("utf-8", "ignore"))


def _encode(value: object) -> bytes:
    try:
        return to_json(value, inf_nan_mode="null")
    except ValueError:  # a lone surrogate has no UTF-8 form, or the type is unknown: the second try shows which
        return to_json(clean(to_jsonable_python(value)), inf_nan_mode="null")
