"""`listener types`: code of supabase-js is checked against the handlers, and what passes is what the database takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb
from shipped import SHIPPED

from listener.handler_api.registry import Registry

pytestmark = pytest.mark.stack
REPOSITORY = Path(__file__).parents[3]
HERE = Path(__file__).parent
PROGRAMS = REPOSITORY / "node_modules" / ".bin"
PATIENCE_SECONDS = 120
TSC = [
    PROGRAMS / "tsc", "--strict", "--noEmitOnError", "--target", "es2022", "--module", "esnext",
    "--moduleResolution", "bundler", "--skipLibCheck", "--pretty", "false",
]  # fmt: skip


def _run(command, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    whole = {**os.environ, "HOME": str(folder), "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{HERE}", **environment}
    return subprocess.run(
        list(map(str, command)),
        cwd=folder, env=whole, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def project(embedded_stack, tmp_path_factory) -> Path:
    """Make a TypeScript project: the stock types of the tables, and ours, as the page on handlers says."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "node_modules").symlink_to(REPOSITORY / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    database = f"{embedded_stack.database_url}?sslmode=disable"
    stock = _run([PROGRAMS / "supabase", "gen", "types", f"--remote={database}", "--schema", "public"], folder)
    assert "scheduled_jobs" in stock.stdout, stock.stderr
    (folder / "database.types.ts").write_text(stock.stdout)
    ours = _run([sys.executable, "-m", "listener.cli", "types", "--handlers", "handlers,typed_handlers"], folder)
    assert ours.returncode == 0, ours.stderr
    (folder / "job.types.ts").write_text(ours.stdout)
    return folder


@pytest.fixture
def published(embedded_stack, empty_catalogue, monkeypatch):
    """Publish the handlers as a listener would, and leave nothing behind."""
    monkeypatch.syspath_prepend(HERE)
    catalogue = Registry.load(["handlers", "typed_handlers"]).catalogue()
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as connection:
        connection.execute("select public.publish_handlers_v1(%s)", [Jsonb({"handlers": catalogue})])
        yield
        connection.execute("delete from public.scheduled_jobs")


@pytest.mark.usefixtures("published")
def test_code_that_fits_compiles_and_runs(project, embedded_stack):
    """Every trigger, every kind of payload, one row and several, and the columns of the answer."""
    (project / "good.ts").write_text((HERE / "good.ts").read_text())
    compiled = _run([*TSC, "good.ts", "--outDir", "out"], project)
    assert compiled.stdout == ""
    done = _run(
        ["node", "--experimental-websocket", "out/good.js"],
        project,
        URL=embedded_stack.url,
        KEY=embedded_stack.service_key,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == [None] * 8


def test_each_mistake_is_an_error_of_the_compiler(project):
    """On its own line, and nowhere else; the line says which word the error must have."""
    source = (HERE / "bad.ts").read_text()
    (project / "bad.ts").write_text(source)
    compiled = _run([*TSC, "--noEmit", "bad.ts"], project)
    expected = {
        number: line.rpartition("// ")[2] for number, line in enumerate(source.splitlines(), 1) if "// " in line
    }
    reported: dict[int, str] = {}
    for file, line, text in re.findall(r"^(\S+)\((\d+),\d+\): (error .*(?:\n .*)*)", compiled.stdout, re.MULTILINE):
        assert file == "bad.ts"
        reported[int(line)] = reported.get(int(line), "") + text
    assert sorted(reported) == sorted(expected)
    assert [(line, word) for line, word in expected.items() if word not in reported[line]] == []


def test_without_the_generator_the_message_says_how_to_install_it(tmp_path):
    """The command itself needs no Node otherwise."""
    done = _run([sys.executable, "-m", "listener.cli", "types"], tmp_path, PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "listener: json2ts is not there: npm install --save-dev json-schema-to-typescript\n"
    assert done.stdout == ""


def test_other_languages_read_the_json_schema(tmp_path):
    """One property for each handler; every reference leads to a definition."""
    command = ["types", "--handlers", "handlers,typed_handlers", "--language", "json-schema"]
    done = _run([sys.executable, "-m", "listener.cli", *command], tmp_path)
    schema = json.loads(done.stdout)
    assert schema["required"] == sorted([*SHIPPED, "pay", "plant"])
    references = re.findall(r'"#/\$defs/(\w+)"', done.stdout)
    assert set(references) == set(schema["$defs"])


def test_the_columns_of_the_service_are_those_that_the_database_refuses():
    """A compiler that lets one pass would only put the refusal off."""
    guard = (REPOSITORY / "schema" / "30_lifecycle" / "define.sql").read_text()
    refused = set(re.findall(r"then '(\w+)'", guard.split("else\n        offender")[0]))
    template = (REPOSITORY / "listener" / "typegen" / "template.ts").read_text()
    owned = set(re.findall(r"'(\w+)'", template.split("type ServiceOwned")[1].split("/**")[0]))
    assert refused | {"id", "exposed_only"} <= owned
