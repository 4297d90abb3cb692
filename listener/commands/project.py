"""Reads rows of the project for the commands that show them, through the API with any key, as a table or JSON."""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import httpx
import typer
from postgrest.exceptions import APIError

from listener.client.access import address_of, make_client
from listener.client.columns import Defaults
from listener.client.drive import run_blocking
from listener.client.errors import JobFault, JobNotFound, Unreachable, fault_of
from listener.client.jobs import find_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from supabase import Client

Row = dict[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="The rows as JSON, with all columns.")]
NOT_MIGRATED: Final = frozenset({"PGRST205", "PGRST202", "42P01"})
FREE_WIDTH: Final = 1000
"""Width of a table that goes to a file or another program: nothing is cut off there."""
COLOURS: Final = {"running": "cyan", "completed": "green", "failed": "red", "error": "red", "warning": "yellow"}


@contextlib.contextmanager
def connected() -> Iterator[Client]:
    """Return a client of the project that the environment names; raises SettingsError where it names none."""
    client = make_client(None, None, None, asynchronous=False)
    with client.options.httpx_client or contextlib.nullcontext():
        yield client


def read(client: Client, query: Any) -> list[Row]:  # noqa: ANN401 - postgrest's builders have no common type
    """Return the rows of a query.

    Raises:
        JobFault: the project does not answer, or refuses the key, or lacks the table.
    """
    try:
        rows: list[Row] = query.execute().data
    except APIError as error:
        if str(error.code) in NOT_MIGRATED:
            message = f"{address_of(client).url} has no tables of the scheduler: run `listener migrate`"
            raise JobFault(message, str(error.code)) from None
        raise fault_of(error) from None
    except httpx.HTTPError as error:
        message = f"{address_of(client).url} does not answer: {error or type(error).__name__}; is SUPABASE_URL right?"
        raise Unreachable(message) from None
    return rows


def job_named(client: Client, name: str) -> int:
    """Return the id of the job that has this `id` or `job_id`.

    Raises:
        JobNotFound: the key may see no such job.
        JobAmbiguous: several jobs have this `job_id`.
    """
    job = run_blocking(client, find_job(Defaults(), int(name) if name.isdecimal() else name))
    if job is None:
        message = f"no job or run {name!r} that this key may see; `listener jobs` lists those that it may"
        raise JobNotFound(message)
    return job.id


def show(rows: Sequence[Row], columns: Mapping[str, Callable[[Row], object]], empty: str, *, as_json: bool) -> None:
    """Print rows as a JSON array, or as a table of what `columns` compute from each row; print `empty` for none."""
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    if not rows:
        typer.echo(empty)
        return
    from rich.console import Console  # noqa: PLC0415 - JSON needs none of it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in columns:
        table.add_column(title, overflow="fold" if title in {"run", "id"} else "ellipsis", no_wrap=title != "error")
    for row in rows:
        cells = [printable(value(row)) for value in columns.values()]
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in cells))
    console = Console() if sys.stdout.isatty() else Console(width=FREE_WIDTH)
    console.print(table)


def printable(value: object) -> str:
    """Return a value as one line of text: control characters are shown, and can do nothing to the terminal."""
    if value is None:
        return ""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(value))


def instant(text: str | None) -> str:
    """Return an instant of the API in UTC, to the second, or to the millisecond where it has a fraction."""
    if text is None:
        return ""
    at = datetime.fromisoformat(text).astimezone(UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S") + (f".{at.microsecond // 1000:03}" if at.microsecond else "") + "Z"


def span(milliseconds: float | None) -> str:
    """Return a length of time in the unit that suits it."""
    if milliseconds is None:
        return ""
    return f"{milliseconds:.0f} ms" if abs(milliseconds) < 1000 else f"{milliseconds / 1000:,.1f} s"  # noqa: PLR2004
