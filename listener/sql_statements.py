"""Split a migration into its statements, as the ledger of the Supabase CLI records them."""

from __future__ import annotations

import re

TOKEN = re.compile(
    r"""
    --[^\n]*                                    # comment
  | /\*.*?\*/
  | (?P<escape>(?<![a-z0-9_])e'(?:[^'\\]|\\.|'')*')   # string with escapes
  | '(?:[^']|'')*'
  | "(?:[^"]|"")*"
  | (?P<dollar>\$(?:[a-z_][a-z0-9_]*)?\$).*?(?P=dollar)
  | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def split(text: str) -> list[str]:
    """Return the statements of `text`, each trimmed and without its semicolon."""
    statements, start = [], 0
    for token in TOKEN.finditer(text):
        if token["end"]:
            statements.append(text[start : token.start()])
            start = token.end()
    statements.append(text[start:])
    return [statement.strip() for statement in statements if statement.strip()]
