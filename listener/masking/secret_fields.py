"""Finds the payload values that a model marks secret: `SecretStr`, `SecretBytes`, `json_schema_extra={"secret": True}`.

The marks are read from the JSON schema, so that values are found in metadata that does not fit the model, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from listener.masking.redaction import looks_secret

MARK = "secret"
BY_NAME = "by_name"
"""`json_schema_extra={"secret": "by_name"}`: in a mapping, such as headers, values with names typical of secrets."""
REVEALING = ("default", "examples", "example", "const", "enum")
"""Keywords under which a schema shows a value of a field."""
BRANCHES = ("anyOf", "oneOf", "allOf")
MAX_DEPTH = 32

Schema = Mapping[str, Any]


def has_secrets(schema: Schema) -> bool:
    """Return whether any field is marked."""
    return any(_is_secret(part) or part.get(MARK) == BY_NAME for part in _parts(schema))


def names_in(schema: Schema) -> frozenset[str]:
    """Return the names of all fields, at any depth."""
    return frozenset(name for part in _parts(schema) for name in part.get("properties", {}))


def without_secret_values(schema: Schema) -> dict[str, Any]:
    """Copy a schema without the values that it shows of secret fields."""
    hidden = REVEALING if _is_secret(schema) else ()
    return {key: _copied(value) for key, value in schema.items() if key not in hidden}


def _copied(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return without_secret_values(value)
    return [_copied(item) for item in value] if isinstance(value, list) else value


def secrets_in(metadata: object, schema: Schema) -> frozenset[str]:
    """Find the values under marked fields, as text."""
    return frozenset(_marked(metadata, schema, schema.get("$defs", {}), MAX_DEPTH))


def secrets_of(payload: object) -> frozenset[str]:
    """Find the values that a validated payload holds as `SecretStr` and `SecretBytes`."""
    return frozenset(_held(payload, MAX_DEPTH))


def _is_secret(schema: Schema) -> bool:
    return schema.get(MARK) is True or (schema.get("format") == "password" and schema.get("writeOnly") is True)


def _parts(schema: object) -> Iterator[Schema]:
    if isinstance(schema, dict):
        yield schema
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for each in inner:
        yield from _parts(each)


def _marked(value: object, schema: object, definitions: Schema, depth: int) -> Iterator[str]:
    if not isinstance(schema, Mapping) or not depth:
        return
    if _is_secret(schema):
        yield from _leaves(value, depth)
        return
    if schema.get(MARK) == BY_NAME and isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, depth) if looks_secret(name) else ()
    for same in _same_value(schema, definitions):
        yield from _marked(value, same, definitions, depth - 1)
    for item, inner in _inside(value, schema):
        yield from _marked(item, inner, definitions, depth - 1)


def _same_value(schema: Schema, definitions: Schema) -> Iterator[object]:
    """Return the schemas that describe the same value: a mark in any branch counts."""
    if "$ref" in schema:
        yield definitions.get(str(schema["$ref"]).removeprefix("#/$defs/"))
    for branch in BRANCHES:
        yield from schema.get(branch, ())


def _inside(value: object, schema: Schema) -> Iterator[tuple[object, object]]:
    if isinstance(value, Mapping):
        named = schema.get("properties", {})
        others = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
        for name, item in value.items():
            yield from ((item, inner) for inner in ([named[name]] if name in named else others))
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        yield from zip(value, first, strict=False)
        yield from ((item, schema.get("items")) for item in value[len(first) :])


def _leaves(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value if depth else ():
            yield from _leaves(item, depth - 1)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _held(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, (SecretStr, SecretBytes)):
        text = value.get_secret_value()
        yield text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return
    for item in _peers(value) if depth else ():
        yield from _held(item, depth - 1)


def _peers(value: object) -> Iterator[object]:
    if isinstance(value, BaseModel):
        return iter([*value.__dict__.values(), *(value.__pydantic_extra__ or {}).values()])
    if is_dataclass(value):
        return iter([getattr(value, field.name, None) for field in fields(value)])
    if isinstance(value, Mapping):
        return iter(value.values())
    return iter(value) if isinstance(value, (list, tuple, set, frozenset)) else iter(())
