"""`listener types`: prints the types of what clients may insert, so that their compiler checks it."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from listener.handler_api.registry import Registry
from listener.typegen.document import document
from listener.typegen.typescript import typescript


class Language(StrEnum):
    """The output format: TypeScript, or the JSON schema that generators of other languages read."""

    TYPESCRIPT = "typescript"
    JSON_SCHEMA = "json-schema"


Handlers = Annotated[str, typer.Option(envvar="LISTENER_HANDLERS", help="Modules that declare handlers, by commas.")]
Module = Annotated[str, typer.Option(help="The module with the types of `supabase gen types`, as an import names it.")]


def types(
    handlers: Handlers = "handlers",
    language: Annotated[Language, typer.Option(help="What to write.")] = Language.TYPESCRIPT,
    database: Module = "./database.types",
) -> None:
    """Print the types of the payloads of all handlers, and of the jobs that may be inserted."""
    modules = [part.strip() for part in handlers.split(",") if part.strip()]
    catalogue = Registry.load(modules).catalogue()
    if language is Language.JSON_SCHEMA:
        typer.echo(json.dumps(document(catalogue), indent=2))
    else:
        typer.echo(typescript(catalogue, database), nl=False)
