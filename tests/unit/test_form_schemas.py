"""The dashboard's form is tested with real schemas: of the handlers that ship, and of a model of all that is hard."""

from __future__ import annotations

import datetime as dt
import enum
import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AnyUrl, BaseModel, Field, SecretStr, TypeAdapter

from listener.handler_api.registry import SHIPPED, Registry

FIXTURES = Path(__file__).parents[2] / "dashboard" / "src" / "form" / "fixtures"


class Color(enum.Enum):
    red = "red"
    blue = "blue"


class Level(enum.IntEnum):
    low = 1
    high = 2


class Node(BaseModel):
    name: str
    children: list[Node] = []
    parent: Node | None = None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(9, ge=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    owner: str


class Address(BaseModel):
    """Where it goes."""

    street: str = Field(min_length=1, description="with its number")
    zip: str = Field(pattern=r"^[0-9]{5}$")


class Hard(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    color: Color = Color.red
    level: Level
    only: Literal["x"] = "x"
    big: int = 9007199254740993
    amount: Decimal = Decimal("1.10")
    at: dt.datetime
    day: dt.date | None = None
    clock: dt.time | None = None
    span: dt.timedelta | None = None
    uid: uuid.UUID | None = None
    home: Address
    other: Address | None = None
    secret: SecretStr
    tokens: dict[str, SecretStr] = {}
    note: str = Field("", json_schema_extra={"secret": True})
    tags: set[str] = set()
    pair: tuple[int, str] = (1, "a")
    ratio: float = Field(0.5, gt=0, lt=1)
    anything: Any = None
    mix: int | str | bool | None = None
    nested: list[list[int]] = []
    maps: dict[str, dict[str, int]] = {}
    tree: Node | None = None
    url: AnyUrl | None = None
    flag: bool
    on: bool = True
    maybe: bool | None = None
    letter: Literal["a", 1] | None = "a"
    addresses: list[Address] = Field(default=[], max_length=3)
    several: list[Literal["a", "b", "c"]] = []
    format: str = "json"
    default: str = ""


def _shipped() -> dict[str, Any]:
    return {row["name"]: row["payload_schema"] for row in Registry.load([SHIPPED]).catalogue()}


@pytest.mark.parametrize(
    ("name", "schema"),
    [("handlers", _shipped), ("hard", lambda: TypeAdapter(Hard).json_schema())],
    ids=["handlers", "hard"],
)
def test_the_form_is_tested_with_the_schemas_that_handlers_have(name: str, schema: Any) -> None:
    """The file is what pydantic writes today; a failure shows what to put there."""
    written = json.dumps(schema(), indent=1, sort_keys=True) + "\n"
    assert (FIXTURES / f"{name}.json").read_text() == written
