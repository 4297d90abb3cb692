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
    qualifier constant name := (select c.relname from pg_catalog.pg_class as c where c.oid = relation);
    due text := expressions ->> 'due_at';
    keys record;
    key record;
    rows_of text;
    settings text;
begin
    select * into keys from job_scheduler.primary_key_of(relation);
    select * into key from job_scheduler.key_expressions(keys.columns, keys.types, qualifier, '$1');
    if cardinality(keys.columns) = 1 then
        rows_of := format('%s where %s = any($1::%s[])', relation, key.key, keys.types[1]);
    else -- a lookup for each key, whatever the planner thinks of a join
        select format(
            'unnest($1) as job_scheduler_key (job_scheduler_key) cross join lateral ('
            'select of_table.* from %s as of_table where (%s) = (%s) offset 0) as %I', relation, k.key, k.given, qualifier
        ) into rows_of
        from job_scheduler.key_expressions(
            keys.columns, keys.types, 'of_table', 'job_scheduler_key.job_scheduler_key'
        ) as k;
    end if;
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
            select coalesce(jsonb_object_agg(%1$s, jsonb_build_object(
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
            from %2$s
            $body$,
            key.as_text, rows_of, due, expressions ->> 'finished', expressions ->> 'condition', expressions ->> 'metadata',
            expressions ->> 'owner', expressions ->> 'workspace', expressions ->> 'title', expressions ->> 'revision'
        )
    );
    execute format(
        'create or replace function job_scheduler.%I(text, integer) returns text[] language plpgsql stable %s as %L',
        base || '_keys', settings, format(
            $body$
            #variable_conflict use_column
            begin
                if $1 is null then
                    return array(select %1$s from %2$s where (%3$s
                    )::boolean order by %4$s limit $2);
                end if;
                return array(select %1$s from %2$s where (%4$s) > (%5$s) and (%3$s
                )::boolean order by %4$s limit $2);
            end
            $body$, key.as_text, relation, expressions ->> 'condition', key.key, key.given
        )
    );
    execute format(
        'revoke all on function job_scheduler.%I(text[]), job_scheduler.%I(text, integer) from public', base, base || '_keys'
    );
    execute format('select job_scheduler.%I(''{}'')', base);
    insert into job_scheduler.sources as s (
        name, relation, key_columns, key_types, handler, rows_function, keys_function, limits_owner
    )
    values (called, relation, keys.columns, keys.types, runs, base, base || '_keys', limits)
    on conflict on constraint sources_pkey do update
    set relation = excluded.relation, key_columns = excluded.key_columns, key_types = excluded.key_types,
        handler = excluded.handler, limits_owner = excluded.limits_owner, is_checked = false, checked_until = null;
end
$$;
revoke all on function job_scheduler.compile_source(text, regclass, text, jsonb, text, text, boolean) from public;
