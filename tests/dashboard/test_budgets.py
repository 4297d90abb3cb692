"""The dashboard loads quickly: what a first visit and each further route fetch stays within its budget, compressed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

BUILT = Path(__file__).parents[2] / "listener" / "_dashboard"
FIRST_LOAD_BYTES, ROUTE_BYTES, STYLE_BYTES = 110_000, 30_000, 10_000
ENTRY, STYLES = "index.html", "style.css"


@pytest.fixture(scope="module")
def manifest() -> dict[str, dict[str, Any]]:
    """Give what Vite wrote: the files of each entry and route, and what they import."""
    return json.loads((BUILT / ".vite" / "manifest.json").read_text(encoding="utf-8"))


def _files(manifest: dict[str, dict[str, Any]], name: str) -> set[str]:
    """Give all files that a page with this entry or route fetches."""
    found, open_names = set(), [name]
    seen = set()
    while open_names:
        each = open_names.pop()
        if each in seen:
            continue
        seen.add(each)
        chunk = manifest[each]
        found |= {chunk["file"], *chunk.get("css", [])}
        open_names += chunk.get("imports", [])
    return found


def _size(files: set[str]) -> int:
    return sum(len(gzip.compress((BUILT / file).read_bytes())) for file in files)


def test_a_first_visit_fetches_little(manifest) -> None:
    """The page itself, its script and its styles."""
    first = {ENTRY, manifest[STYLES]["file"], *_files(manifest, ENTRY)}
    assert _size(first) <= FIRST_LOAD_BYTES


def test_each_route_adds_little(manifest) -> None:
    """Beyond the first load; a route that is not there at all would add nothing."""
    first = _files(manifest, ENTRY)
    routes = [name for name, chunk in manifest.items() if chunk.get("isDynamicEntry")]
    assert len(routes) >= 12
    sizes = {name: _size(_files(manifest, name) - first) for name in routes}
    assert {name: size for name, size in sizes.items() if size > ROUTE_BYTES} == {}


def test_styles_are_small() -> None:
    """All of them, of which the first page has a share and the browser keeps the rest."""
    styles = {file.relative_to(BUILT).as_posix() for file in BUILT.rglob("*.css")}
    assert styles
    assert _size(styles) <= STYLE_BYTES


def test_nothing_is_inlined_that_the_policy_forbids() -> None:
    """No script or style in the page itself, and no address of another host."""
    page = (BUILT / ENTRY).read_text(encoding="utf-8")
    assert "<style" not in page
    assert "style=" not in page
    assert all("src=" in tag for tag in page.split("<script")[1:])
    assert "http" not in page.replace("http-equiv", "")
