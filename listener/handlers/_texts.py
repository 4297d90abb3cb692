"""Texts with values in them: `{{ name }}` in texts of a job's row, Jinja2's sandbox for files of the operator."""

from __future__ import annotations

import functools
import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from listener import Fail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2.sandbox import SandboxedEnvironment

PLACEHOLDER = re.compile(r"\{\{\s{0,20}([A-Za-z_][A-Za-z0-9_]{0,63})\s{0,20}\}\}")
TEMPLATE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
MAX_CHARACTERS = 1024 * 1024
MAX_PRODUCT = 100_000
"""Limit of a repeated text or list in a template; the sandbox bounds `range` itself."""
SUFFIXES = {"subject": ".subject.txt", "text": ".txt", "html": ".html"}


def filled(text: str, values: Mapping[str, Any], *, escape: bool = False) -> str:
    """Put values in the place of `{{ name }}`; nothing else of the text has a meaning.

    Raises:
        Fail: `invalid_template` for a name without a value, or a text that becomes too long.
    """

    def value_of(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values:
            message = f"metadata.values: {{{{ {name} }}}} has no value; there are {', '.join(sorted(values)) or 'none'}"
            raise Fail(reason="invalid_template", message=message)
        value = "" if values[name] is None else str(values[name])
        return html.escape(value) if escape else value

    done = PLACEHOLDER.sub(value_of, text)
    if len(done) > MAX_CHARACTERS:
        raise Fail(reason="invalid_template", message=f"the text has more than {MAX_CHARACTERS} characters")
    return done


async def rendered(folder: str, template: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Render the operator's files `NAME.subject.txt`, `NAME.txt` and `NAME.html`, those that are there.

    Returns `subject`, `text` and `html`, where there are files for them.

    Raises:
        Fail: `invalid_template` when there is no such template, or it cannot be rendered with these values.
    """
    return await anyio.to_thread.run_sync(functools.partial(_render, folder, template, dict(values)))


def _render(folder: str, template: str, values: dict[str, Any]) -> dict[str, str]:
    from jinja2 import TemplateError  # noqa: PLC0415 - loaded when first needed, in a thread

    there = {part: suffix for part, suffix in SUFFIXES.items() if (Path(folder) / f"{template}{suffix}").is_file()}
    if not TEMPLATE_NAME.fullmatch(template) or not there:
        message = f"metadata.template: there is no {template!r} in LISTENER_TEMPLATE_FOLDER"
        raise Fail(reason="invalid_template", message=message)
    try:
        texts = {part: _environment(folder).get_template(template + end).render(values) for part, end in there.items()}
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        message = f"metadata.template: {template!r}: {type(error).__name__}: {error}"
        raise Fail(reason="invalid_template", message=message) from error
    if any(len(text) > MAX_CHARACTERS for text in texts.values()):
        raise Fail(reason="invalid_template", message=f"metadata.template: more than {MAX_CHARACTERS} characters")
    return texts


@functools.lru_cache(maxsize=4)
def _environment(folder: str) -> SandboxedEnvironment:
    from jinja2 import FileSystemLoader, StrictUndefined  # noqa: PLC0415 - as above
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415 - as above

    class Bounded(SandboxedEnvironment):
        """Values come from rows: a template's arithmetic on them must not grow without bounds."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - any operands
            """Refuse powers, and products that are too large."""
            if operator == "**":
                message = "** is not allowed in templates"
                raise ValueError(message)
            sizes = [len(side) if isinstance(side, str | bytes | list | tuple) else side for side in (left, right)]
            if not all(isinstance(size, int | float) and abs(size) <= MAX_PRODUCT for size in sizes):
                message = f"operands of * must be at most {MAX_PRODUCT}"
                raise ValueError(message)
            if sizes != [left, right] and sizes[0] * sizes[1] > MAX_PRODUCT:
                message = f"a repeated text must have at most {MAX_PRODUCT} characters"
                raise ValueError(message)
            return super().call_binop(context, operator, left, right)

    return Bounded(
        loader=FileSystemLoader(folder),
        autoescape=lambda name: bool(name and name.endswith(".html")),
        undefined=StrictUndefined,
    )


def one_line(text: str) -> str:
    """Accept a header's text: one line, without control characters."""
    if any(ord(character) < ord(" ") or character == "\x7f" for character in text):
        message = "must be one line without control characters"
        raise ValueError(message)
    return text
