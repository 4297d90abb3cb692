"""A handler's payload: what its second parameter declares, and whether a job's metadata fits it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import to_json

from listener.domain.outcome import Failed
from listener.jsonable import clean_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails

ANY_OBJECT: dict[str, Any] = {"type": "object"}
MAX_PARAMETERS = 2
SHOWN_CHARACTERS = 100
SHOWN_FAULTS = 10


class Payload:
    """The declared shape of a payload.

    Args:
        function: a handler, `(job)` or `(job, payload)`; the annotation of `payload` is its model, and a bare, `Any`,
            `dict` or `Mapping` one takes the metadata as it is.

    Raises:
        TypeError: when the function has other parameters, or an annotation that pydantic or this module cannot read.
    """

    __slots__ = ("_adapter", "expected")

    def __init__(self, function: Callable[..., object]) -> None:
        parameter = _second_parameter(function)
        self.expected = parameter is not None
        annotation = Any if parameter is None else _resolve(function, parameter)
        self._adapter: TypeAdapter[Any] | None = None if _is_raw(annotation) else _adapter(annotation)

    def parse(self, metadata: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the model is the handler's own
        """Give what the handler takes.

        Raises:
            ValidationError: when the metadata does not fit; JSON's rules hold, also in a strict model.
        """
        if self._adapter is None:
            return metadata
        return self._adapter.validate_json(to_json(metadata))

    def schema(self) -> dict[str, Any]:
        """Give the JSON schema, or that of any object where the model has none."""
        if self._adapter is None:
            return ANY_OBJECT
        try:
            return self._adapter.json_schema()
        except PydanticInvalidForJsonSchema:
            return ANY_OBJECT


def misfit(error: Exception) -> Failed:
    """Say which fields of a payload do not fit, with their values and what is expected; another attempt cannot help."""
    faults = error.errors(include_url=False, include_context=False) if isinstance(error, ValidationError) else []
    told = [_sentence(fault) for fault in faults[:SHOWN_FAULTS]] or [f"metadata: {type(error).__name__}: {error}"]
    fields = [{"field": _field(fault), "expected": clean_text(fault["msg"])} for fault in faults[:SHOWN_FAULTS]]
    return Failed(
        error=clean_text("; ".join(told)), reason="invalid_payload", details={"fields": fields}, retryable=False
    )


def _sentence(fault: ErrorDetails) -> str:
    if fault["type"] == "missing":
        return f"{_field(fault)}: is required"
    value = repr(fault["input"])
    shown = value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "…"
    return f"{_field(fault)}: {shown} is not allowed; {fault['msg']}"


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
    """Read this one annotation; the job's, `Mapping` and `Any` may stand under `TYPE_CHECKING`."""
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
