"""The fields that a model marks as secret are found in any metadata, and the catalogue shows no value of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretBytes,
    SecretStr,
    StringConstraints,
)
from typing_extensions import TypedDict

from listener.handler_api.payload import Payload

Hidden = Annotated[str, Field(json_schema_extra={"secret": True})]


class Login(BaseModel):
    user: str
    password: SecretStr


class Card(BaseModel):
    kind: Literal["card"] = "card"
    number: Annotated[int, Field(json_schema_extra={"secret": True})]


class Bank(BaseModel):
    kind: Literal["bank"] = "bank"
    iban: Hidden = "DE00-default-iban"


@dataclass
class Pair:
    left: Hidden
    right: str


class Words(TypedDict):
    key: Hidden
    word: str


class Everything(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    login: Login | None = None
    logins: list[Login] = []
    by_name: dict[str, Login] = {}
    by_pattern: dict[Annotated[str, StringConstraints(pattern="^a")], Hidden] = {}
    two: tuple[Hidden, str] | None = None
    pay: Annotated[Card | Bank, Field(discriminator="kind")] | None = None
    pair: Pair | None = None
    words: Words | None = None
    raw: SecretBytes | None = None
    nested: Annotated[dict[str, Any], Field(json_schema_extra={"secret": True})] = {}
    headers: Annotated[dict[str, str], Field(json_schema_extra={"secret": "by_name"})] = {}
    called: Hidden = Field(default="", alias="calledAlias")


def payload_of(annotation: Any) -> Payload:
    """Give the payload of a handler with that model."""

    async def function(job, payload): ...

    function.__annotations__["payload"] = annotation
    return Payload(function)


@pytest.mark.parametrize(
    ("metadata", "secrets"),
    [
        ({"login": {"user": "ann", "password": "hush"}}, {"hush"}),
        ({"logins": [{"password": "one"}, {"password": "two"}, {"user": "x"}]}, {"one", "two"}),
        ({"by_name": {"a": {"password": "hush"}}}, {"hush"}),
        ({"by_pattern": {"ab": "hush"}}, {"hush"}),
        ({"two": ["first", "second"]}, {"first"}),
        ({"pay": {"kind": "card", "number": 4111}}, {"4111"}),
        ({"pay": {"kind": "bank", "iban": "DE02"}}, {"DE02"}),
        ({"pair": {"left": "hush", "right": "loud"}}, {"hush"}),
        ({"words": {"key": "hush", "word": "loud"}}, {"hush"}),
        ({"raw": "bytes"}, {"bytes"}),
        ({"nested": {"a": ["x", {"b": "y"}], "c": True, "d": None}}, {"x", "y"}),
        ({"headers": {"Authorization": "Bearer abc", "X-Api-Key": "k", "Accept": "text/html"}}, {"Bearer abc", "k"}),
        ({"calledAlias": "by alias"}, {"by alias"}),
        ({"called": "by name"}, {"by name"}),
        ({"login": {"user": 7, "password": ["not", "a", "text"]}}, {"not", "a", "text"}),
        ({"login": "no object", "logins": 3, "two": {}, "headers": []}, set()),
    ],
)
def test_marked_fields_are_found_in_metadata(metadata, secrets):
    """Also where the metadata does not fit: its refusal must not reveal them either."""
    assert payload_of(Everything).secrets(metadata) == secrets


def test_what_a_model_calls_otherwise_or_makes_is_found_once_it_is_parsed():
    """Aliases of choice, and validators that decrypt."""

    class Odd(BaseModel):
        token: Annotated[SecretStr, BeforeValidator(lambda text: text[::-1])]
        code: Hidden = Field(validation_alias=AliasChoices("code", "kod"))

    payload = payload_of(Odd)
    parsed = payload.parse({"token": "hsuh", "kod": "1a2b"})
    assert {"hush", "1a2b"} <= payload.parsed_secrets(parsed)


def test_a_model_without_marks_costs_nothing():
    """Neither does metadata that is taken as it is."""

    class Plain(BaseModel):
        word: str = "x"

    assert not payload_of(Plain).has_secrets
    assert not payload_of(dict).has_secrets
    assert payload_of(dict).secrets({"password": "x"}) == frozenset()


def test_a_model_that_holds_itself_ends():
    """Its metadata is as deep as it is."""

    class Tree(BaseModel):
        leaf: SecretStr
        inner: list[Tree] = []

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    metadata = {"leaf": "one", "inner": [{"leaf": "two", "inner": [{"leaf": "three"}]}]}
    assert payload_of(Tree).secrets(metadata) == {"one", "two", "three"}


def test_the_catalogue_does_not_show_the_default_of_a_secret_field():
    """Every signed-in user reads it; the mark itself stays, for forms that hide what is typed."""
    schema = payload_of(Everything).schema()
    assert schema is not None
    assert "DE00" not in str(schema)
    iban = schema["$defs"]["Bank"]["properties"]["iban"]
    assert iban["secret"] is True
    assert schema["$defs"]["Bank"]["properties"]["kind"]["default"] == "bank"


def test_what_json_schema_has_no_word_for_is_anything():
    """The rest of the model is described all the same."""

    class Callback(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        password: SecretStr
        odd: Pair.__class__ | None = None

    schema = payload_of(Callback).schema()
    assert schema is not None
    assert schema["required"] == ["password"]
