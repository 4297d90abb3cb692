"""A handler's payload: reads the declared type of the second parameter, and validates a job's metadata against it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_json

from listener.domain.outcome import Failed
from listener.handler_api.jsonable import clean_text
from listener.masking.redaction import redact_head
from listener.masking.secret_fields import has_secrets, names_in, secrets_in, secrets_of, without_secret_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import ErrorDetails, core_schema

LENIENT = "x-lenient"
"""Marks a part of the published schema: a validator or an alias of a field may accept more than the schema describes,
so that the database leaves the check to the model."""
MAX_PARAMETERS = 2
LARGE_BYTES = 16 * 1024
SHOWN_CHARACTERS = 100
SHOWN_FAULTS = 10
LISTED_FAULTS = 500
"""Of more, pydantic would take a tenth of a second to make the list."""
MAX_CHARACTERS = 2 * 1024


class Payload:
    """The declared shape of a payload.

    Args:
        function: a handler, `(job)` or `(job, payload)`; the annotation of `payload` is its model, and a bare, `Any`,
            `dict` or `Mapping` one takes the metadata as it is.

    Raises:
        TypeError: when the function has other parameters, or an annotation that pydantic or this module cannot read.
    """

    __slots__ = ("_adapter", "_by_name", "_schema", "expected", "has_secrets")

    def __init__(self, function: Callable[..., object]) -> None:
        parameter = _second_parameter(function)
        self.expected = parameter is not None
        annotation = Any if parameter is None else _resolve(function, parameter)
        self._adapter: TypeAdapter[Any] | None = None if _is_raw(annotation) else _adapter(annotation)
        self._schema = _described(self._adapter, annotation) if self._adapter else None
        self.has_secrets = self._schema is not None and has_secrets(self._schema)
        self._by_name: dict[str, Any] = {}
        if self._adapter and self.has_secrets:
            self._by_name = _described(self._adapter, annotation, by_alias=False)

    def is_large(self, metadata: Mapping[str, Any]) -> bool:
        """Say whether to parse it may take long enough for others to notice."""
        try:
            return self._adapter is not None and len(to_json(metadata)) > LARGE_BYTES
        except ValueError:  # it has no JSON, which `parse` will report
            return False

    def parse(self, metadata: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the model is the handler's own
        """Return the handler's argument.

        Raises:
            ValidationError: when the metadata does not fit; JSON's rules hold, also in a strict model.
        """
        if self._adapter is None:
            return metadata
        return self._adapter.validate_json(to_json(metadata))

    def schema(self) -> dict[str, Any] | None:
        """Return the JSON schema, without defaults of secret fields; None where the metadata is taken as it is."""
        return None if self._schema is None else without_secret_values(self._schema)

    def secrets(self, metadata: Mapping[str, Any]) -> frozenset[str]:
        """Return the values of the fields that the model marks secret, also if other fields do not fit."""
        if self._schema is None or not self.has_secrets:
            return frozenset()
        return secrets_in(metadata, self._schema) | secrets_in(metadata, self._by_name)

    @property
    def shown(self) -> frozenset[str] | None:
        """Return the fields whose values may be shown unless they are secret; None: all."""
        return names_in(self._schema) if self._schema is not None and self.has_secrets else None

    def parsed_secrets(self, payload: object) -> frozenset[str]:
        """Return the secret values of a validated payload: a validator may have changed or renamed them."""
        if self._adapter is None or not self.has_secrets:
            return frozenset()
        try:
            dumped = self._adapter.dump_python(payload, mode="json", warnings=False)
        except Exception:  # noqa: BLE001 - a model's own serializer; what it holds as a secret is found all the same
            dumped = None
        return secrets_of(payload) | secrets_in(dumped, self._by_name)


class _Schema(GenerateJsonSchema):
    """Describes types that JSON schema cannot express as anything, and marks types that a validator may convert."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """Mark a type whose validator runs before the type is checked."""
        return _marked_unless_described(super().function_before_schema(schema), schema)

    def function_wrap_schema(self, schema: core_schema.WrapValidatorFunctionSchema) -> JsonSchemaValue:
        """Mark a type whose validator may skip the check of the type."""
        return _marked_unless_described(super().function_wrap_schema(schema), schema)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Mark a model whose fields have several names: the schema has one of each."""
        described = super().model_schema(schema)
        return {**described, LENIENT: True} if _has_other_names(schema["cls"]) else described

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:  # noqa: ARG002 - the base class' signature
        return {}


def _marked_unless_described(described: JsonSchemaValue, schema: Mapping[str, Any]) -> JsonSchemaValue:
    return described if schema.get("json_schema_input_schema") else {**described, LENIENT: True}


def _has_other_names(model: type[BaseModel]) -> bool:
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    aliases = [field.validation_alias for field in model.model_fields.values() if field.validation_alias is not None]
    return any(by_name or not isinstance(alias, str) for alias in aliases)


def misfit(error: Exception, shown: frozenset[str] | None = None) -> Failed:
    """Report the fields of a payload that do not fit, with values and expectations; another attempt cannot help.

    Args:
        error: the model's error.
        shown: where some fields are secret, those that the model names: of these a plain value is shown, never an
            object, which may hold a secret, nor what the model does not know, which may be one with its name misspelt.
    """
    faults, count = [], error.error_count() if isinstance(error, ValidationError) else 0
    if isinstance(error, ValidationError) and count <= LISTED_FAULTS:
        faults = error.errors(include_url=False, include_context=False)
    other = f"{count} values do not fit" if count else redact_head(f"{type(error).__name__}: {error}", MAX_CHARACTERS)
    sentences = [_sentence(fault, shown) for fault in faults[:SHOWN_FAULTS]] or [f"metadata: {other}"]
    fields = [{"field": _field(fault), "expected": clean_text(fault["msg"])} for fault in faults[:SHOWN_FAULTS]]
    return Failed(
        error=clean_text("; ".join(sentences)), reason="invalid_payload", details={"fields": fields}, retryable=False
    )


def _sentence(fault: ErrorDetails, shown: frozenset[str] | None) -> str:
    if fault["type"] == "missing":
        return f"{_field(fault)}: is required"
    if shown is not None and not _may_be_shown(fault, shown):
        return f"{_field(fault)}: {fault['msg']}"
    value = repr(fault["input"])
    short = value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "…"
    return f"{_field(fault)}: {short} is not allowed; {fault['msg']}"


def _may_be_shown(fault: ErrorDetails, shown: frozenset[str]) -> bool:
    is_plain = not isinstance(fault["input"], (dict, list))
    is_known = bool(fault["loc"]) and fault["loc"][-1] in shown and fault["type"] != "extra_forbidden"
    return is_plain and is_known


def _field(fault: ErrorDetails) -> str:
    return clean_text(".".join(["metadata", *map(str, fault["loc"])]))


def _second_parameter(function: Callable[..., object]) -> inspect.Parameter | None:
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    required = [p for p in parameters if p.default is p.empty and p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
    if not positional or len(required) > MAX_PARAMETERS or any(p.kind is p.KEYWORD_ONLY for p in required):
        message = f"takes {inspect.signature(function)}; a handler takes (job) or (job, payload)"
        raise TypeError(message)
    return positional[1] if len(positional) >= MAX_PARAMETERS else None


def _resolve(function: Callable[..., object], parameter: inspect.Parameter) -> Any:  # noqa: ANN401 - a type form
    """Resolve this one annotation; the job's, `Mapping` and `Any` may stand under `TYPE_CHECKING`."""
    if parameter.annotation is parameter.empty:
        return Any
    names = {"Mapping": Mapping, "Any": Any, **getattr(inspect.unwrap(function), "__globals__", {})}
    try:
        stand_in = SimpleNamespace(__annotations__={"payload": parameter.annotation})
        return typing.get_type_hints(stand_in, names, include_extras=True)["payload"]
    except NameError as error:
        message = (
            f"annotation {parameter.annotation!r} of {parameter.name!r}: {error}; import it for real, at module level"
        )
        raise TypeError(message) from error


def _is_raw(annotation: object) -> bool:
    if annotation in {Any, object, dict, Mapping, typing.Mapping}:
        return True
    return typing.get_origin(annotation) in {dict, Mapping} and typing.get_args(annotation)[1] in {Any, object}


def _adapter(annotation: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - a type form
    try:
        return TypeAdapter(annotation)
    except Exception as error:
        message = f"payload annotation {annotation!r}: {error}"
        raise TypeError(message) from error


def _described(adapter: TypeAdapter[Any], annotation: object, *, by_alias: bool = True) -> dict[str, Any]:
    try:
        return adapter.json_schema(by_alias=by_alias, schema_generator=_Schema)
    except Exception as error:  # such as a model whose own annotations are not defined
        message = f"payload annotation {annotation!r}: {error}"
        raise TypeError(message) from error
