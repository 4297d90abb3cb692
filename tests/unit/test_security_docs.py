"""The page on security shows what works, and names a test for each threat."""

from __future__ import annotations

import re
from pathlib import Path

from listener.handler_api.payload import Payload

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
PREAMBLE = "from typing import Annotated\nfrom pydantic import BaseModel, Field, SecretStr\n"
NOBODYS_TEST = "A leaked token of a user"
"""Nothing here widens what it may do, so there is nothing to show."""


def test_the_fields_of_the_example_are_secret():
    """All that it says are, and the user is not."""
    names: dict[str, type] = {}
    example = PREAMBLE + re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    exec(compile(example, "security.md", "exec", dont_inherit=True), names)  # noqa: S102 - the example is ours

    async def function(job, payload): ...

    function.__annotations__["payload"] = names["Login"]
    headers = {"Authorization": "Bearer x", "Accept": "text/html"}
    metadata = {"user": "ann", "password": "hush", "pin": 1234, "headers": headers}
    assert Payload(function).secrets(metadata) == {"hush", "1234", "Bearer x"}


def test_each_threat_names_the_test_that_shows_what_stops_it():
    """A row without one would be a promise."""
    rows = re.findall(r"^\| (.*?) \| .* \| (.*) \|$", PAGE.split("## Secrets")[0], re.MULTILINE)[2:]
    assert len(rows) > 10
    unshown = [threat for threat, shown in rows if not re.search(r"`tests/[\w/]+\.py`", shown)]
    assert unshown == [threat for threat, _ in rows if NOBODYS_TEST in threat]
