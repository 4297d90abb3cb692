"""`listener init`: a starter project."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from listener.errors import ListenerError

SUFFIX = ".template"
THERE = "would be overwritten; nothing was written"
CANNOT = "cannot be written"
NEXT = """
Next:{cd}
  pip install supabase-job-listener pytest
  listener up    # the stack and the listener, with the handlers of handlers/
  pytest
README.md says how to insert a job, and how to deploy."""

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Where to; made if need be.")]


class StarterError(ListenerError):
    """The starter project cannot be written there."""

    def __init__(self, paths: list[Path], why: str) -> None:
        self.paths, self.why = paths, why
        super().__init__(
            f"{', '.join(map(str, paths))} {why}; name an empty or a new folder, such as `listener init jobs`"
        )


def init(folder: Folder = Path()) -> None:
    """Write a starter project: a handler, its test, settings, a compose file. No file is overwritten."""
    with as_file(files("listener") / "starter") as starter:
        sources = sorted(starter.rglob(f"*{SUFFIX}"))
        texts = {folder / str(path.relative_to(starter)).removesuffix(SUFFIX): path.read_text() for path in sources}
    taken = [path for path in texts if path.exists() or path.is_symlink()]
    if taken:
        raise StarterError(taken, THERE)
    try:
        for path, text in texts.items():
            _write(path, text)
    except OSError as fault:
        raise StarterError([Path(fault.filename)], f"{CANNOT} ({fault.strerror})") from fault
    typer.echo(NEXT.format(cd="" if folder == Path() else f"\n  cd {folder}"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x") as file:
        file.write(text)
    typer.echo(f"wrote {path}")
