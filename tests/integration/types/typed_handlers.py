"""Handlers whose payloads have everything that JSON schema has a word for."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SecretStr

from listener import JobContext, handler


class Card(BaseModel):
    kind: Literal["card"]
    number: SecretStr


class Bank(BaseModel):
    kind: Literal["bank"]
    iban: str
    title: str = "Sir or Madam"


class Currency(StrEnum):
    EURO = "EUR"
    PENGO = "HUP"


class Payment(BaseModel):
    by: Annotated[Card | Bank, Field(discriminator="kind")]
    amount: float
    currency: Currency = Currency.EURO
    on: date | None = None
    note: Any = Field(default=None, description="whatever")
    place: tuple[float, float] | None = None
    shares: dict[str, int] = {}


class Tree(BaseModel):
    leaf: str
    since: datetime | None = None
    children: list[Tree] = []


@handler("pay")
async def pay(job: JobContext, payload: Payment) -> None:
    """Pay."""


@handler("plant", exposed=True)
async def plant(job: JobContext, payload: Tree) -> None:
    """Plant a tree."""
