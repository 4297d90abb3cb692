"""One schema for all handlers: names do not collide, and nothing becomes a type that is none."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from listener.typegen.document import document, pascal


class Card(BaseModel):
    kind: Literal["card"]
    title: str = "title"


class Bank(BaseModel):
    kind: Literal["bank"]
    place: tuple[float, str]


class Order(BaseModel):
    by: Annotated[Card | Bank, Field(discriminator="kind")]
    anything: object = None


def _document(**models):
    rows = [
        {"name": name, "payload_schema": model and TypeAdapter(model).json_schema()} for name, model in models.items()
    ]
    return document(rows)


def test_each_handler_has_a_definition_of_its_own():
    """Two handlers may use one model, or two of one name."""
    made = _document(pay=Order, refund=Order, noop=None)
    assert made["required"] == ["noop", "pay", "refund"]
    assert made["properties"]["pay"] == {"$ref": "#/$defs/h1"}
    assert set(made["$defs"]) == {"h0", "h1", "h1_Bank", "h1_Card", "h2", "h2_Bank", "h2_Card"}
    assert made["$defs"]["h0"] == {"title": "NoopPayload", "type": "object", "additionalProperties": True}
    assert made["$defs"]["h2"]["title"] == "RefundPayload"
    by = made["$defs"]["h2"]["properties"]["by"]
    assert by["oneOf"] == [{"$ref": "#/$defs/h2_Card"}, {"$ref": "#/$defs/h2_Bank"}]
    assert by["discriminator"]["mapping"] == {"bank": "#/$defs/h2_Bank", "card": "#/$defs/h2_Card"}


def test_headings_of_fields_go_and_fields_called_title_stay():
    """A heading would become an exported type, and those of all handlers would be numbered."""
    card = _document(pay=Order)["$defs"]["h0_Card"]
    assert card["title"] == "Card"
    assert card["properties"]["title"] == {"default": "title", "type": "string"}


def test_tuples_are_written_as_of_old_and_what_may_be_anything_says_so():
    """The generator of TypeScript knows neither otherwise."""
    definitions = _document(pay=Order)["$defs"]
    place = definitions["h0_Bank"]["properties"]["place"]
    assert (place["items"], place["additionalItems"]) == ([{"type": "number"}, {"type": "string"}], False)
    assert definitions["h0"]["properties"]["anything"]["tsType"] == "unknown"


@pytest.mark.parametrize(
    ("name", "called"), [("event_reminder", "EventReminder"), ("pay-2.go", "Pay2Go"), ("mailSent", "MailSent")]
)
def test_names_are_those_of_types(name, called):
    """The characters between the words do not matter."""
    assert pascal(name) == called
