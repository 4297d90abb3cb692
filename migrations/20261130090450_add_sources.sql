do $migration$
declare
    body constant text := $file$
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

-- Notes changed rows of sources for the service, and notifies the listeners.

-- In whose turn the service looks at a row: the user's who owns it, else its workspace's, else one for all others.
create or replace function job_scheduler.turn_of(created_by uuid, workspace_id uuid)
returns uuid
language sql
immutable
set search_path = ''
as $$
    select coalesce(created_by, workspace_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
$$;
revoke all on function job_scheduler.turn_of(uuid, uuid) from public;

-- Notes the keys of the rows that a statement changed. Its arguments: source, the columns of owner and workspace, empty
-- where these are no plain columns, and the columns of the key. It never fails the write: a start of a listener checks all.
create or replace function job_scheduler.note_changed_rows()
returns trigger
language plpgsql
security definer -- a client may neither note nor notify by itself
set search_path = ''
set timezone = 'UTC' -- a key that is an instant has one text
set datestyle = 'ISO'
as $$
declare
    key constant text := case
        when tg_nargs = 4 then format('r.%I::text', tg_argv[3])
        else (
            select format(
                'job_scheduler.key_text(array[%s])', string_agg(format('r.%I::text', k.name), ', ' order by k.number)
            )
            from unnest(tg_argv[3:]) with ordinality as k (name, number)
        )
    end;
    noted constant text := format(
        'select %L, job_scheduler.turn_of(%s, %s), %s from ', tg_argv[0],
        coalesce('r.' || quote_ident(nullif(tg_argv[1], '')), 'null'),
        coalesce('r.' || quote_ident(nullif(tg_argv[2], '')), 'null'), key
    );
    changed bigint;
begin
    execute 'insert into job_scheduler.changed_rows (source, tenant, key) ' || case tg_op
        when 'INSERT' then noted || 'new_rows as r'
        when 'DELETE' then noted || 'old_rows as r'
        when 'UPDATE' then noted || 'new_rows as r union ' || noted || 'old_rows as r'
        else format('select %L, job_scheduler.turn_of(null, null), null', tg_argv[0])
    end;
    get diagnostics changed = row_count;
    if changed > 0 then
        perform job_scheduler.notify('sources', null);
    end if;
    return null;
exception when others then
    raise warning 'job_scheduler.note_changed_rows: %', sqlerrm;
    return null;
end
$$;
revoke all on function job_scheduler.note_changed_rows() from public;

-- The owner of a table calls these to give its rows jobs.

-- Refuses a table or a name that cannot be a source.
create or replace function job_scheduler.check_source(name text, relation regclass, timezone text)
returns void
language plpgsql
set search_path = ''
as $$
declare
    class pg_catalog.pg_class;
    reader constant name := (
        select p.proowner::regrole from pg_catalog.pg_proc as p
        where p.oid = 'public.sync_sources_v1(jsonb)'::regprocedure
    );
begin
    select c.* into class from pg_catalog.pg_class as c where c.oid = relation;
    if name is null or name !~ '^[a-z][a-z0-9_-]{0,49}$' then
        raise exception 'add_source: name: "%" is not allowed', name
        using errcode = '22023', hint = 'Expected a small letter, and up to 49 of small letters, digits, - and _.';
    elsif exists (
        select from job_scheduler.sources as s
        where s.rows_function = 'source_' || translate(check_source.name, '-', '_') and s.name <> check_source.name
    ) then
        raise exception 'add_source: name: "%" is too like that of another source', name using errcode = '22023';
    elsif relation is null or class.relkind not in ('r', 'p') then
        raise exception 'add_source: source: % is not a table', coalesce(relation::text, 'null') using errcode = '22023';
    elsif not pg_has_role(class.relowner, 'member') then
        raise exception 'add_source: source: % belongs to %, and only its owner makes it a source',
            relation, class.relowner::regrole
        using errcode = '42501';
    elsif not has_table_privilege(reader, relation, 'select') then
        raise exception 'add_source: source: the service (%) may not read %', reader, relation
        using errcode = '42501', hint = format('grant select on %s to %I;', relation, reader);
    end if;
    if (select k.columns from job_scheduler.primary_key_of(relation) as k) is null then
        raise exception 'add_source: source: % has no primary key', relation
        using errcode = '22023', hint = 'A job is found by the primary key of its row.';
    end if;
    perform job_scheduler.check_timezone(timezone);
end
$$;
revoke all on function job_scheduler.check_source(text, regclass, text) from public;

-- Drops the triggers of a source.
create or replace function job_scheduler.drop_source_triggers(this job_scheduler.sources)
returns void
language plpgsql
set search_path = ''
as $$
declare
    trigger name;
begin
    for trigger in
        select t.tgname from pg_catalog.pg_trigger as t
        where t.tgrelid = this.relation and starts_with(t.tgname, 'zz_job_' || this.rows_function || '_on_')
    loop
        execute format('drop trigger %I on %s', trigger, this.relation);
    end loop;
end
$$;
revoke all on function job_scheduler.drop_source_triggers(job_scheduler.sources) from public;

-- From now on each row of a table that meets the condition has one job, `name:key`, which follows it. Expressions are SQL
-- over the table's columns. The same name again replaces the source.
create or replace function job_scheduler.add_source(
    name text,
    source regclass,
    due_at text,
    handler text,
    condition text default 'true',
    metadata text default null,
    owner text default null,
    workspace text default null,
    title text default null,
    timezone text default 'UTC',
    search_path text default current_setting('search_path')
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    this job_scheduler.sources;
    owner_column name;
    workspace_column name;
begin
    perform job_scheduler.check_source(name, source, timezone);
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler.sync_sources', 0));
    perform job_scheduler.drop_source_triggers(s) from job_scheduler.sources as s where s.name = add_source.name;
    perform job_scheduler.check_text('handler', coalesce(handler, ''), 200);
    perform job_scheduler.compile_source(
        name, source, handler,
        jsonb_build_object(
            'due_at', coalesce(due_at, 'null'), 'condition', coalesce(condition, 'true'), 'finished', 'true',
            'metadata', coalesce(metadata, (
                select format('jsonb_build_object(%s)', string_agg(format('%L, %I', c.name, c.name), ', ' order by c.number))
                from job_scheduler.primary_key_of(source) as k
                cross join lateral unnest(k.columns) with ordinality as c (name, number)
            )),
            'owner', coalesce(owner, 'null'), 'workspace', coalesce(workspace, 'null'), 'title', coalesce(title, 'null'),
            'revision', 'null'
        ),
        timezone, search_path, true
    );
    select s.* into strict this from job_scheduler.sources as s where s.name = add_source.name;
    select
        max(a.attname) filter (where quote_ident(a.attname) = btrim(owner)),
        max(a.attname) filter (where quote_ident(a.attname) = btrim(workspace))
    into owner_column, workspace_column
    from pg_catalog.pg_attribute as a
    where a.attrelid = source and a.attnum > 0 and not a.attisdropped and a.atttypid = 'uuid'::regtype;
    execute string_agg(format(
        'create trigger %I after %s on %s %s for each statement execute function job_scheduler.note_changed_rows(%s)',
        format('zz_job_%s_on_%s', this.rows_function, e.event), e.event, source, e.tables,
        (
            select string_agg(quote_literal(a.argument), ', ' order by a.number)
            from unnest(array[name, coalesce(owner_column, ''), coalesce(workspace_column, '')] || this.key_columns)
                with ordinality as a (argument, number)
        )
    ), '; ')
    from (values
        ('insert', 'referencing new table as new_rows'), ('delete', 'referencing old table as old_rows'),
        ('update', 'referencing old table as old_rows new table as new_rows'), ('truncate', '')
    ) as e (event, tables);
    perform job_scheduler.notify('sources', null);
end
$$;
revoke all on function job_scheduler.add_source(
    text, regclass, text, text, text, text, text, text, text, text, text
) from public;

-- Ends a source: its active jobs are cancelled, and all its jobs become jobs like others.
create or replace function job_scheduler.remove_source(name text)
returns void
language plpgsql
set search_path = ''
as $$
declare
    this job_scheduler.sources;
begin
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler.sync_sources', 0));
    delete from job_scheduler.sources as s where s.name = remove_source.name returning s.* into this;
    if this.name is null then
        raise exception 'remove_source: there is no source "%"', name using errcode = '22023';
    end if;
    perform job_scheduler.drop_source_triggers(this);
    execute format('drop function job_scheduler.%I(text[])', this.rows_function);
    execute format('drop function job_scheduler.%I(text, integer)', this.keys_function);
    delete from job_scheduler.changed_rows as c where c.source = this.name;
    delete from job_scheduler.source_errors as e where e.source = this.name;
    update public.scheduled_jobs as j set status = 'cancelled'
    where j.source = this.name and j.status in ('scheduled', 'paused', 'running');
    update public.scheduled_jobs as j set source = null where j.source = this.name;
end
$$;
revoke all on function job_scheduler.remove_source(text) from public;

-- Makes the jobs of rows right. A row is here what a source's rows_function gives; null where there is none.

-- Whether a job is of this row's tenant: the key alone proves nothing, because that of a row that is gone may be used again
-- by another tenant.
create or replace function job_scheduler.is_of_tenant(job public.scheduled_jobs, found jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select job.workspace_id is not distinct from (found ->> 'workspace')::uuid
        and (found ->> 'workspace' is not null or job.created_by is not distinct from (found ->> 'owner')::uuid)
$$;
revoke all on function job_scheduler.is_of_tenant(public.scheduled_jobs, jsonb) from public;

-- A row's title as the name of its job, whatever its length: a job's name has bounds, a row has a job.
create or replace function job_scheduler.name_for(title text)
returns text
language sql
immutable
set search_path = ''
as $$
    select case when btrim(left(title, 500), E' \t\r\n') <> '' or title = '' then left(title, 500) end
$$;
revoke all on function job_scheduler.name_for(text) from public;

-- The step that a job needs, given the row under its key: cancel, write, wait (for its run's end), resume (a paused job whose
-- last run ended: it ends as that run did), or nothing (null).
-- A job that ended runs again where the row is due at another time. Where the source has revisions, it also runs again if
-- the row changed since, and with `restart` in any case, because the run was to end the condition.
create or replace function job_scheduler.source_job_act(
    job public.scheduled_jobs, found jsonb, handler text, restart boolean
)
returns text
language sql
stable
set search_path = ''
as $$
    select case
        when (found ->> 'due_at' is not null and job_scheduler.is_of_tenant(job, found)) is not true then
            case
                -- The run may just have changed the row itself: let it end.
                when (found -> 'finished' = 'true' and job_scheduler.is_of_tenant(job, found)) is not true then
                    case when job.status in ('scheduled', 'paused', 'running') then 'cancel' end
                when job.status = 'running' or job.status = 'paused' and job.claimed_by is not null then 'wait'
                when job.status = 'paused' and job.due_at is not null and not job.is_planned then 'resume' -- see mark_spent
                when job.status in ('scheduled', 'paused') then 'cancel'
            end
        when job.run_date <> (found ->> 'due_at')::timestamptz or job.status = 'cancelled' then 'write'
        when job.status in ('completed', 'failed') then
            case
                when restart and found ->> 'revision' is not null then 'write'
                when (found ->> 'revision')::bigint > case
                    -- the row of another cluster, from which it was restored: it is older than any change made in this one
                    when job.changed_in >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                        and (found ->> 'revision')::bigint < pg_snapshot_xmax(pg_current_snapshot())::text::bigint then 0
                    else job.changed_in
                end then 'write'
            end
        when
            job.name is distinct from job_scheduler.name_for(found ->> 'title')
            or job.handler <> source_job_act.handler
            or job.trigger_type <> 'once'
            or job.metadata <> found -> 'metadata' then 'write'
    end
$$;
revoke all on function job_scheduler.source_job_act(public.scheduled_jobs, jsonb, text, boolean) from public;

-- Holds new and revived jobs of a source to the quotas of their tenants, as if these had written them.
create or replace function job_scheduler.admit_source_jobs(opened bigint[])
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform job_scheduler.check_shape_quotas(j.workspace_id, 'once', '{}', j.metadata, true)
    from public.scheduled_jobs as j
    where j.id = any(opened) and coalesce(j.workspace_id, j.created_by) is not null;
    perform job_scheduler.check_active_quota(t.workspace_id, t.owner, t.added, true)
    from (
        select j.workspace_id, case when j.workspace_id is null then j.created_by end as owner, count(*) as added
        from public.scheduled_jobs as j
        where j.id = any(opened) and coalesce(j.workspace_id, j.created_by) is not null
        group by 1, 2
        order by 1, 2
    ) as t;
    perform job_scheduler.check_active_quota_of(t.created_by, t.workspaces)
    from (
        select j.created_by, array_agg(j.workspace_id) as workspaces
        from public.scheduled_jobs as j
        where j.id = any(opened) and j.created_by is not null
        group by j.created_by
        order by j.created_by
    ) as t;
    perform job_scheduler.check_stored_bytes(t.workspace_id, t.created_by, true)
    from (
        select distinct j.workspace_id, j.created_by from public.scheduled_jobs as j
        where j.id = any(opened) and coalesce(j.workspace_id, j.created_by) is not null
        order by j.workspace_id, j.created_by
    ) as t;
end
$$;
revoke all on function job_scheduler.admit_source_jobs(bigint[]) from public;

-- The jobs among these whose row requires this act (see source_job_act).
create or replace function job_scheduler.source_jobs_to(
    act text, this job_scheduler.sources, ids bigint[], rows jsonb, restart boolean
)
returns bigint[]
language sql
stable
set search_path = ''
as $$
    select coalesce(array_agg(job.id), '{}') from public.scheduled_jobs as job
    where job.id = any(ids) and job_scheduler.source_job_act(
        job, rows -> substr(job.job_id, length(this.name) + 2), this.handler, restart
    ) = act
$$;
revoke all on function job_scheduler.source_jobs_to(text, job_scheduler.sources, bigint[], jsonb, boolean) from public;

-- Makes the jobs of the rows under these keys right and answers what it wrote; `rows` are those rows. `busy` names keys to
-- look at again: somebody holds the row of the job, or its run is to end first. Nothing is deleted: the ledger stays with
-- the tenant whose it is. An update notifies every listener even if it changes no row: there is none without a job to change.
create or replace function job_scheduler.settle_rows(
    this job_scheduler.sources, keys text[], rows jsonb, restart boolean,
    out wanted bigint, out scheduled bigint, out moved bigint, out cancelled bigint, out taken text[], out busy text[]
)
language plpgsql
set search_path = ''
as $$
declare
    start constant integer := length(this.name) + 2; -- of the key in a job_id
    job_ids constant text[] := array(select this.name || ':' || k.key from unnest(keys) as k (key));
    wrong bigint[];
    free bigint[];
    acted bigint[];
    opened bigint[];
    made bigint[];
begin
    wrong := array(
        select job.id from public.scheduled_jobs as job
        where job.source = this.name and job.job_id = any(job_ids)
            and job_scheduler.source_job_act(job, rows -> substr(job.job_id, start), this.handler, restart) is not null
    );
    free := array(select job.id from public.scheduled_jobs as job where job.id = any(wrong) for update skip locked);
    busy := array(
        select distinct substr(job.job_id, start) from public.scheduled_jobs as job
        where job.id = any(wrong) and (
            job.id <> all(free)
            or job_scheduler.source_job_act(job, rows -> substr(job.job_id, start), this.handler, restart) = 'wait'
        )
    );

    acted := job_scheduler.source_jobs_to('cancel', this, free, rows, restart);
    if cardinality(acted) > 0 then
        update public.scheduled_jobs set status = 'cancelled' where id = any(acted);
    end if;
    cancelled := cardinality(acted);
    acted := job_scheduler.source_jobs_to('resume', this, free, rows, restart);
    if cardinality(acted) > 0 then
        update public.scheduled_jobs set status = 'scheduled' where id = any(acted);
    end if;

    acted := job_scheduler.source_jobs_to('write', this, free, rows, restart);
    opened := array(
        select job.id from public.scheduled_jobs as job
        where job.id = any(acted) and job.status in ('completed', 'failed', 'cancelled')
    );
    if cardinality(acted) > 0 then
        update public.scheduled_jobs as job set
            name = job_scheduler.name_for(f.found ->> 'title'),
            run_date = (f.found ->> 'due_at')::timestamptz,
            trigger_type = 'once',
            schedule = '{}',
            handler = this.handler,
            metadata = f.found -> 'metadata',
            status = case when job.status in ('completed', 'failed', 'cancelled') then 'scheduled' else job.status end
        from jsonb_each(rows) as f (key, found)
        where job.id = any(acted) and job.job_id = this.name || ':' || f.key;
    end if;
    moved := cardinality(acted);

    with added as (
        insert into public.scheduled_jobs (job_id, source, workspace_id, created_by, name, handler, metadata, run_date)
        select
            this.name || ':' || f.key, this.name, (f.found ->> 'workspace')::uuid, (f.found ->> 'owner')::uuid,
            job_scheduler.name_for(f.found ->> 'title'), this.handler, f.found -> 'metadata',
            (f.found ->> 'due_at')::timestamptz
        from jsonb_each(rows) as f (key, found)
        where f.found ->> 'due_at' is not null and not exists (
            select from public.scheduled_jobs as job
            where job.source = this.name and job.job_id = this.name || ':' || f.key
                and job_scheduler.is_of_tenant(job, f.found)
        )
        order by f.key
        on conflict do nothing
        returning id
    )
    select coalesce(array_agg(added.id), '{}') into made from added;
    scheduled := cardinality(made);
    if this.limits_owner and cardinality(opened || made) > 0 then
        perform job_scheduler.admit_source_jobs(opened || made);
    end if;

    select count(*), coalesce(array_agg(f.key) filter (where job.id is null), '{}') into wanted, taken
    from jsonb_each(rows) as f (key, found)
    left join public.scheduled_jobs as job
        on job.source = this.name and job.job_id = this.name || ':' || f.key and job_scheduler.is_of_tenant(job, f.found)
    where f.found ->> 'due_at' is not null;
end
$$;
revoke all on function job_scheduler.settle_rows(job_scheduler.sources, text[], jsonb, boolean) from public;

-- The same, also where one of the rows makes it fail.

-- Reads these rows and makes their jobs right.
create or replace function job_scheduler.settle_keys(
    this job_scheduler.sources, keys text[], restart boolean,
    out wanted bigint, out scheduled bigint, out moved bigint, out cancelled bigint, out taken text[], out busy text[]
)
language plpgsql
set search_path = ''
as $$
declare
    rows jsonb;
begin
    execute format('select job_scheduler.%I($1)', this.rows_function) into rows using keys;
    select s.* into wanted, scheduled, moved, cancelled, taken, busy
    from job_scheduler.settle_rows(this, keys, rows, restart) as s;
end
$$;
revoke all on function job_scheduler.settle_keys(job_scheduler.sources, text[], boolean) from public;

-- Settles rows one at a time. One that fails is named in `failures`, and has no job that is due at another time than it
-- says; one that has to wait for a lock is in `busy`.
create or replace function job_scheduler.settle_one_by_one(
    this job_scheduler.sources, keys text[], restart boolean,
    out wanted bigint, out scheduled bigint, out moved bigint, out cancelled bigint, out taken text[], out busy text[],
    out failures jsonb
)
language plpgsql
set search_path = ''
as $$
declare
    one record;
    key text;
    message text;
    patience integer := 3; -- locks that are waited for: each costs a lock_timeout
begin
    wanted := 0; scheduled := 0; moved := 0; cancelled := 0; taken := '{}'; busy := '{}'; failures := '[]';
    foreach key in array keys loop
        if patience = 0 then
            busy := busy || key;
            continue;
        end if;
        message := null;
        begin
            select * into one from job_scheduler.settle_keys(this, array[key], restart);
        exception
            when serialization_failure or deadlock_detected then
                raise;
            when lock_not_available then
                patience := patience - 1;
                busy := busy || key;
                continue;
            when others then
                message := sqlerrm;
        end;
        if message is not null then
            failures := failures || jsonb_build_object('key', key, 'error', message);
            select * into one from job_scheduler.settle_rows(this, array[key], '{}', false);
            one.wanted := 1;
        end if;
        wanted := wanted + one.wanted;
        scheduled := scheduled + one.scheduled;
        moved := moved + one.moved;
        cancelled := cancelled + one.cancelled;
        taken := taken || one.taken;
        busy := busy || one.busy;
    end loop;
end
$$;
revoke all on function job_scheduler.settle_one_by_one(job_scheduler.sources, text[], boolean) from public;

-- Settles rows, however many fail, and keeps which and why in source_errors. Those that have to wait are put on the list
-- again, behind the others of their tenant. -> {total, jobs_scheduled, …, errors, failures: [{key, error}]}
create or replace function job_scheduler.settle_each(this job_scheduler.sources, keys text[], restart boolean)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    done record;
    failed jsonb;
begin
    begin
        select s.*, '[]'::jsonb as failures into done from job_scheduler.settle_keys(this, keys, restart) as s;
    exception
        when serialization_failure or deadlock_detected then
            raise;
        when others then
            select * into done from job_scheduler.settle_one_by_one(this, keys, restart);
    end;
    insert into job_scheduler.changed_rows (source, tenant, key)
    select this.name, job_scheduler.turn_of(j.created_by, j.workspace_id), b.key
    from unnest(done.busy) as b (key)
    left join lateral (
        select job.created_by, job.workspace_id from public.scheduled_jobs as job
        where job.source = this.name and job.job_id = this.name || ':' || b.key
        order by job.id desc
        limit 1
    ) as j on true;
    select done.failures || coalesce(jsonb_agg(jsonb_build_object(
        'key', t.key, 'error', format('job_id "%s:%s" is taken by a job that is not of this source', this.name, t.key)
    )), '[]') into failed
    from unnest(done.taken) as t (key);
    delete from job_scheduler.source_errors as e
    where e.source = this.name and e.key = any(keys) and not failed @> jsonb_build_array(jsonb_build_object('key', e.key));
    insert into job_scheduler.source_errors as e (source, key, error)
    select this.name, f.value ->> 'key', f.value ->> 'error' from jsonb_array_elements(failed) as f (value)
    on conflict on constraint source_errors_pkey do update set error = excluded.error, tried_at = now();
    return jsonb_build_object(
        'total', done.wanted,
        'jobs_scheduled', done.scheduled,
        'jobs_already_exist', done.wanted - done.scheduled - jsonb_array_length(failed),
        'jobs_moved', done.moved,
        'jobs_cancelled', done.cancelled,
        'jobs_locked', cardinality(done.busy),
        'errors', jsonb_array_length(failed),
        'failures', failed
    );
end
$$;
revoke all on function job_scheduler.settle_each(job_scheduler.sources, text[], boolean) from public;

-- Chooses the rows of sources that the service checks next, and checks them.

-- Takes changed rows of these sources off the list, at most about `most`: of each tenant its share, the longest waiting
-- first, tenants in turn after `after`. `turn` is the tenant to go on after, null at the end of the round. Where `most`
-- allows it, rows that failed a minute ago are among them.
create or replace function job_scheduler.take_changed_rows(
    names text[], after uuid, most integer, out sources text[], out keys text[], out turn uuid
)
language plpgsql
set search_path = ''
as $$
declare
    tenants uuid[];
begin
    with recursive turns as (
        (
            select c.tenant from job_scheduler.changed_rows as c
            where c.tenant > coalesce(after, '00000000-0000-0000-0000-000000000000') and c.source = any(names)
            order by c.tenant limit 1
        )
        union all
        select (
            select c.tenant from job_scheduler.changed_rows as c
            where c.tenant > t.tenant and c.source = any(names)
            order by c.tenant limit 1
        )
        from turns as t
        where t.tenant is not null
    )
    select array_agg(t.tenant) into tenants
    from (select turns.tenant from turns where turns.tenant is not null limit most) as t;
    turn := case when cardinality(tenants) = most then tenants[most] end;
    with chosen as (
        select distinct c.source, c.key
        from unnest(tenants) as t (tenant)
        cross join lateral (
            select q.source, q.key from job_scheduler.changed_rows as q
            where q.tenant = t.tenant and q.source = any(names)
            order by q.id
            limit greatest(1, most / cardinality(tenants))
        ) as c
    )
    select coalesce(array_agg(c.source order by c.source), '{}'), coalesce(array_agg(c.key order by c.source), '{}')
    into sources, keys
    from chosen as c;
    -- Later reads see all of these changes.
    delete from job_scheduler.changed_rows as c
    using unnest(sources, keys) as t (source, key)
    where c.source = t.source and (c.key = t.key or c.key is null and t.key is null);
    if cardinality(keys) < most / 2 then
        with again as (
            update job_scheduler.source_errors as e set tried_at = now()
            where (e.source, e.key) in (
                select f.source, f.key from job_scheduler.source_errors as f
                where f.tried_at < now() - interval '1 minute' and f.source = any(names)
                order by f.tried_at limit most / 4
            )
            returning e.source, e.key
        )
        select sources || coalesce(array_agg(a.source), '{}'), keys || coalesce(array_agg(a.key), '{}')
        into sources, keys
        from again as a;
    end if;
end
$$;
revoke all on function job_scheduler.take_changed_rows(text[], uuid, integer) from public;

-- The keys of active jobs of a source whose row is gone or does not meet the condition.
create or replace function job_scheduler.orphans_of(this job_scheduler.sources)
returns text[]
language plpgsql
set search_path = ''
as $$
declare
    keys text[] := '{}';
    page text[];
    rows jsonb;
    reached text := '';
begin
    loop
        page := array(
            select job.job_id from public.scheduled_jobs as job
            where job.source = this.name and job.job_id > reached and job.status in ('scheduled', 'paused')
            order by job.job_id limit 1000
        );
        exit when cardinality(page) = 0;
        reached := page[cardinality(page)];
        page := array(select substr(p.job_id, length(this.name) + 2) from unnest(page) as p (job_id));
        begin
            execute format('select job_scheduler.%I($1)', this.rows_function) into rows using page;
        exception when others then
            keys := keys || page; -- one by one, it shows which rows they are
            continue;
        end;
        keys := keys || array(select p.key from unnest(page) as p (key) where rows -> p.key ->> 'due_at' is null);
    end loop;
    return keys;
end
$$;
revoke all on function job_scheduler.orphans_of(job_scheduler.sources) from public;

-- Makes the jobs of a page of all rows right: those that meet the condition, by key; on the first page also those of jobs
-- whose row does not. -> as settle_each, and `after`, null after the last page.
create or replace function job_scheduler.check_rows(
    this job_scheduler.sources, after text, most integer, restart boolean
)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    keys text[];
    settled jsonb;
    orphans text[];
    cancelled bigint := 0;
    broken text;
    page text;
begin
    begin
        execute format('select job_scheduler.%I($1, $2)', this.keys_function) into keys using after, most;
    exception when others then
        broken := sqlerrm;
        begin -- the condition fails on one of the rows, perhaps
            select format(
                'select array(select %s from %s as r where $1 is null or (%s) > (%s) order by %3$s limit $2)',
                k.as_text, this.relation, k.key, k.given
            ) into page
            from job_scheduler.key_expressions(this.key_columns, this.key_types, 'r', '$1') as k;
            execute page into keys using after, most;
            broken := null;
        exception when others then -- the table is gone, or its key is
            keys := '{}';
        end;
    end;
    settled := job_scheduler.settle_each(this, keys, restart);
    if broken is not null then
        settled := settled || jsonb_build_object(
            'errors', 1, 'failures', jsonb_build_array(jsonb_build_object('key', null, 'error', broken))
        );
    end if;
    if after is null then
        -- Rows that failed may be gone as well; the rest of many is tried again within minutes.
        orphans := job_scheduler.orphans_of(this) || array(
            select e.key from job_scheduler.source_errors as e
            where e.source = this.name and e.key <> all(keys) order by e.tried_at limit greatest(most, 100)
        );
        if cardinality(orphans) > 0 then
            cancelled := (job_scheduler.settle_each(this, orphans, false) ->> 'jobs_cancelled')::bigint;
        end if;
    end if;
    return settled || jsonb_build_object(
        'jobs_cancelled', (settled ->> 'jobs_cancelled')::bigint + cancelled,
        'after', case when cardinality(keys) = most then keys[most] end
    );
end
$$;
revoke all on function job_scheduler.check_rows(job_scheduler.sources, text, integer, boolean) from public;

-- The service calls these to keep the jobs of sources right.

-- The sums of two counts, and the failures of both.
create or replace function job_scheduler.added_up(a jsonb, b jsonb)
returns jsonb
language sql
immutable
set search_path = ''
as $$
    select jsonb_object_agg(n.key, case
        when jsonb_typeof(n.value) = 'array' then n.value || coalesce(a -> n.key, '[]')
        else to_jsonb(n.value::bigint + coalesce((a -> n.key)::bigint, 0))
    end)
    from jsonb_each(b) as n
$$;
revoke all on function job_scheduler.added_up(jsonb, jsonb) from public;

-- Changed rows, and a page of a source that was added or truncated.
create or replace function job_scheduler.sync_changed(names text[], after uuid, most integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    taken record;
    this job_scheduler.sources;
    counted jsonb := '{}';
    settled jsonb;
    waiting integer := 0;
begin
    select * into taken from job_scheduler.take_changed_rows(names, after, most);
    update job_scheduler.sources as s set is_checked = false, checked_until = null
    from unnest(taken.sources, taken.keys) as t (source, key)
    where s.name = t.source and t.key is null;
    for this in select s.* from job_scheduler.sources as s where s.name = any(taken.sources) order by s.name loop
        settled := job_scheduler.settle_each(
            this, array(
                select t.key from unnest(taken.sources, taken.keys) as t (source, key)
                where t.source = this.name and t.key is not null
            ), false
        );
        waiting := waiting + (settled ->> 'jobs_locked')::integer;
        counted := counted || jsonb_build_object(this.name, settled);
    end loop;
    select s.* into this from job_scheduler.sources as s
    where not s.is_checked and s.name = any(names)
    order by s.name limit 1;
    if found then
        settled := job_scheduler.check_rows(this, this.checked_until, most, false);
        update job_scheduler.sources as s
        set is_checked = settled ->> 'after' is null, checked_until = settled ->> 'after'
        where s.name = this.name;
        counted := counted || jsonb_build_object(
            this.name, job_scheduler.added_up(counted -> this.name, settled - 'after')
        );
    end if;
    return jsonb_build_object(
        'sources', counted,
        'after', taken.turn,
        'more', exists (select from job_scheduler.sources as s where not s.is_checked and s.name = any(names))
        or cardinality(taken.keys) > waiting
        and exists (select from job_scheduler.changed_rows as c where c.source = any(names))
    );
end
$$;
revoke all on function job_scheduler.sync_changed(text[], uuid, integer) from public;

-- Makes the jobs of some rows right; writes nothing where they are.
-- {changed: true, after: uuid | null, limit}: rows that changed, tenants in turn; `after` continues the round.
-- {after: text | null, limit}: a page of all rows that meet the condition of their source; `after` continues.
-- Of all sources, but those of `without`: [name]; or of that of `only`: name, where `keys`: [text] are rows to look at.
-- -> {sources: {name: {total, jobs_scheduled, jobs_already_exist, jobs_moved, jobs_cancelled, jobs_locked, errors,
--     failures: [{key, error}]}}, after, more}
-- Where `after` is not null the page or the round goes on there; `more` says that changed rows are left, and not for a lock
-- alone.
create or replace function public.sync_sources_v1(request jsonb)
returns jsonb
language plpgsql
security definer -- it writes jobs in the name of the row's owner, which no client may
set search_path = ''
as $$
declare
    most constant integer := coalesce((request ->> 'limit')::integer, 500);
    after constant text := request ->> 'after';
    names text[];
    this job_scheduler.sources;
    settled jsonb;
begin
    perform set_config('job_scheduler.actor', 'service', true); -- nobody did what is done here: the audit leaves it out
    -- One at a time over all replicas, so that none waits for rows in another's order. A migration that adds a source may
    -- stay open.
    perform set_config('lock_timeout', '2000', true);
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler.sync_sources', 0));
    perform set_config('lock_timeout', '300', true); -- a client's transaction may stay open
    names := array(
        select s.name from job_scheduler.sources as s
        where s.name = coalesce(request ->> 'only', s.name) and not coalesce(request -> 'without' ? s.name, false)
        order by s.name
    );
    if request -> 'changed' = 'true' then
        return job_scheduler.sync_changed(names, after::uuid, most);
    end if;
    select s.* into this from job_scheduler.sources as s
    where s.name = any(names) and s.name >= split_part(coalesce(after, ''), ':', 1)
    order by s.name limit 1;
    if not found then
        return jsonb_build_object('sources', '{}'::jsonb, 'after', null, 'more', false);
    elsif jsonb_typeof(request -> 'keys') = 'array' then
        settled := job_scheduler.settle_each(this, array(select jsonb_array_elements_text(request -> 'keys')), false);
    else
        settled := job_scheduler.check_rows(
            this, case when starts_with(after, this.name || ':') then nullif(substr(after, length(this.name) + 2), '') end, most, true
        );
    end if;
    return jsonb_build_object(
        'sources', jsonb_build_object(this.name, settled - 'after'),
        'after', case
            when settled ->> 'after' is not null then this.name || ':' || (settled ->> 'after')
            when request -> 'keys' is null then (select min(n) || ':' from unnest(names) as n where n > this.name)
        end,
        'more', false
    );
end
$$;
revoke all on function public.sync_sources_v1(jsonb) from public, anon, authenticated;
grant execute on function public.sync_sources_v1(jsonb) to service_role;

-- Jobs that a source made change by their source only: a user cancels, pauses, resumes and runs them, and nothing else.
create or replace function job_scheduler.keep_to_source()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    changed record;
begin
    if tg_op = 'DELETE' then
        raise exception 'scheduled_jobs.job_id: "%" follows its source and is not to be deleted', old.job_id
        using errcode = '42501', hint = 'Cancel the job, or delete the row that it follows.';
    end if;
    select n.key, n.value into changed
    from jsonb_each(to_jsonb(new)) as n
    where n.key <> 'status' and n.value is distinct from to_jsonb(old) -> n.key
    order by n.key
    limit 1;
    if found then
        raise exception 'scheduled_jobs.%: % is not allowed in job "%", which follows its source; expected %', changed.key,
            left(changed.value::text, 120), old.job_id, left((to_jsonb(old) -> changed.key)::text, 120)
        using errcode = '42501', hint = 'Cancel, pause, resume or run the job; all else follows the row that it was made of.';
    end if;
    return new;
end
$$;
revoke all on function job_scheduler.keep_to_source() from public;
$file$;
    left_alone constant text := null;
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090450') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090450', 'add_sources', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
