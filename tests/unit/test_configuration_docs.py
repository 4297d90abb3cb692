"""The table of settings in the documentation is the code's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from listener.settings import setting_names

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def _shown(default: Any) -> str:
    if default is ...:
        return "required"
    if default in (None, {}):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return f"`{','.join(default)}`" if default else "none"
    return f"`{default}`"


def _table() -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for variable, (_, default, meaning) in setting_names().items():
        names = ", or ".join(f"`{name}`" for name in variable.split(" or "))
        rows.append(f"| {names} | {_shown(default)} | {meaning} |")
    return "\n".join(rows)


def test_the_table_has_every_setting_with_its_default_and_meaning():
    """In the code's order and words; when it fails, put the table that it expects in the page's place."""
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("| variable |") :].split("\n\n")[0]
    assert table == _table()
