-- The catalogue of handlers: what the listeners can run, and which of it a signed-in user may schedule.

create table if not exists public.job_handlers (
    name text primary key,
    description text not null default '',
    payload_schema jsonb not null default '{}',
    exposed boolean not null default false,
    updated_at timestamptz not null default now()
);

comment on table public.job_handlers is
    'The handlers that listeners have; each publishes its own at its start and from time to time.';
comment on column public.job_handlers.payload_schema is 'The JSON schema of scheduled_jobs.metadata for this handler.';
comment on column public.job_handlers.exposed is
    'Whether signed-in users may schedule it; a handler acts with the powers of the service, so it must say so itself.';
comment on column public.job_handlers.updated_at is
    'When a listener last published it; seven days later it is forgotten.';

revoke all on table public.job_handlers from public, anon, authenticated, service_role;
grant select on table public.job_handlers to authenticated, service_role;
alter table public.job_handlers enable row level security;

drop policy if exists job_handlers_select on public.job_handlers;
create policy job_handlers_select on public.job_handlers
for select to authenticated
using ((select job_scheduler.caller()) is not null);

-- Enters what a listener can run, and forgets what no listener has published for a week.
-- {listener, handlers: [{name, description, payload_schema, exposed}]} -> {now, published}
create or replace function public.publish_handlers_v1(request jsonb)
returns json
language plpgsql
security definer -- the catalogue decides what users may schedule, so it is nobody's to write
set search_path = ''
as $$
declare
    published integer;
begin
    insert into public.job_handlers as h (name, description, payload_schema, exposed)
    select distinct on (p.name)
        p.name, coalesce(p.description, ''), coalesce(p.payload_schema, '{}'), coalesce(p.exposed, false)
    from jsonb_to_recordset(request -> 'handlers')
        as p (name text, description text, payload_schema jsonb, exposed boolean)
    order by p.name -- two listeners that start together take the rows in the same order
    on conflict (name) do update
    set
        description = excluded.description, payload_schema = excluded.payload_schema, exposed = excluded.exposed,
        updated_at = now();
    get diagnostics published = row_count;
    delete from public.job_handlers where updated_at < now() - interval '7 days';
    return json_build_object('now', clock_timestamp(), 'published', published);
end
$$;
revoke all on function public.publish_handlers_v1(jsonb) from public, anon, authenticated;
grant execute on function public.publish_handlers_v1(jsonb) to service_role;

-- The names of the handlers that a job may have, for messages.
create or replace function job_scheduler.handler_names(exposed_only boolean)
returns text
language sql
stable
set search_path = ''
as $$
    select
        coalesce(string_agg(to_jsonb(h.name)::text, ', ' order by h.name) filter (where h.place <= 20), 'none')
        || case when count(*) > 20 then format(' and %s more', count(*) - 20) else '' end
    from (
        select c.name, row_number() over (order by c.name) as place
        from public.job_handlers as c
        where c.exposed or not handler_names.exposed_only
    ) as h
$$;
revoke all on function job_scheduler.handler_names(boolean) from public;

-- Refuses a handler that the catalogue does not have, or does not have for clients. Before the first listener has started
-- the catalogue is empty, and only the service's own jobs are let through.
create or replace function job_scheduler.check_handler(handler text, by_client boolean)
returns void
language plpgsql
stable
security definer -- it decides about the catalogue as it is, not as the caller sees it
set search_path = ''
as $$
begin
    if exists (select from public.job_handlers as h where h.name = handler and (h.exposed or not by_client)) then
        return;
    elsif not exists (select from public.job_handlers) then
        if by_client then
            perform job_scheduler.refuse(
                'handler', to_jsonb(handler), 'a handler that a listener has published, and none has published any yet',
                'Start a listener: it publishes its handlers when it starts.'
            );
        end if;
    elsif by_client then
        perform job_scheduler.refuse(
            'handler', to_jsonb(handler),
            'a handler that is exposed to signed-in users: ' || job_scheduler.handler_names(exposed_only => true),
            'A handler is exposed by its declaration, @handler(…, exposed=True); else only the service key may schedule it.'
        );
    else
        perform job_scheduler.refuse(
            'handler', to_jsonb(handler),
            'a handler that a listener has published: ' || job_scheduler.handler_names(exposed_only => false),
            'A listener publishes its handlers when it starts: start the one that has this handler first.'
        );
    end if;
end
$$;

-- Whether a value may be what a property's JSON schema says. Only what no reading of it could mend is refused ("5" may
-- be a number, 0 a boolean, a number an instant); the handler's own model has the last word when the job runs.
create or replace function job_scheduler.may_fit(given jsonb, property jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select case
        when jsonb_typeof(property) <> 'object' then true
        when property ? 'anyOf' then (
            select bool_or(job_scheduler.may_fit(given, choice)) from jsonb_array_elements(property -> 'anyOf') as choice
        )
        when property ->> 'type' = 'string' and jsonb_typeof(given) = 'string' then
            coalesce(property -> 'enum' @> given, true) and coalesce(property -> 'const' = given, true)
        else case property ->> 'type'
            when 'string' then jsonb_typeof(given) = 'number' and property ? 'format'
            when 'integer' then case jsonb_typeof(given)
                when 'number' then (given #>> '{}')::numeric % 1 = 0
                when 'string' then given #>> '{}' ~ '[0-9]'
                else jsonb_typeof(given) = 'boolean'
            end
            when 'number' then jsonb_typeof(given) in ('number', 'boolean')
                or jsonb_typeof(given) = 'string' and given #>> '{}' ~* '[0-9]|inf|nan'
            when 'boolean' then jsonb_typeof(given) in ('boolean', 'number')
                or jsonb_typeof(given) = 'string' and lower(given #>> '{}') = any(
                    array['true', 'false', 't', 'f', 'yes', 'no', 'y', 'n', 'on', 'off', '1', '0']
                )
            when 'array' then jsonb_typeof(given) = 'array'
            when 'object' then jsonb_typeof(given) = 'object'
            when 'null' then jsonb_typeof(given) = 'null'
            else true
        end
    end
$$;
revoke all on function job_scheduler.may_fit(jsonb, jsonb) from public;

-- What a property should be, in words.
create or replace function job_scheduler.words_for(property jsonb)
returns text
language sql
immutable
set search_path = ''
as $$
    select case
        when property ? 'anyOf' then (
            select string_agg(job_scheduler.words_for(choice), ' or ') from jsonb_array_elements(property -> 'anyOf') as choice
        )
        when property ? 'enum' then 'one of ' || left(btrim((property -> 'enum')::text, '[]'), 300)
        when property ? 'const' then left((property -> 'const')::text, 300)
        else coalesce(property ->> 'type', 'something else')
    end
$$;
revoke all on function job_scheduler.words_for(jsonb) from public;

-- Refuses a payload whose top level cannot fit the handler's schema: a missing key, one too many, a value of another kind.
create or replace function job_scheduler.check_payload(handler text, payload jsonb)
returns void
language plpgsql
stable
security definer -- see check_handler
set search_path = ''
as $$
declare
    schema constant jsonb := (select h.payload_schema from public.job_handlers as h where h.name = handler);
    missing text;
    surplus text;
    wrong record;
begin
    if jsonb_typeof(schema) is distinct from 'object' or jsonb_typeof(payload) <> 'object' then
        return;
    end if;
    if jsonb_typeof(schema -> 'required') = 'array' then
        select k.key into missing
        from jsonb_array_elements_text(schema -> 'required') as k (key)
        where not payload ? k.key
        limit 1;
    end if;
    if schema -> 'additionalProperties' = 'false' then
        select k.key into surplus
        from jsonb_object_keys(payload) as k (key)
        where (schema -> 'properties' ? k.key) is not true
        limit 1;
    end if;
    select p.key, p.value, schema -> 'properties' -> p.key as property into wrong
    from jsonb_each(payload) as p
    where not job_scheduler.may_fit(p.value, schema -> 'properties' -> p.key)
    limit 1;
    if missing is not null then
        perform job_scheduler.refuse(
            'metadata', payload, format('the key "%s", which handler "%s" requires', missing, handler)
        );
    elsif surplus is not null then
        perform job_scheduler.refuse(
            'metadata', jsonb_build_object(surplus, payload -> surplus),
            format('only the keys that handler "%s" has: %s', handler, coalesce((
                select left(string_agg(k.key, ', '), 300) from jsonb_object_keys(schema -> 'properties') as k (key)
            ), 'none'))
        );
    elsif wrong.key is not null then
        perform job_scheduler.refuse(
            'metadata', jsonb_build_object(wrong.key, wrong.value),
            format('"%s" of handler "%s" to be %s', wrong.key, handler, job_scheduler.words_for(wrong.property))
        );
    end if;
end
$$;

-- Which of these handlers have a schema that says something of the payload.
create or replace function job_scheduler.demanding_handlers(handlers text[])
returns text[]
language sql
stable
security definer -- see check_handler
set search_path = ''
as $$
    select coalesce(array_agg(h.name), '{}')
    from public.job_handlers as h
    where h.name = any(handlers) and h.payload_schema ?| array['required', 'properties', 'additionalProperties']
$$;

-- All of a statement's new jobs at once, so that thousands cost about as much as one.
create or replace function job_scheduler.admit_handlers()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    by_client constant boolean := row_security_active('public.scheduled_jobs'::regclass);
    handlers constant text[] := array(select distinct n.handler from new_rows as n);
    demanding text[];
begin
    perform job_scheduler.check_handler(h.name, by_client) from unnest(handlers) as h (name);
    demanding := job_scheduler.demanding_handlers(handlers);
    if cardinality(demanding) > 0 then
        perform job_scheduler.check_payload(n.handler, n.metadata) from new_rows as n where n.handler = any(demanding);
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.admit_handlers() from public;

-- Notes who defined what a new job runs.
create or replace function job_scheduler.note_client()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if new.exposed_only is distinct from (case when tg_op = 'UPDATE' then old.exposed_only else false end) then
        raise exception 'scheduled_jobs.exposed_only is written by the service only; leave it out'
        using errcode = '42501', hint = 'A client writes the definition of a job and its status.';
    end if;
    if tg_op = 'INSERT' then
        new.exposed_only := true;
    end if;
    return new;
end
$$;
revoke all on function job_scheduler.note_client() from public;

-- An edited job is looked at like a new one, and is from then on the job of whoever edited what it runs.
create or replace function job_scheduler.admit_edit()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.exposed_only := row_security_active('public.scheduled_jobs'::regclass);
    perform job_scheduler.check_handler(new.handler, new.exposed_only);
    perform job_scheduler.check_payload(new.handler, new.metadata);
    return new;
end
$$;
revoke all on function job_scheduler.admit_edit() from public;

revoke all on function
job_scheduler.check_handler(text, boolean), job_scheduler.check_payload(text, jsonb),
job_scheduler.demanding_handlers(text[])
from public;
grant execute on function
job_scheduler.check_handler(text, boolean), job_scheduler.check_payload(text, jsonb),
job_scheduler.demanding_handlers(text[])
to authenticated, service_role; -- their writes fire the triggers

create or replace trigger a_note_client
before insert on public.scheduled_jobs
for each row when (new.exposed_only is not false or row_security_active('public.scheduled_jobs'::regclass))
execute function job_scheduler.note_client();

create or replace trigger a_note_client_still
before update of exposed_only on public.scheduled_jobs
for each row when (old.exposed_only is distinct from new.exposed_only)
execute function job_scheduler.note_client();

create or replace trigger d_admit_edit
before update of handler, metadata on public.scheduled_jobs
for each row when (old.handler is distinct from new.handler or old.metadata is distinct from new.metadata)
execute function job_scheduler.admit_edit();

create or replace trigger g_admit_handlers
after insert on public.scheduled_jobs
referencing new table as new_rows
for each statement execute function job_scheduler.admit_handlers();
