-- Reads the primary key of a table, and makes one text of the values of its columns: the end of a job_id.

-- The columns of a table's primary key in their order, with their types; null where there is none.
create or replace function job_scheduler.primary_key_of(relation regclass, out columns text[], out types text[])
language sql
stable
set search_path = ''
as $$
    -- Neither format_type nor regtype: as the type of a cast, their "character" is one character.
    select
        array_agg(a.attname::text order by k.number),
        array_agg(format('%s.%I', t.typnamespace::regnamespace, t.typname) order by k.number)
    from pg_catalog.pg_index as i
    cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attribute, number)
    inner join pg_catalog.pg_attribute as a on i.indrelid = a.attrelid and k.attribute = a.attnum
    inner join pg_catalog.pg_type as t on a.atttypid = t.oid
    where i.indrelid = relation and i.indisprimary and k.number <= i.indnkeyatts -- a key may include other columns
$$;
revoke all on function job_scheduler.primary_key_of(regclass) from public;

-- One text of the values of a key: that of its only column as it is; else all of them joined by colons, where a colon within
-- a value is %3A and a percent sign %25, so that no two keys have the same text.
create or replace function job_scheduler.key_text(parts text[])
returns text
language sql
immutable
set search_path = ''
as $$
    select case
        when cardinality(parts) = 1 then parts[1]
        else (
            select string_agg(replace(replace(p.part, '%', '%25'), ':', '%3A'), ':' order by p.number)
            from unnest(parts) with ordinality as p (part, number)
        )
    end
$$;
revoke all on function job_scheduler.key_text(text[]) from public;

-- The values that key_text joined; nulls where the text is not that of a key of so many columns.
create or replace function job_scheduler.key_parts(key text, columns integer)
returns text[]
language sql
immutable
set search_path = ''
as $$
    select case
        when columns = 1 then array[key]
        else (
            select case when count(*) = columns then array_agg(replace(replace(p.part, '%3A', ':'), '%25', '%') order by p.number) end
            from unnest(string_to_array(key, ':')) with ordinality as p (part, number)
        )
    end
$$;
revoke all on function job_scheduler.key_parts(text, integer) from public;

-- SQL over the columns of a key, each qualified: the row of them, their one text, and the row of values that `source`, an
-- expression of such a text, stands for.
create or replace function job_scheduler.key_expressions(
    columns text[], types text[], qualifier text, source text, out key text, out as_text text, out given text
)
language sql
immutable
set search_path = ''
as $$
    select
        string_agg(format('%I.%I', qualifier, k.name), ', ' order by k.number),
        case
            when count(*) = 1 then min(format('%I.%I::text', qualifier, k.name))
            else format(
                'job_scheduler.key_text(array[%s])', string_agg(format('%I.%I::text', qualifier, k.name), ', ' order by k.number)
            )
        end,
        case
            when count(*) = 1 then min(format('%s::%s', source, k.type))
            else string_agg(
                format('(job_scheduler.key_parts(%s, %s))[%s]::%s', source, cardinality(columns), k.number, k.type), ', '
                order by k.number
            )
        end
    from unnest(columns, types) with ordinality as k (name, type, number)
$$;
revoke all on function job_scheduler.key_expressions(text[], text[], text, text) from public;
