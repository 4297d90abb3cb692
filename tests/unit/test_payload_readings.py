"""The published schema says where a model may read more than it says, so that the database leaves that to the model."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WrapValidator,
    field_validator,
    model_validator,
)

from listener.handler_api.payload import LENIENT, Payload


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Give what is published for a handler that takes this model."""

    def take(job: object, payload: Any) -> None:
        """Take it."""

    take.__annotations__["payload"] = model
    return Payload(take).schema() or {}


Words = Annotated[list[str], BeforeValidator(lambda value: value.split(",") if isinstance(value, str) else value)]


class Split(BaseModel):
    """A field that is also read from a text, beside one that is not."""

    words: Words
    count: int


class Wrapped(BaseModel):
    """A field whose type need not be asked."""

    words: Annotated[int, WrapValidator(lambda value, inner: 0 if value == "none" else inner(value))]


class Decorated(BaseModel):
    """The same by a method."""

    words: int

    @field_validator("words", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return len(value) if isinstance(value, str) else value


class Reported(BaseModel):
    """A validator that says itself what it reads."""

    words: Annotated[int, BeforeValidator(len, json_schema_input_type=str)]


class Whole(BaseModel):
    """A validator of the model itself."""

    words: int

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return {"words": 1} if value == {} else value


class Named(BaseModel):
    """A field that may be given by its own name, too."""

    model_config = ConfigDict(populate_by_name=True)
    words: int = Field(alias="Words")


class Choices(BaseModel):
    """A field of several names."""

    words: int = Field(validation_alias=AliasChoices("a", "b"))


class Path(BaseModel):
    """A field from within another."""

    words: int = Field(validation_alias=AliasPath("a", 0))


class Alias(BaseModel):
    """A field of one name, though it is another than in Python."""

    words: int = Field(alias="Words")


class Within(BaseModel):
    """A model inside."""

    inner: Choices
    words: int = 0


@pytest.mark.parametrize("model", [Split, Wrapped, Decorated])
def test_a_field_that_is_read_otherwise_is_marked(model):
    """And that field alone."""
    schema = schema_of(model)
    assert schema["properties"]["words"][LENIENT] is True
    assert LENIENT not in schema
    assert LENIENT not in schema["properties"].get("count", {})


@pytest.mark.parametrize("model", [Whole, Named, Choices, Path])
def test_a_model_that_is_read_otherwise_is_marked(model):
    """The field of the fault is unknown."""
    assert schema_of(model)[LENIENT] is True


@pytest.mark.parametrize("model", [Reported, Alias])
def test_a_model_that_says_what_it_reads_is_not_marked(model):
    """The database can go by its schema."""
    assert LENIENT not in str(schema_of(model))


def test_a_model_inside_another_is_marked_by_itself():
    """The rest is checked."""
    schema = schema_of(Within)
    assert schema["$defs"]["Choices"][LENIENT] is True
    assert LENIENT not in schema
