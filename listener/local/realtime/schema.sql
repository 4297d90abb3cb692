-- The `realtime` schema of a Supabase project, as far as clients and migrations touch it, and this server's own functions
-- (`local_…`). Applied as superuser at every start, so each statement may run again.

create schema if not exists realtime;

do $$
begin
    if to_regrole('supabase_realtime_admin') is null then
        create role supabase_realtime_admin noinherit nologin;
    end if;
    if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
    end if;
end
$$;

-- One row is one broadcast from the database. Supabase partitions this table by day; here old rows are deleted instead.
create table if not exists realtime.messages (
    topic text not null,
    extension text not null,
    payload jsonb,
    event text,
    private boolean default false,
    updated_at timestamp without time zone not null default now(),
    inserted_at timestamp without time zone not null default now(),
    id uuid not null default gen_random_uuid(),
    primary key (id, inserted_at)
);

create index if not exists messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
where extension = 'broadcast' and private;

alter table realtime.messages enable row level security;
alter table realtime.messages owner to supabase_realtime_admin;

do $$
begin
    if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime_messages_publication') then
        create publication supabase_realtime_messages_publication for table realtime.messages with (publish = 'insert');
    end if;
end
$$;

-- The topic that a policy on realtime.messages decides about.
create or replace function realtime.topic() returns text language sql stable set search_path = '' as $$
    select nullif(current_setting('realtime.topic', true), '')
$$;

-- Broadcast `payload` to the subscribers of `topic`. Never fails its caller's transaction: what goes wrong is a warning.
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void language plpgsql set search_path = '' as $$
declare
    message_id uuid := gen_random_uuid();
begin
    if not coalesce(payload ? 'id', true) then
        payload := jsonb_set(payload, '{id}', to_jsonb(message_id));
    end if;
    perform set_config('realtime.topic', topic, true);
    insert into realtime.messages (id, payload, event, topic, private, extension)
    values (message_id, payload, event, topic, private, 'broadcast');
exception
    when others then
        raise warning 'ErrorSendingBroadcastMessage: %', sqlerrm;
end
$$;

-- Broadcast a row's change; for row-level triggers.
create or replace function realtime.broadcast_changes(
    topic_name text, event_name text, operation text, table_name text, table_schema text,
    new record, old record, level text default 'ROW'
) returns void language plpgsql set search_path = '' as $$
begin
    if level = 'STATEMENT' then
        raise exception 'function can only be triggered for each row, not for each statement';
    end if;
    if operation not in ('INSERT', 'UPDATE', 'DELETE') then
        raise exception 'Unexpected operation type: %', operation;
    end if;
    perform realtime.send(
        jsonb_build_object(
            'old_record', old, 'record', new, 'operation', operation, 'table', table_name, 'schema', table_schema
        ), event_name, topic_name
    );
exception
    when others then
        raise exception 'Failed to process the row: %', sqlerrm;
end
$$;

do $$
declare
    api_role text;
begin
    foreach api_role in array array['postgres', 'anon', 'authenticated', 'service_role', 'supabase_realtime_admin'] loop
        if to_regrole(api_role) is not null then
            execute format('grant usage on schema realtime to %I', api_role);
            execute format('grant select, insert, update on realtime.messages to %I', api_role);
        end if;
    end loop;
    if to_regrole('postgres') is not null and not pg_has_role('postgres', 'supabase_realtime_admin', 'member') then
        grant supabase_realtime_admin to postgres;
    end if;
end
$$;

-- A value in the very JSON form that the real server sends it; bytea is passed through as the hex digits that it decoded.
-- Errors name types of `public` as the real server's do, without their schema.
create or replace function realtime.local_cast(value text, type regtype) returns jsonb
language plpgsql stable set search_path = 'public' as $$
declare
    result jsonb;
begin
    if type = 'bytea'::regtype then
        return to_jsonb(value);
    end if;
    execute format('select pg_catalog.to_jsonb(%L::%s)', value, type) into result;
    return result;
end
$$;

-- Check a binding's filters and columns for one table and role. Gives, per filter in its order, the column's type and, where
-- equality of text decides, the values in their canonical text form.
create or replace function realtime.local_check_filters(
    entity regclass, role name, columns text[], operators text[], vals text[], selected text[]
) returns table (type_oid oid, canonical text[]) language plpgsql stable set search_path = 'public' as $$
declare
    readable text[] := coalesce(array_agg(attname order by attnum), '{}') from pg_catalog.pg_attribute
        where attrelid = entity and attnum > 0 and not attisdropped and has_column_privilege(role, attrelid, attnum, 'SELECT');
    column_type regtype;
    unknown text := (select name from unnest(selected) name where not name = any(readable) limit 1);
begin
    for i in 1 .. cardinality(columns) loop
        if not columns[i] = any(readable) then
            raise exception 'invalid column for filter %', columns[i];
        end if;
        column_type := (select atttypid from pg_catalog.pg_attribute where attrelid = entity and attname = columns[i]);
        canonical := array[vals[i]];
        case
            when operators[i] = 'in' then
                if jsonb_array_length(realtime.local_cast(vals[i], (column_type::text || '[]')::regtype)) > 100 then
                    raise exception 'too many values for `in` filter. Maximum 100';
                end if;
                execute format('select array(select x::text from unnest(%L::%s[]) x)', vals[i], column_type) into canonical;
            when operators[i] = 'is' then
                if not vals[i] in ('null', 'true', 'false', 'unknown') then
                    raise exception 'invalid value for is filter: must be null, true, false, or unknown';
                elsif vals[i] <> 'null' and column_type <> 'boolean'::regtype then
                    raise exception 'is % filter requires a boolean column, got %', vals[i], column_type;
                end if;
            when operators[i] in ('like', 'ilike', 'match', 'imatch') then
                if not exists (
                    select from pg_catalog.pg_operator
                    where oprname = case operators[i] when 'match' then '~' when 'imatch' then '~*' else '~~' end
                        and oprleft = column_type and (oprright = column_type or operators[i] like '%like')
                        and oprresult = 'boolean'::regtype
                ) then
                    raise exception 'operator % requires a text-compatible column type, got %', operators[i], column_type;
                end if;
                begin
                    perform case when operators[i] like '%match' then '' ~ vals[i] end;
                exception
                    when others then
                        raise exception 'invalid regular expression for % filter: %', operators[i], sqlerrm;
                end;
            else
                perform realtime.local_cast(vals[i], column_type);
                execute format('select array[(%L::%s)::text]', vals[i], column_type) into canonical;
        end case;
        type_oid := column_type;
        return next;
    end loop;
    if unknown is not null then
        raise exception 'invalid column for select %', unknown;
    end if;
end
$$;

-- Return once the transactions are visible to new statements: WAL reports a commit a moment before snapshots do.
create or replace function realtime.local_await(xids bigint[]) returns void
language plpgsql set search_path = '' as $$
declare
    newest bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    full_xids xid8[] := array(
        -- half an epoch of margin: a transaction under way may lie beyond what this snapshot reaches
        select (case when x > newest + (1::bigint << 31) then x - (1::bigint << 32) else x end)::text::xid8
        from (select (newest >> 32 << 32) + xid from unnest(xids) as xid) as of_this_epoch (x)
    );
begin
    for attempt in 1 .. 5000 loop
        exit when (select bool_and(pg_visible_in_snapshot(xid, pg_current_snapshot())) from unnest(full_xids) as xid);
        perform pg_sleep(0.0002);
    end loop;
end
$$;

-- The facts of a table for delivery: its primary key, whether RLS is on, its columns, and who may read what.
create or replace function realtime.local_table_facts(entity oid, roles text[], types oid[], xids bigint[]) returns jsonb
language plpgsql set search_path = '' as $$
begin
    perform realtime.local_await(xids);
    return (
        select jsonb_build_object(
            'rls', c.relrowsecurity,
            'name', c.oid::regclass::text,
            'key', coalesce((
                select jsonb_agg(a.attname) from pg_catalog.pg_index i
                join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
                where i.indrelid = c.oid and i.indisprimary
            ), '[]'),
            'columns', coalesce((
                select jsonb_agg(jsonb_build_array(a.attname, t.typname) order by a.attnum)
                from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
                where a.attrelid = c.oid and a.attnum > 0
            ), '[]'),
            'types', coalesce((
                select jsonb_object_agg(t.oid, jsonb_build_array(t.oid::regtype::text, t.typtype))
                from pg_catalog.pg_type t where t.oid = any(types)
            ), '{}'),
            'roles', coalesce((
                select jsonb_object_agg(r.rolname, jsonb_build_object(
                    'readable', coalesce((
                        select jsonb_agg(a.attname) from pg_catalog.pg_attribute a
                        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                            and has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')
                    ), '[]')
                )) from pg_catalog.pg_roles r where r.rolname = any(roles)
            ), '{}')
        )
        from pg_catalog.pg_class c where c.oid = entity
    );
end
$$;

-- The rows among those that `finder` selects by `keys` that each viewer (role, claims) may see. A policy that raises hides them
-- from that viewer alone, whose positions are null then.
create or replace function realtime.local_visible_rows(finder text, keys jsonb, viewers jsonb, xids bigint[])
returns table (viewer integer, positions integer[]) language plpgsql set search_path = '' as $$
declare
    who record;
begin
    perform realtime.local_await(xids);
    for who in
        select n::integer - 1 as n, v ->> 0 as role, v ->> 1 as claims
        from jsonb_array_elements(viewers) with ordinality as x (v, n)
    loop
        viewer := who.n;
        begin
            perform set_config('role', who.role, true), set_config('request.jwt.claims', who.claims, true);
            execute finder into positions using keys;
            perform set_config('role', 'none', true);
        exception
            when others then
                positions := null;
                raise log 'realtime: a policy failed for role %: %', who.role, sqlerrm;
        end;
        return next;
    end loop;
end
$$;

-- The rights that the policies on realtime.messages give a token on a topic. Probe rows are rolled back, so nobody receives them.
create or replace function realtime.local_topic_rights(
    requested_topic text, caller name, claims text,
    out read_broadcast boolean, out read_presence boolean, out write_broadcast boolean, out write_presence boolean
) language plpgsql set search_path = '' as $$
declare
    kind text;
    seen text[] := '{}';
    written text[] := '{}';
begin
    begin
        insert into realtime.messages (topic, extension, private)
        values (requested_topic, 'broadcast', true), (requested_topic, 'presence', true);
        perform set_config('realtime.topic', requested_topic, true), set_config('request.jwt.claims', claims, true),
            set_config('role', caller, true);
        seen := array(select extension from realtime.messages where topic = requested_topic and inserted_at = now()::timestamp);
        foreach kind in array array['broadcast', 'presence'] loop
            begin
                insert into realtime.messages (topic, extension, private) values (requested_topic, kind, true);
                written := written || kind;
            exception
                when insufficient_privilege then null;
            end;
        end loop;
        raise exception using errcode = 'RT000', message = 'undo the probes';
    exception
        when sqlstate 'RT000' then null;
    end;
    read_broadcast := 'broadcast' = any(seen);
    read_presence := 'presence' = any(seen);
    write_broadcast := 'broadcast' = any(written);
    write_presence := 'presence' = any(written);
end
$$;

revoke all on function realtime.local_cast(text, regtype) from public;
revoke all on function realtime.local_check_filters(regclass, name, text[], text[], text[], text[]) from public;
revoke all on function realtime.local_await(bigint[]) from public;
revoke all on function realtime.local_table_facts(oid, text[], oid[], bigint[]) from public;
revoke all on function realtime.local_visible_rows(text, jsonb, jsonb, bigint[]) from public;
revoke all on function realtime.local_topic_rights(text, name, text) from public;
