"""Wrap the statements of a migration, so that it harms nothing, is applied once and records that."""

from __future__ import annotations

import re
from textwrap import fill, indent
from typing import TYPE_CHECKING

from listener.migrate.files import functions_made, tables_made
from listener.migrate.migrator import LOCK

if TYPE_CHECKING:
    from collections.abc import Callable

INDEX = re.compile(r"create (?:unique )?index (?:if not exists )?(\w+)\s+on public\.")
INSTALLED = """obj_description(to_regnamespace('job_scheduler'), 'pg_namespace')
        = 'Internals of the job scheduler; not exposed through the API.'"""
APPLIED = "exists (select from job_scheduler.migrations where version = '{version}')"
PREFLIGHT = """\
-- Nothing that was there before, under a name that is needed here, is taken over.
do $preflight$
declare
    tables constant text[] := {tables};
    indexes constant text[] := {indexes};
    functions constant text[] := {functions};
    taken text;
begin
    if {skip} then
        return;
    end if;
    select string_agg(found.what, ', ') into taken
    from (
        {schema}select t.name as what from unnest(tables) as t (name) where to_regclass(t.name) is not null
        union all
        select f.name from unnest(functions) as f (name) where to_regprocedure(f.name) is not null
        union all
        select 'index ' || x.name
        from unnest(indexes) as x (name)
        where to_regclass(x.name) is not null and not exists (
            select from pg_catalog.pg_index as i
            inner join unnest(tables) as t (name) on i.indrelid = to_regclass(t.name)
            where i.indexrelid = to_regclass(x.name)
        )
    ) as found;
    if taken is not null then
        raise exception 'nothing was changed; the database has objects of its own with names that are needed: %', taken
        using errcode = 'duplicate_object', hint = case when (
            select count(*) from pg_catalog.pg_attribute as a
            where a.attrelid = to_regclass('public.scheduled_jobs')
                and a.attname in ('job_id', 'run_date', 'metadata', 'status')
        ) = 4 then
            '`listener migrate --adopt` keeps public.scheduled_jobs as scheduled_jobs_before and moves its pending jobs'
            ' into the new table; rename other objects, or move them to another schema'
        else
            'rename them, or move them to another schema (alter … rename to …, alter … set schema …)'
        end;
    end if;
end
$preflight$;
"""
WRAPPED = """\
do $migration$
declare
    body constant text := $file$
{body}
$file$;
    left_alone constant text := {left_alone};
begin
    perform pg_advisory_xact_lock({lock}); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '{version}') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('{version}', '{name}', encode(sha256(convert_to(replace(body, e'\\r', ''), 'UTF8')), 'hex'));
end
$migration$;
"""


def indexes_made(text: str) -> list[str]:
    """Return the named indexes of `public` that `text` creates."""
    return [f"public.{name}" for name in INDEX.findall(text)]


def preflight(text: str, skip: str, *, released: str = "", aside: str = "-") -> str:
    """Return the statement that fails where the database has something of its own under a name that `text` makes.

    Args:
        text: What is to be executed.
        skip: An SQL condition: true where what is there is ours.
        released: The text of earlier migrations, whose objects are ours. Without any, the schema is made too.
        aside: Tables and indexes whose names begin so may be there.
    """

    def names(made: Callable[[str], list[str]]) -> str:
        fresh = [name for name in made(text) if name not in made(released) and not name.startswith(aside)]
        lines = fill(", ".join(f"'{name}'" for name in fresh), 110, break_long_words=False)
        return f"array[\n{indent(lines, ' ' * 8)}\n    ]::text[]" if fresh else "'{}'"

    schema = "select 'schema job_scheduler' as what where to_regnamespace('job_scheduler') is not null"
    return PREFLIGHT.format(
        tables=names(tables_made),
        indexes=names(indexes_made),
        functions=names(functions_made),
        skip=skip,
        schema="" if released else f"{schema}\n        union all\n        ",
    )


def wrapped(version: str, name: str, body: str, left_alone: str = "null") -> str:
    """Return the statement that executes `body` once.

    Args:
        version: Of the migration, 14 digits.
        name: Of the migration.
        body: Statements.
        left_alone: An SQL expression: not null, but the reason, where they are not to be executed.
    """
    return WRAPPED.format(body=body.strip(), lock=LOCK, version=version, name=name, left_alone=left_alone)
