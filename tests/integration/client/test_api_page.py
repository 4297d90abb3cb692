"""The page of the ten operations: its programs run as they stand, and answer what it shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from listener.local.stack import Stack

pytestmark = pytest.mark.usefixtures("listener")
REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
TURN = "---next answer---"
VARIES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
RUN = {
    "js": (
        ["node", "--input-type=module", "--eval"],
        "console.log = (it) => process.stdout.write(JSON.stringify(it))\n",
    ),
    "python": ([sys.executable, "-c"], "import json\n\ndef print(it, say=print):\n    say(json.dumps(it))\n\n"),
    "sh": (["bash", "-c"], "set -euo pipefail\n"),
}
SAY_TURN = {
    "js": f"process.stdout.write('{TURN}')\n",
    "python": f"import sys; sys.stdout.write('{TURN}')\n",
    "sh": f"echo '{TURN}'\n",
}
END = {"js": "process.exit(0)\n", "python": "", "sh": ""}


def _blocks(language: str) -> dict[str, str]:
    """Give each section's block of a language."""
    _, *parts = SECTION.split(PAGE)
    block = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return {
        title: found[1] for title, text in zip(parts[::2], parts[1::2], strict=True) if (found := block.search(text))
    }


def _program(language: str) -> str:
    _, head = RUN[language]
    return head + "".join(f"{block}\n{SAY_TURN[language]}" for block in _blocks(language).values()) + END[language]


def _shape(answer: Any) -> Any:
    """Leave of an answer what is the same at another time: instants, ids and numbers are not."""
    if isinstance(answer, dict):
        return {key: _shape(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [_shape(value) for value in answer]
    if isinstance(answer, str) and VARIES.fullmatch(answer):
        return "instant or id"
    return 0 if isinstance(answer, int | float) and not isinstance(answer, bool) else answer


def test_the_page_has_every_operation_in_every_language():
    """And an answer to each."""
    titles = [title for title in SECTION.findall(PAGE) if title[0].isdigit()]
    assert [int(title.split(".")[0]) for title in titles] == list(range(1, 11))
    for language in (*RUN, "json"):
        assert set(titles) < set(_blocks(language)), language


@pytest.mark.parametrize("language", RUN)
def test_a_program_of_the_page_answers_what_is_shown(embedded_stack: Stack, language: str):
    """From top to bottom, as a signed-in user of its own."""
    token = embedded_stack.user_token(f"reader of {language}")
    environment = {**os.environ, **embedded_stack.environment(), "USER_TOKEN": token}
    command, _ = RUN[language]
    done = subprocess.run(
        [*command, _program(language)],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    answers = [json.loads(answer) for answer in done.stdout.split(TURN)[:-1]]
    shown = {title: json.loads(text) for title, text in _blocks("json").items()}
    assert _shape(dict(zip(shown, answers, strict=True))) == _shape(shown)


def test_an_answer_of_another_shape_is_reported():
    """A missing key, another word, another type; not another instant, id or number."""
    shown = {"id": 1, "status": "paused", "at": "2026-11-21T12:00:00+00:00", "runs": [{"ok": True}]}
    assert _shape(shown) == _shape({**shown, "id": 2.5, "at": "2027-11-21T12:00:00.5+00:00"})
    others = [{"status": "scheduled"}, {"id": "1"}, {"at": "noon"}, {"runs": []}, {"runs": [{"ok": None}]}, {"more": 1}]
    for other in others:
        assert _shape(shown) != _shape({**shown, **other}), other
