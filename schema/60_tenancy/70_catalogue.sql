-- The catalogue of handlers: those that the listeners have, and those that a signed-in user may schedule.

-- Stores the handlers that a listener has, and deletes those that no listener has published for a week.
-- {listener, handlers: [{name, description, payload_schema, exposed}]} -> {now, published}
create or replace function public.publish_handlers_v1(request jsonb)
returns json
language plpgsql
security definer -- the catalogue decides what users may schedule, so it is nobody's to write
set search_path = ''
set lock_timeout = '2s'
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
    delete from public.job_handlers
    where name = any(array(
        select h.name from public.job_handlers as h where h.updated_at < now() - interval '7 days' for update skip locked
    ));
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

-- Refuses a payload that cannot fit the handler's schema: a missing key, one too many, a value of another kind, at any
-- depth. Where a schema has secrets, only plain values of fields that are none are shown.
create or replace function job_scheduler.check_payload(handler text, payload jsonb)
returns void
language plpgsql
stable
security definer -- see check_handler
set search_path = ''
as $$
declare
    schema constant jsonb := (select h.payload_schema from public.job_handlers as h where h.name = handler);
    -- a large payload costs no more than its size: beneath its top the model alone looks
    found constant jsonb := case when jsonb_typeof(payload) = 'object' then job_scheduler.misfit(
        payload, schema, schema -> '$defs', '', case when octet_length(payload::text) <= 16384 then 32 else 3 end
    ) end;
    property constant jsonb := found -> 'property';
    place constant text := coalesce(nullif(found ->> 'place', ''), 'metadata');
    may_show boolean;
begin
    if found is null then
        return;
    end if;
    may_show := not job_scheduler.has_secrets(schema)
        or found ->> 'kind' = 'wrong' and jsonb_typeof(found -> 'value') not in ('object', 'array')
        and property ->> 'type' in ('string', 'integer', 'number', 'boolean') and not job_scheduler.is_secret(property);
    perform job_scheduler.refuse(
        'metadata',
        case
            when found ->> 'kind' = 'missing' and may_show then found -> 'value'
            when found ->> 'kind' = 'missing' then to_jsonb('[redacted]'::text)
            else jsonb_build_object(place, case when may_show then found -> 'value' else '"[redacted]"' end)
        end,
        case found ->> 'kind'
            when 'missing' then format('the key "%s", which handler "%s" requires', place, handler)
            when 'surplus' then format('only the keys that handler "%s" has: %s', handler, coalesce((
                select left(string_agg(k.key, ', '), 300) from jsonb_object_keys(property -> 'properties') as k (key)
            ), 'none'))
            else format('"%s" of handler "%s" to be %s', place, handler, job_scheduler.words_for(property))
        end
    );
end
$$;

-- The handlers among these that may be scheduled, and those of them whose schema says something of the payload.
create or replace function job_scheduler.allowed_handlers(
    handlers text[], by_client boolean, out allowed text[], out demanding text[]
)
language plpgsql
stable
security definer -- see check_handler
set search_path = ''
set plan_cache_mode = force_generic_plan -- each insert calls it: planning anew costs a seventh of one
as $$
begin
    select
        array_agg(h.name),
        array_agg(h.name) filter (
            where h.payload_schema ?| array[
                'required', 'properties', 'additionalProperties', '$ref', 'anyOf', 'oneOf', 'allOf'
            ]
        )
    into allowed, demanding
    from public.job_handlers as h
    where h.name = any(handlers) and (h.exposed or not by_client);
end
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
    found constant record := job_scheduler.allowed_handlers(handlers, by_client);
begin
    if (handlers <@ found.allowed) is not true then
        perform job_scheduler.check_handler(h.name, by_client) from unnest(handlers) as h (name);
    end if;
    if found.demanding is not null then
        perform job_scheduler.check_payload(n.handler, n.metadata) from new_rows as n where n.handler = any(found.demanding);
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.admit_handlers() from public;

-- Notes whether a signed-in user defined a new job.
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
job_scheduler.allowed_handlers(text[], boolean)
from public;
grant execute on function
job_scheduler.check_handler(text, boolean), job_scheduler.check_payload(text, jsonb),
job_scheduler.allowed_handlers(text[], boolean)
to authenticated, service_role; -- their writes fire the triggers
