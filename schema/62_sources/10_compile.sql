-- Compiles the expressions of a source into functions.

-- Refuses an expression that does not evaluate on a row of the table, on one whose columns are null; answers its type.
create or replace function job_scheduler.check_expression(
    argument text, expression text, type text, relation regclass, path text
)
returns regtype
language plpgsql
set search_path = ''
as $$
declare
    found regtype;
begin
    perform set_config('search_path', path, true);
    -- The line break ends a comment in the expression; a query of several statements cannot be looped over.
    for found in
        execute format(
            e'select pg_catalog.pg_typeof((%s\n)%s) from (select (null::%s).*) as %I',
            expression, case when type <> '' then '::' || type else '' end, relation,
            (select c.relname from pg_catalog.pg_class as c where c.oid = relation)
        )
    loop
        perform set_config('search_path', '', true);
        return found;
    end loop;
    raise exception 'it gives no value';
exception when others then
    raise exception 'add_source: %: "%" does not evaluate on a row of %: %',
        argument, left(expression, 200), relation, sqlerrm
    using errcode = '22023', hint = 'Write one SQL expression over the columns of the table, as in a select.';
end
$$;
revoke all on function job_scheduler.check_expression(text, text, text, regclass, text) from public;

-- Makes the two functions of a source, and answers the row that describes it. The expressions mean what they mean where
-- they were written: `path` is the search_path there.
create or replace function job_scheduler.compile_source(
    called text, relation regclass, runs text, expressions jsonb, zone text, path text, limits boolean
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    base constant text := 'source_' || translate(called, '-', '_');
    key_column name;
    key_type text;
    due text := expressions ->> 'due_at';
    key text;
    settings text;
begin
    -- Neither format_type nor regtype: as the type of a cast, their "character" is one character.
    select a.attname, format('%s.%I', t.typnamespace::regnamespace, t.typname) into strict key_column, key_type
    from pg_catalog.pg_index as i
    inner join pg_catalog.pg_attribute as a on i.indrelid = a.attrelid and a.attnum = i.indkey[0]
    inner join pg_catalog.pg_type as t on a.atttypid = t.oid
    where i.indrelid = relation and i.indisprimary;
    key := format('%I.%I', (select c.relname from pg_catalog.pg_class as c where c.oid = relation), key_column);
    perform job_scheduler.check_expression('due_at', due, 'timestamptz', relation, path);
    if job_scheduler.check_expression('due_at', due, '', relation, path) in ('date'::regtype, 'timestamp'::regtype) then
        due := format(e'(%s\n)::timestamp at time zone %L', due, zone);
    end if;
    perform job_scheduler.check_expression(e.argument, expressions ->> e.argument, e.type, relation, path)
    from (values
        ('condition', 'boolean'), ('finished', 'boolean'), ('metadata', 'jsonb'), ('owner', 'uuid'), ('workspace', 'uuid'),
        ('title', 'text'), ('revision', 'bigint')
    ) as e (argument, type);
    -- Where row level security would hide rows from the service, it raises instead.
    settings := format(
        'set search_path = %s set timezone = ''UTC'' set datestyle = ''ISO'' set row_security = off',
        case when path = '' then '''''' else path end
    );
    execute format(
        'create or replace function job_scheduler.%I(text[]) returns jsonb language sql stable %s as %L', base, settings,
        format(
            $body$
            select coalesce(jsonb_object_agg(%1$s::text, jsonb_build_object(
                'finished', coalesce((%4$s
                )::boolean, false), 'owner', (%7$s
                )::uuid, 'workspace', (%8$s
                )::uuid
            ) || case when (%5$s
            )::boolean and (%3$s
            ) is not null then jsonb_build_object(
                'due_at', (%3$s
                )::timestamptz, 'metadata', coalesce((%6$s
                )::jsonb, '{}'), 'title', (%9$s
                )::text, 'revision', (%10$s
                )::bigint
            ) else '{}' end), '{}')
            from %2$s where %1$s = any($1::%11$s[])
            $body$,
            key, relation, due, expressions ->> 'finished', expressions ->> 'condition', expressions ->> 'metadata',
            expressions ->> 'owner', expressions ->> 'workspace', expressions ->> 'title', expressions ->> 'revision', key_type
        )
    );
    execute format(
        'create or replace function job_scheduler.%I(text, integer) returns text[] language plpgsql stable %s as %L',
        base || '_keys', settings, format(
            $body$
            #variable_conflict use_column
            begin
                if $1 is null then
                    return array(select %1$s::text from %2$s where (%3$s
                    )::boolean order by %1$s limit $2);
                end if;
                return array(select %1$s::text from %2$s where %1$s > $1::%4$s and (%3$s
                )::boolean order by %1$s limit $2);
            end
            $body$, key, relation, expressions ->> 'condition', key_type
        )
    );
    execute format(
        'revoke all on function job_scheduler.%I(text[]), job_scheduler.%I(text, integer) from public', base, base || '_keys'
    );
    execute format('select job_scheduler.%I(''{}'')', base);
    insert into job_scheduler.sources as s (
        name, relation, key_column, key_type, handler, rows_function, keys_function, limits_owner
    )
    values (called, relation, key_column, key_type, runs, base, base || '_keys', limits)
    on conflict on constraint sources_pkey do update
    set relation = excluded.relation, key_column = excluded.key_column, key_type = excluded.key_type,
        handler = excluded.handler, limits_owner = excluded.limits_owner, is_checked = false, checked_until = null;
end
$$;
revoke all on function job_scheduler.compile_source(text, regclass, text, jsonb, text, text, boolean) from public;
