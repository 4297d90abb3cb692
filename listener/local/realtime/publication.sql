-- The publication that the stream reads: of `supabase_realtime` the tables that a subscription names, with the same columns, row
-- filters and operations. Decoding rows for nobody costs PostgreSQL more than all else that the server has it do.
-- pgoutput judges each change by the catalogs as of that change, so what is altered here counts from its commit on.
-- Applied after schema.sql, as superuser at every start.

do $$
begin
    if not exists (select from pg_catalog.pg_publication where pubname = 'realtime_subscribed') then
        create publication realtime_subscribed;
    end if;
end
$$;

-- The names, as [[schema, table], …] with * for all, that the subscriptions of a server have; by its slot, which ends with it.
create table if not exists realtime.local_named_tables (
    slot name primary key,
    names jsonb not null,
    made_at timestamptz not null
);

-- The tables that `realtime_subscribed` should have, by the names of all servers. A table is taken if a partition of it is named.
-- No table is locked, as by pg_publication_tables: DDL of whatever else would wait for whoever alters a published table.
create or replace function realtime.local_tables_to_publish() returns setof oid language sql stable set search_path = '' as $$
    with recursive names as (
        select distinct pair ->> 0 as schema_name, pair ->> 1 as table_name
        from realtime.local_named_tables as s cross join jsonb_array_elements(s.names) as pair
    ),
    published (entity, part) as (
        select r.prrelid, r.prrelid from pg_catalog.pg_publication_rel as r
        join pg_catalog.pg_publication as p on p.oid = r.prpubid
        where p.pubname = 'supabase_realtime'
        union
        select c.oid, c.oid from pg_catalog.pg_class as c
        join pg_catalog.pg_publication as p on p.pubname = 'supabase_realtime'
        where c.oid >= 16384 and c.relkind in ('r', 'p') and c.relpersistence = 'p' -- PostgreSQL's own tables are below
            and (p.puballtables or exists (
                select from pg_catalog.pg_publication_namespace as n where n.pnpubid = p.oid and n.pnnspid = c.relnamespace
            ))
        union
        select t.entity, i.inhrelid from published as t
        join pg_catalog.pg_class as c on c.oid = t.part and c.relkind = 'p'
        join pg_catalog.pg_inherits as i on i.inhparent = t.part
    )
    select distinct t.entity from published as t
    join pg_catalog.pg_class as c on c.oid = t.part
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    join names on names.schema_name in ('*', n.nspname) and names.table_name in ('*', c.relname)
$$;

-- A table's columns and row filter in a publication as SQL, '' where it has none; they do not count if the whole schema is in it.
create or replace function realtime.local_part_of_table(publication name, entity oid) returns text
language sql stable set search_path = '' as $$
    select coalesce((
        select coalesce(' (' || (
            select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_catalog.pg_attribute as a
            where a.attrelid = entity and a.attnum = any(r.prattrs)
        ) || ')', '') || coalesce(' where (' || pg_get_expr(r.prqual, entity) || ')', '')
        from pg_catalog.pg_publication_rel as r
        join pg_catalog.pg_publication as p on p.oid = r.prpubid
        join pg_catalog.pg_class as c on c.oid = r.prrelid
        where p.pubname = publication and r.prrelid = entity and not p.puballtables and not exists (
            select from pg_catalog.pg_publication_namespace as n where n.pnpubid = p.oid and n.pnnspid = c.relnamespace
        )
    ), '')
$$;

-- The statements, in their order, that make `realtime_subscribed` what it should be; `entity` is the table that one adds.
create or replace function realtime.local_publication_changes() returns table (turn integer, entity oid, statement text)
language sql stable set search_path = '' as $$
    with goal as (
        select t.entity, realtime.local_part_of_table('supabase_realtime', t.entity) as part
        from realtime.local_tables_to_publish() as t (entity)
    ),
    state as (
        select r.prrelid as entity, realtime.local_part_of_table(p.pubname, r.prrelid) as part
        from pg_catalog.pg_publication_rel as r join pg_catalog.pg_publication as p on p.oid = r.prpubid
        where p.pubname = 'realtime_subscribed'
    ),
    options as (
        select p.pubname, format(
            'publish = %L, publish_via_partition_root = %s', concat_ws(
                ', ', case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
                case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end
            ), p.pubviaroot::text
        ) || case to_jsonb(p) ->> 'pubgencols' -- from PostgreSQL 18 on
            when 's' then ', publish_generated_columns = stored'
            when 'n' then ', publish_generated_columns = none'
            else ''
        end as options
        from pg_catalog.pg_publication as p where p.pubname in ('supabase_realtime', 'realtime_subscribed')
    )
    select 1, null::oid, format('alter publication realtime_subscribed drop table only %s', state.entity::regclass)
    from state where not exists (select from goal where (goal.entity, goal.part) = (state.entity, state.part))
    union all
    select 2, null, format('alter publication realtime_subscribed set (%s)', theirs.options)
    from options as theirs join options as ours on ours.options <> theirs.options
    where theirs.pubname = 'supabase_realtime' and ours.pubname = 'realtime_subscribed'
    union all
    select 3, goal.entity, format('alter publication realtime_subscribed add table only %s%s', goal.entity::regclass, goal.part)
    from goal where not exists (select from state where (goal.entity, goal.part) = (state.entity, state.part))
    order by 1
$$;

-- Make the changes. A table that somebody holds is left for the next time; an autovacuum gives way. Replica: event triggers rest.
create or replace function realtime.local_change_publication() returns void language plpgsql security definer
set search_path = '' set lock_timeout = '100ms' set deadlock_timeout = '20ms' set session_replication_role = 'replica' as $$
declare
    change record;
begin
    for change in select * from realtime.local_publication_changes() loop
        begin
            execute change.statement;
        exception
            when lock_not_available or deadlock_detected then null;
            when others then raise log 'realtime: %: %', change.statement, sqlerrm;
        end;
    end loop;
end
$$;

-- Publish the tables of `names` for the server that reads `reader`, a slot. Gives the names of what is still to add.
-- A name for all tables waits until no transaction alters a publication: neither would see what the other one adds.
create or replace function realtime.local_publish(reader name, names jsonb) returns table (schema_name text, table_name text)
language plpgsql set search_path = '' set lock_timeout = '200ms' as $$
declare
    later jsonb := (
        select coalesce(jsonb_agg(pair), '[]') from jsonb_array_elements(names) as pair
        where pair ? '*' and not exists (
            select from realtime.local_named_tables as s where s.names @> jsonb_build_array(pair)
        )
    );
begin
    if later = '[]' or pg_try_advisory_xact_lock(7308332177516823411) then
        later := '[]';
    end if;
    delete from realtime.local_named_tables as s
    where s.made_at < now() - interval '1 minute' and not exists ( -- names come a moment before their slot
        select from pg_catalog.pg_replication_slots as r where r.slot_name = s.slot
    );
    insert into realtime.local_named_tables as s (slot, names, made_at)
    select reader, coalesce(jsonb_agg(pair), '[]'), now() from jsonb_array_elements(local_publish.names) as pair
    where not later @> jsonb_build_array(pair)
    on conflict (slot) do update set names = excluded.names where s.names <> excluded.names;
    if exists (select from realtime.local_publication_changes()) then
        perform realtime.local_change_publication();
    end if;
    return query
        with recursive missing (entity) as (
            select c.entity from realtime.local_publication_changes() as c where c.entity is not null
            union
            select i.inhrelid from missing as m join pg_catalog.pg_inherits as i on i.inhparent = m.entity
        )
        select n.nspname::text, c.relname::text from missing as m
        join pg_catalog.pg_class as c on c.oid = m.entity
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        union all
        select pair ->> 0, pair ->> 1 from jsonb_array_elements(later) as pair;
end
$$;

-- The transactions under way that have written published tables of `names`; of those in `among` alone, unless it is null. The
-- stream lacks what they wrote before a table was added.
create or replace function realtime.local_writers(names jsonb, among text[]) returns text[]
language sql stable set search_path = '' as $$
    select coalesce(array_agg(distinct l.virtualtransaction), '{}') from pg_catalog.pg_locks as l
    cross join lateral (
        select array_agg(t.relid) || l.relation as entities from pg_partition_ancestors(l.relation) as t (relid)
    ) as t
    where l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.granted
        and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
        and (among is null or l.virtualtransaction = any(among))
        and exists (
            select from pg_catalog.pg_publication_rel as r join pg_catalog.pg_publication as p on p.oid = r.prpubid
            where p.pubname = 'realtime_subscribed' and r.prrelid = any(t.entities)
        )
        and exists (
            select from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
            join jsonb_array_elements(names) as pair on pair ->> 0 in ('*', n.nspname) and pair ->> 1 in ('*', c.relname)
            where c.oid = any(t.entities)
        )
$$;

-- In the transaction that alters `supabase_realtime`, or a table of it, alter `realtime_subscribed` too.
create or replace function realtime.local_follow_publication() returns event_trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_tag like '% PUBLICATION' then
        perform pg_advisory_xact_lock_shared(7308332177516823411);
    end if;
    if exists (select from realtime.local_publication_changes()) then
        perform realtime.local_change_publication();
    end if;
end
$$;

do $$
begin
    if not exists (select from pg_catalog.pg_event_trigger where evtname = 'realtime_follow_publication') then
        create event trigger realtime_follow_publication on ddl_command_end
        when tag in (
            'CREATE PUBLICATION', 'ALTER PUBLICATION', 'DROP PUBLICATION', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO',
            'ALTER TABLE', 'CREATE SCHEMA', 'ALTER SCHEMA', 'DROP OWNED'
        )
        execute function realtime.local_follow_publication();
    end if;
end
$$;

revoke all on function realtime.local_tables_to_publish() from public;
revoke all on function realtime.local_part_of_table(name, oid) from public;
revoke all on function realtime.local_publication_changes() from public;
revoke all on function realtime.local_change_publication() from public;
revoke all on function realtime.local_publish(name, jsonb) from public;
revoke all on function realtime.local_writers(jsonb, text[]) from public;
revoke all on function realtime.local_follow_publication() from public;
