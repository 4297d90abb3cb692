"""The SQL reference says what the database does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

REFERENCE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")


def test_the_reference_names_every_limit_and_its_value(database: psycopg.Connection[Any]):
    """One row of the table for each row of the table."""
    section = REFERENCE.split("## Limits")[1].split("##")[0]
    documented = {name: int(value) for name, value in re.findall(r"^\| `(\w+)` \| (\d+) \|", section, re.MULTILINE)}
    rows = database.execute("select name, value from job_scheduler.limits").fetchall()
    assert documented == {row["name"]: int(row["value"]) for row in rows}


def test_the_reference_quotes_messages_as_they_are(alice: httpx.Client):
    """A reader who searches for a message finds it."""
    job = alice.post("/scheduled_jobs", json={"handler": "noop", "status": "paused"}).json()[0]["id"]
    alice.post("/rpc/cancel_job", json={"job": job})
    answers = [
        alice.post("/scheduled_jobs", json={"handler": "noop", "timezone": "Mars/Base"}),
        alice.post("/scheduled_jobs", json={"handler": "noop", "next_run_at": "2030-01-01T00:00:00Z"}),
        alice.post("/rpc/cancel_job", json={"job": 0}),
    ]
    for answer in answers:
        message = answer.json()["message"].replace("no job 0", "no job 42")
        assert f"| {answer.status_code} | `{answer.json()['code']}` |" in REFERENCE
        assert f"`{message}`" in REFERENCE


def test_the_reference_names_every_function_of_clients(database: psycopg.Connection[Any]):
    """With the names of its arguments, which are part of the call."""
    query = """
        select p.proname || '(' || pg_get_function_arguments(p.oid) || ')' as call from pg_proc as p
        where p.pronamespace = 'public'::regnamespace and has_function_privilege('authenticated', p.oid, 'execute')
    """
    for row in database.execute(query).fetchall():
        assert f"`{row['call'].replace('DEFAULT', 'default')}`" in REFERENCE


def test_the_trigger_map_has_every_trigger_in_firing_order(database: psycopg.Connection[Any]):
    """As PostgreSQL fires them: by kind, then by name as bytes."""
    section = REFERENCE.split("## Triggers")[1].split("##")[0]
    mapped = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| ([\w, ]+) \| `(\w+)` \|", section, re.MULTILINE)
    rows = database.execute("""
        select
            c.relname::text as of_table,
            case when g.tgtype & 2 > 0 then 'before ' else 'after ' end
            || case when g.tgtype & 1 > 0 then 'row' else 'statement' end as kind,
            concat_ws(', ',
                case when g.tgtype & 4 > 0 then 'insert' end, case when g.tgtype & 8 > 0 then 'delete' end,
                case when g.tgtype & 16 > 0 then 'update' end) as events,
            g.tgname::text as name
        from pg_trigger as g inner join pg_class as c on g.tgrelid = c.oid
        where not g.tgisinternal and c.relnamespace in ('public'::regnamespace, 'job_scheduler'::regnamespace)
        order by c.relname, g.tgtype & 2 desc, g.tgtype & 1 desc, g.tgname collate "C"
    """).fetchall()
    fired = [tuple(row.values()) for row in rows]
    for table in {row[0] for row in mapped} | {row[0] for row in fired}:
        assert [row for row in mapped if row[0] == table] == [row for row in fired if row[0] == table]


def _columns(table: str) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each documented column, its type and the rest of its row; several may share a row."""
    for part in re.findall(rf"^### `{table}`.*?(?=^##)", REFERENCE, re.MULTILINE | re.DOTALL):
        for names, kinds, rest in re.findall(r"^\| (`[^|]*) \|([^|]*)\|(.*)\|$", part, re.MULTILINE):
            each = re.findall(r"`(\w+)`", names)
            cells = [cell.strip() for cell in kinds.split(",")]
            yield from ((name, cells[min(at, len(cells) - 1)], rest) for at, name in enumerate(each))


@pytest.mark.parametrize("table", ["scheduled_jobs", "job_executions", "job_execution_logs"])
def test_the_reference_has_every_column_and_its_type(database: psycopg.Connection[Any], table: str):
    """Columns of the service's bookkeeping are named without a type."""
    query = """
        select a.attname::text as name, format_type(a.atttypid, null) as type from pg_attribute as a
        where a.attrelid = ('public.' || %s)::regclass and a.attnum > 0 and not a.attisdropped
    """
    found = {
        row["name"]: row["type"].replace("timestamp with time zone", "timestamptz")
        for row in database.execute(query, [table]).fetchall()
    }
    documented = {name: kind for name, kind, _ in _columns(table)}
    assert documented.keys() == found.keys()
    assert {name: kind for name, kind in documented.items() if kind} == {
        name: kind for name, kind in found.items() if documented[name]
    }


@pytest.mark.parametrize("column", ["trigger_type", "overlap", "misfire", "dst_gap", "dst_fold"])
def test_the_reference_has_the_words_that_a_column_allows(alice: httpx.Client, column: str):
    """Those that the refusal names, the default first."""
    answer = alice.post("/scheduled_jobs", json={"handler": "noop", column: "no such word"})
    allowed = re.search(r"expected one of (.*)$", answer.json()["message"])[1].split(", ")
    [rest] = [rest for name, _, rest in _columns("scheduled_jobs") if name == column]
    default, words = rest.split("|")
    assert re.findall(r"`(\w+)`", words) == allowed
    assert default.strip() == f"`{allowed[0]}`"


@pytest.mark.parametrize("column", ["cause", "status"])
def test_the_reference_has_the_words_of_the_ledger(database: psycopg.Connection[Any], column: str):
    """Those of the table's check."""
    query = "select pg_get_constraintdef(oid) as text from pg_constraint where conname = %s"
    check = database.execute(query, [f"job_executions_{column}_check"]).fetchone()["text"]
    [rest] = [rest for name, _, rest in _columns("job_executions") if name == column]
    assert re.findall(r"`(\w+)`", rest.split("|")[1]) == re.findall(r"'(\w+)'", check)


@pytest.mark.parametrize(
    "columns",
    [{"metadata": {"text": "a\0b"}}, {"name": "a\0b"}, {"enabled": True}],
    ids=["NUL in a payload", "NUL in a name", "another scheduler's column"],
)
def test_the_reference_has_the_answers_that_name_no_column_of_ours(alice: httpx.Client, columns: dict[str, Any]):
    """PostgREST and PostgreSQL give them before anything of ours sees the row."""
    answer = alice.post("/scheduled_jobs", json={"handler": "noop", **columns})
    start = f"| {answer.status_code} | `{answer.json()['code']}` |"
    [line] = [line for line in REFERENCE.splitlines() if line.startswith(start)]
    assert f"`{answer.json()['message']}`" in line


def test_no_trigger_can_name_the_column_of_a_nul(alice: httpx.Client, database: psycopg.Connection[Any]):
    """PostgreSQL fails as it turns JSON into columns, whatever the table: no row is there yet, nor a trigger called."""
    answer = alice.post("/scheduled_jobs", json={"handler": "noop", "metadata": {"text": "a\0b"}}).json()
    assert (answer["details"], answer["hint"]) == (r"\u0000 cannot be converted to text.", None)
    body = r'[{"metadata": {"text": "\u0000"}}]'
    with pytest.raises(psycopg.errors.UntranslatableCharacter) as refused:
        database.execute("select * from json_to_recordset(%s) as _ (metadata jsonb)", [body])
    assert (refused.value.diag.message_primary, refused.value.diag.message_detail, refused.value.diag.column_name) == (
        answer["message"],
        answer["details"],
        None,
    )


def test_the_columns_that_others_are_mapped_to_exist(database: psycopg.Connection[Any]):
    """Each row of the tables begins with one; the names that users met are among them."""
    page = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text(encoding="utf-8")
    query = "select column_name as name from information_schema.columns where table_name = 'scheduled_jobs'"
    columns = {row["name"] for row in database.execute(query).fetchall()}
    rows = re.findall(r"^\| (.+) \| (`.+) \|$", page, re.MULTILINE)
    assert len(rows) > 40
    assert {re.match(r"`(\w+)", ours)[1] for _, ours in rows} <= columns
    theirs = {name for them, _ in rows for name in re.findall(r"`(\w+)`", them)}
    assert {"enabled", "actions", "schedule_type"} <= theirs - columns
