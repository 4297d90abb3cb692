"""Generates TypeScript: json-schema-to-typescript writes the payloads, a template adds the tables' stock types."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from listener.errors import ListenerError
from listener.typegen.document import document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRAM = "json2ts"
PACKAGE = "json-schema-to-typescript"
OPTIONS = ("--additionalProperties=false", "--unreachableDefinitions", "--bannerComment=")
"""A field that the model lacks is an error for the compiler, even where the model would ignore it."""
CROSS_REFERENCE = re.compile(r" \*\n \* This interface was referenced by .*\n \* via the `definition` .*\n")
EMPTY_COMMENT = re.compile(r"/\*\*\n(?: \* This \w+ was referenced by .*\n \* via the `definition` .*\n)? \*/\n")
SECONDS = 60.0


class TypeGeneratorError(ListenerError):
    """The generator is not installed, or refused the schema."""


def typescript(catalogue: Sequence[Mapping[str, Any]], database: str) -> str:
    """Return the text of the module.

    Args:
        catalogue: rows of `job_handlers`.
        database: the module with the stock types, as an import names it.

    Raises:
        TypeGeneratorError: json-schema-to-typescript is not installed, or fails.
    """
    payloads = EMPTY_COMMENT.sub("", CROSS_REFERENCE.sub("", _generated(document(catalogue))))
    exposed = [json.dumps(row["name"]) for row in catalogue if row["exposed"]]
    template = files("listener.typegen").joinpath("template.ts").read_text(encoding="utf-8")
    head = template.replace("./database.types", database).replace("'EXPOSED'", " | ".join(exposed) or "never")
    return f"{head}\n{payloads}"


def _generated(schema: Mapping[str, Any]) -> str:
    command = [_program(), *OPTIONS]
    done = subprocess.run(  # noqa: S603 - the program of the project that asks for types
        command, input=json.dumps(schema), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        message = f"{PROGRAM} failed: {done.stderr.strip()[:500]}"
        raise TypeGeneratorError(message)
    return done.stdout


def _program() -> str:
    """Find the program as npm's scripts do: in this folder's packages, in those of the folders above, then in PATH."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        found = shutil.which(PROGRAM, path=str(folder / "node_modules" / ".bin"))
        if found:
            return found
    found = shutil.which(PROGRAM)
    if not found:
        message = f"{PROGRAM} is not there: npm install --save-dev {PACKAGE}"
        raise TypeGeneratorError(message)
    return found
