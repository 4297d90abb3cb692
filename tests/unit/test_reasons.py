"""The ledger's reasons are explained to operators and, in the dashboard, to everybody: both know the same words."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
OTHERS = "any other word"


def _documented() -> set[str]:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.split("| `reason` | explanation |\n")[1].split("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[1:]]
    assert any(OTHERS in cell for cell in cells)
    return set(re.findall(r"`([a-z_]+)`", " ".join(cells)))


def _explained() -> set[str]:
    source = (ROOT / "dashboard" / "src" / "pages" / "run" / "why.ts").read_text(encoding="utf-8")
    table = source.split("EXPLANATIONS: Record<string, Explanation> = {\n")[1].split("\n}\n")[0]
    return set(re.findall(r"^  ([a-z_]+):", table, re.MULTILINE))


def test_both_explain_the_same_reasons() -> None:
    """Words of handlers are shown as they are."""
    assert "overlap" in _explained()
    assert _documented() == _explained()
