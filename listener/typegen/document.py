"""One JSON schema for the payloads of all handlers, which generators of other languages read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TITLE = "HandlerPayloads"
ANYTHING: dict[str, Any] = {"type": "object", "additionalProperties": True}
LITERAL = ("default", "examples", "example", "const", "enum")
"""Under these keywords stands a value, not a schema."""
MAPS = ("properties", "patternProperties", "$defs")
"""Under these keywords stand schemas by name: there, `title` is a field's name, not a heading."""
SHAPING = frozenset(["type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf", "not", "properties", "items"])


def document(catalogue: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a schema with one required property for each handler, and the definitions of all.

    Args:
        catalogue: rows of `job_handlers`.
    """
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for number, row in enumerate(sorted(catalogue, key=lambda row: str(row["name"]))):
        prefix = f"h{number}"
        schema = dict(row["payload_schema"] or ANYTHING)
        for name, inner in schema.pop("$defs", {}).items():
            definitions[f"{prefix}_{_key(name)}"] = _cleaned(inner, prefix, title=inner.get("title", name))
        definitions[prefix] = _cleaned(schema, prefix, title=f"{pascal(row['name'])}Payload")
        properties[row["name"]] = {"$ref": f"#/$defs/{prefix}"}
    return {
        "title": TITLE,
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
        "$defs": definitions,
    }


def pascal(name: str) -> str:
    """Return a name in the form of types: `event_reminder` becomes `EventReminder`."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^0-9A-Za-z]+", name) if word)


def _key(name: str) -> str:
    """Return the key of a definition without characters that a JSON pointer would have to escape."""
    return re.sub(r"\W", "_", name)


def _cleaned(schema: Mapping[str, Any], prefix: str, title: str | None = None) -> dict[str, Any]:
    """Copy a schema: without titles of fields, which would become types of their own, and with tuples in old form."""
    copy = {key: _part(key, value, prefix) for key, value in schema.items() if key != "title"}
    if "prefixItems" in copy:
        copy["items"], copy["additionalItems"] = copy.pop("prefixItems"), copy.get("items", False)
    if not SHAPING.intersection(copy):
        copy["tsType"] = "unknown"  # json2ts takes a schema without a type for an object; other generators ignore this
    return copy if title is None or "$ref" in copy else {"title": title, **copy}


def _part(key: str, value: Any, prefix: str) -> Any:  # noqa: ANN401 - JSON
    if key == "$ref":
        return _reference(value, prefix)
    if key == "discriminator":
        mapping = {name: _reference(target, prefix) for name, target in value.get("mapping", {}).items()}
        return {**value, "mapping": mapping}
    if key in LITERAL:
        return value
    if key in MAPS:
        return {name: _schema(inner, prefix) for name, inner in value.items()}
    return _schema(value, prefix)


def _reference(pointer: str, prefix: str) -> str:
    return f"#/$defs/{prefix}_{_key(pointer.removeprefix('#/$defs/'))}"


def _schema(value: Any, prefix: str) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return _cleaned(value, prefix)
    return [_schema(item, prefix) for item in value] if isinstance(value, list) else value
