"""MkDocs hooks: the README becomes the site's first page, and links out of `docs/` lead to the repository.

Links to files that do not exist are left alone: then the strict build fails on them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
FENCE = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as the first page."""
    readme = _rewrite((ROOT / "README.md").read_text(encoding="utf-8"), ".", config)
    files.append(File.generated(config, "index.md", content=readme))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - as MkDocs calls it
    """Turn links that leave `docs/` into addresses of the repository."""
    if page.file.src_uri == "index.md":
        return markdown
    return _rewrite(markdown, str(PurePosixPath("docs", page.file.src_uri).parent), config)


def _rewrite(markdown: str, folder: str, config: MkDocsConfig) -> str:
    def target(found: re.Match[str]) -> str:
        path = os.path.normpath(PurePosixPath(folder, found[1]))
        if not (ROOT / path).exists():
            return found[0]
        if path.startswith("docs/") and (ROOT / path).is_file():
            return f"]({path.removeprefix('docs/')}" if folder == "." else found[0]
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"]({config.repo_url}/{kind}/main/{path}"

    parts = FENCE.split(markdown)
    return "".join(part if number % 2 else LINK.sub(target, part) for number, part in enumerate(parts))
