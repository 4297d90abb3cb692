"""Split a migration into its statements, as the ledger of the Supabase CLI records them."""

from __future__ import annotations

import re

TOKEN = re.compile(
    r"""
    --[^\n]*
  | /\*.*?\*/
  | (?<![a-z0-9_])e'(?:[^'\\]|\\.|'')*'
  | '(?:[^']|'')*'
  | "(?:[^"]|"")*"
  | (?P<dollar>\$(?:[a-z_][a-z0-9_]*)?\$).*?(?P=dollar)
  | (?P<opens>\bbegin\s+atomic\b)
  | (?P<nests>\bcase\b)
  | (?P<closes>\bend\b)
  | (?P<semicolon>;)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def split(text: str) -> list[str]:
    """Return the statements of `text`, each trimmed and without its semicolon; comments stay with what follows them."""
    statements: list[str] = []
    start = depth = 0  # depth counts what an `end` must close before the body of a `begin atomic` is over
    for token in TOKEN.finditer(text):
        if token["opens"] or (token["nests"] and depth):
            depth += 1
        elif token["closes"] and depth:
            depth -= 1
        elif token["semicolon"] and not depth:
            statements.append(text[start : token.start()])
            start = token.end()
    statements.append(text[start:])
    return [statement.strip() for statement in statements if statement.strip()]
