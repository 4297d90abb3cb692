"""The glossary explains every class that the stages of the service are made of."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
PACKAGES = ("app", "scheduling", "runs", "execution", "maintenance")
MODULES = sorted(path for each in PACKAGES for path in (ROOT / "listener" / each).glob("*.py"))


def public_classes(path: Path) -> list[str]:
    """The names of a module's classes that others may use."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [each.name for each in tree.body if isinstance(each, ast.ClassDef) and not each.name.startswith("_")]


CLASSES = [(path, name) for path in [*MODULES, ROOT / "listener/domain/messages.py"] for name in public_classes(path)]


@pytest.mark.parametrize("name", [name for _, name in CLASSES])
def test_each_class_of_the_stages_has_its_entry(name: str):
    """In bold, in the first column of a table."""
    rows = re.findall(r"^\| (\*\*.+?) \|", PAGE, re.MULTILINE)
    entries = {term for row in rows for term in re.findall(r"\*\*(.+?)\*\*", row)}
    assert name in entries


def test_the_classes_are_found():
    """An empty list would satisfy any rule."""
    assert len(CLASSES) > 40


# By a part that any hit contains, which is faster to look for.
PRIVATE = {
    "doorbell": r"doorbells?",
    "canar": r"canar(?:y|ies)",
    "deaf": r"deaf(?:ness|ly)?",
    "wish": r"wish(?:es|ed)?",
    "haste": r"haste",
    "senseless": r"senseless",
    "by_hand": r"(?:run|runs|job|jobs)[ _]by[ _]hand",
    "look_again": r"look[ _]again",
    "look_everywhere": r"look[ _]everywhere",
    "no_sense": r"makes?[ _]no[ _]sense",
    "unclear": r"unclear",
    "mend": r"mends?|mended",
    "bell": r"bells?",
    "claim_unusual": r"claim_unusual",
    "what_waits": r"what waits",
    "key_room": r"key_room",
    "tell": r"tells?",
    "told": r"told",
    "has_room": r"has_room",
}
CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
TEXTS = {".py", ".sql", ".md", ".yml", ".yaml", ".toml", ".ts", ".js", ".mjs", ".html", ".css", ".example", ""}
PLACES = ("listener", "schema", "docs", "tests", "examples", "benchmarks", "tools")
EXEMPT = {"docs/glossary.md", "tests/unit/test_glossary.py"}


def private_words(text: str) -> list[str]:
    """Return the words of a text that only the authors understand; names are split at capitals."""
    lower = text.lower().replace(" ", "_")
    likely = [pattern for part, pattern in PRIVATE.items() if part in lower]
    words = CAPITALS.sub(" ", text) if likely else ""
    return [word for pattern in likely for word in re.findall(rf"(?i)(?<![a-z])(?:{pattern})(?![a-z])", words)]


def texts() -> list[Path]:
    """Return the files that people read, but for recordings of other programs."""
    below = [path for place in PLACES for path in (ROOT / place).rglob("*") if path.suffix in TEXTS]
    named = [path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), ROOT / "Makefile", *below]]
    skipped = re.compile(r"^tests/recordings/|(?:^|/)(?:node_modules|__pycache__|\.venv|vendor)/")
    return [
        ROOT / name for name in named if not skipped.search(name) and name not in EXEMPT and (ROOT / name).is_file()
    ]


def test_private_words_stand_in_the_glossary_alone():
    """An old word returns with the first line that is copied from an old branch."""
    found = {path.relative_to(ROOT).as_posix(): private_words(path.read_text(encoding="utf-8")) for path in texts()}
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize(
    "text", ["LISTENER_DOORBELLS", "feed.doorbell_deaf", "class Wish:", "rung by a Bell", "HASTE = 5"]
)
def test_private_words_are_found_inside_of_names(text: str):
    """Settings, events and classes join words."""
    assert private_words(text)


@pytest.mark.parametrize("text", ["written by hand", "labels", "recommends", "unclearly", "hasten", "wishful"])
def test_other_words_are_left_alone(text: str):
    """They only look like private ones."""
    assert private_words(text) == []


OPENINGS = re.compile(r"(?:What|Whatever|Who|Whoever|Whom|Whose|Which|One (?:that|who))\b")


def opened_badly(tree: ast.AST) -> list[tuple[int, str]]:
    """Return the strings that document something and have no subject of their own, with their lines."""
    texts = [
        each.value for each in ast.walk(tree) if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
    ]
    return [(each.lineno, each.value) for each in texts if isinstance(each.value, str) and OPENINGS.match(each.value)]


def test_each_docstring_opens_with_a_subject_or_a_verb():
    """A bare "What is due" leaves the reader to guess the noun; comments in SQL follow the same rule."""
    files = [path for path in texts() if path.suffix == ".py"]
    found = {path.name: opened_badly(ast.parse(path.read_text(encoding="utf-8"))) for path in files}
    assert {name: lines for name, lines in found.items() if lines} == {}
    bare = re.compile(rf"^ *-- {OPENINGS.pattern}", re.MULTILINE)
    sql = {path.name: bare.findall(path.read_text(encoding="utf-8")) for path in texts() if path.suffix == ".sql"}
    assert {name: lines for name, lines in sql.items() if lines} == {}


FORMS = ('"""{}"""', 'def f():\n    """{}"""', 'class C:\n    x = 1\n    """{}"""')


@pytest.mark.parametrize("form", FORMS)
def test_openings_are_found_wherever_something_is_documented(form: str):
    """In modules, functions and attributes."""
    assert opened_badly(ast.parse(form.format("What is due.")))
    assert not opened_badly(ast.parse(form.format("Whether it is due.")))
