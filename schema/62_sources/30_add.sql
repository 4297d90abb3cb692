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
