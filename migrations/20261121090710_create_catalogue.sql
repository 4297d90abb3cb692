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

-- Whether a value may be of the kind that a property's JSON schema says. Only what no reading of it could mend is refused
-- ("5" may be a number, 0 a boolean, a number an instant); the handler's own model has the last word when the job runs.
create or replace function job_scheduler.may_be(given jsonb, property jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select case
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
revoke all on function job_scheduler.may_be(jsonb, jsonb) from public;

-- A bound that a schema sets, or null.
create or replace function job_scheduler.bound_of(property jsonb, bound text)
returns numeric
language sql
immutable
set search_path = ''
as $$
    select case jsonb_typeof(property -> bound) when 'number' then (property ->> bound)::numeric end
$$;
revoke all on function job_scheduler.bound_of(jsonb, text) from public;

-- Whether a number lies within the bounds; by less than a double's precision it may lie outside.
create or replace function job_scheduler.is_within(given numeric, property jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select
        given >= coalesce(b.least - abs(b.least) * 1e-12, given) and given <= coalesce(b.most + abs(b.most) * 1e-12, given)
        and coalesce(given <> b.above and given > b.above - abs(b.above) * 1e-12, true)
        and coalesce(given <> b.below and given < b.below + abs(b.below) * 1e-12, true)
    from (
        select
            job_scheduler.bound_of(property, 'minimum') as least, job_scheduler.bound_of(property, 'maximum') as most,
            job_scheduler.bound_of(property, 'exclusiveMinimum') as above,
            job_scheduler.bound_of(property, 'exclusiveMaximum') as below
    ) as b
$$;
revoke all on function job_scheduler.is_within(numeric, jsonb) from public;

-- Whether a text has the length and the form that it should. A model may strip it first. Of patterns only those are looked
-- at that mean the same here as in the handler's language, and of texts those of one line in ASCII.
create or replace function job_scheduler.is_formed(given text, property jsonb)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
declare
    stripped constant text := btrim(given, E' \t\r\n\f\v');
    pattern constant text := property ->> 'pattern';
begin
    if property ? 'format' then
        return true; -- what it is read as has a length of its own
    elsif char_length(given) < job_scheduler.bound_of(property, 'minLength')
        or char_length(stripped) > job_scheduler.bound_of(property, 'maxLength') then
        return false;
    elsif pattern is null or char_length(given) > 1000 or given ~ '[^ -~]' or char_length(pattern) > 200
        or pattern !~ '^([A-Za-z0-9 @:,_/=#~^$.|()-]|\[[A-Za-z0-9 ^@:,_./+-]+\][*+?]?|[])}A-Za-z0-9.][*+?]|\{[0-9]{1,2}(,[0-9]{0,2})?\}|\\[dws.+/-][*+?]?)+$' then
        return true;
    end if;
    return given ~ pattern or stripped ~ pattern;
exception when invalid_regular_expression then
    return true;
end
$$;
revoke all on function job_scheduler.is_formed(text, jsonb) from public;

-- What a property should be, in words.
create or replace function job_scheduler.words_for(property jsonb)
returns text
language sql
immutable
set search_path = ''
as $$
    select case
        when property ?| array['anyOf', 'oneOf'] then (
            select string_agg(job_scheduler.words_for(choice), ' or ')
            from jsonb_array_elements(coalesce(property -> 'anyOf', property -> 'oneOf')) as choice
        )
        when property ? 'enum' then 'one of ' || left(btrim((property -> 'enum')::text, '[]'), 300)
        when property ? 'const' then left((property -> 'const')::text, 300)
        when property ? '$ref' then regexp_replace(property ->> '$ref', '.*/', '')
        else coalesce(property ->> 'type', 'something else') || coalesce(' ' || (
            select string_agg(format(b.words, left(property ->> b.bound, 200)), ' and ' order by b.place)
            from (
                values
                (1, 'minimum', 'of at least %s'), (2, 'exclusiveMinimum', 'above %s'), (3, 'maximum', 'of at most %s'),
                (4, 'exclusiveMaximum', 'below %s'), (5, 'minLength', 'of at least %s characters'),
                (6, 'maxLength', 'of at most %s characters'), (7, 'pattern', 'of the form %s'),
                (8, 'minItems', 'of at least %s items'), (9, 'maxItems', 'of at most %s items')
            ) as b (place, bound, words)
            where property ? b.bound
        ), '')
    end
$$;
revoke all on function job_scheduler.words_for(jsonb) from public;

-- The first part of a value that cannot fit its schema: {kind: missing | surplus | wrong, place, value, property}; null
-- where all of it may. `depth` bounds how deep it looks; of a list, and of keys that the schema does not name, it looks at
-- the first 200.
create or replace function job_scheduler.misfit(given jsonb, property jsonb, definitions jsonb, place text, depth integer)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
    wrong constant jsonb := jsonb_build_object('kind', 'wrong', 'place', place, 'value', given, 'property', property);
    within constant text := case when place = '' then '' else place || '.' end;
    found jsonb;
    deepest jsonb;
    part record;
begin
    if jsonb_typeof(property) is distinct from 'object' or depth <= 0 or property ? 'x-lenient' then
        return null; -- the last: the model may make more of the value than its schema says
    elsif property ? '$ref' then
        return job_scheduler.misfit(
            given, definitions -> substr(property ->> '$ref', 9), definitions, place, depth - 1
        );
    elsif jsonb_typeof(coalesce(property -> 'anyOf', property -> 'oneOf')) = 'array' then
        for part in select c.choice from jsonb_array_elements(coalesce(property -> 'anyOf', property -> 'oneOf')) as c (choice) loop
            found := job_scheduler.misfit(given, part.choice, definitions, place, depth - 1);
            if found is null then
                return null;
            end if;
            deepest := coalesce(deepest, case when found ->> 'place' <> place then found end);
        end loop;
        return coalesce(deepest, wrong);
    elsif jsonb_typeof(property -> 'allOf') = 'array' then
        for part in select c.choice from jsonb_array_elements(property -> 'allOf') as c (choice) loop
            found := job_scheduler.misfit(given, part.choice, definitions, place, depth - 1);
            if found is not null then
                return found;
            end if;
        end loop;
    end if;
    if not job_scheduler.may_be(given, property) then
        return wrong;
    end if;
    case jsonb_typeof(given)
        when 'number' then
            if property ->> 'type' in ('integer', 'number')
                and not job_scheduler.is_within((given #>> '{}')::numeric, property) then
                return wrong;
            end if;
        when 'string' then
            if property ->> 'type' = 'string' and not job_scheduler.is_formed(given #>> '{}', property) then
                return wrong;
            end if;
        when 'array' then
            if jsonb_array_length(given) < job_scheduler.bound_of(property, 'minItems')
                or jsonb_array_length(given) > job_scheduler.bound_of(property, 'maxItems')
                and property -> 'uniqueItems' is distinct from 'true' then
                return wrong;
            elsif jsonb_typeof(property -> 'items') = 'object' and not property ? 'prefixItems' then
                for part in
                    select i.item, i.number - 1 as number
                    from jsonb_array_elements(given) with ordinality as i (item, number) limit 200
                loop
                    found := job_scheduler.misfit(
                        part.item, property -> 'items', definitions, within || part.number, depth - 1
                    );
                    exit when found is not null;
                end loop;
            end if;
        when 'object' then
            if jsonb_typeof(property -> 'required') = 'array' then
                for part in
                    select k.key from jsonb_array_elements_text(property -> 'required') as k (key)
                    where not given ? k.key limit 1
                loop
                    return wrong || jsonb_build_object('kind', 'missing', 'place', within || part.key);
                end loop;
            end if;
            if property -> 'additionalProperties' = 'false' and not property ? 'patternProperties' then
                for part in
                    select m.key, m.value from jsonb_each(given) as m
                    where (property -> 'properties' ? m.key) is not true limit 1
                loop
                    return wrong || jsonb_build_object(
                        'kind', 'surplus', 'place', within || part.key, 'value', part.value
                    );
                end loop;
            end if;
            for part in
                select p.key, given -> p.key as value, p.value as property
                from jsonb_each(
                    case jsonb_typeof(property -> 'properties') when 'object' then property -> 'properties' else '{}' end
                ) as p
                where given ? p.key
                union all (
                    select m.key, m.value, property -> 'additionalProperties' as property
                    from jsonb_each(given) as m
                    where
                        jsonb_typeof(property -> 'additionalProperties') = 'object' and not property ? 'patternProperties'
                        and (property -> 'properties' ? m.key) is not true
                    limit 200
                )
            loop
                found := job_scheduler.misfit(part.value, part.property, definitions, within || part.key, depth - 1);
                exit when found is not null;
            end loop;
        else null;
    end case;
    return found;
end
$$;
revoke all on function job_scheduler.misfit(jsonb, jsonb, jsonb, text, integer) from public;

-- Whether a schema marks a value as a secret: SecretStr, or json_schema_extra={"secret": True}.
create or replace function job_scheduler.is_secret(property jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select property @> '{"secret": true}' or property @> '{"format": "password", "writeOnly": true}'
$$;
revoke all on function job_scheduler.is_secret(jsonb) from public;

-- Whether anything in a schema is marked as a secret.
create or replace function job_scheduler.has_secrets(schema jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select schema::text ~ '"secret": (true|"by_name")|"writeOnly": true'
$$;
revoke all on function job_scheduler.has_secrets(jsonb) from public;

-- A value without what its schema marks as secret, for the audit.
create or replace function job_scheduler.without_secrets(given jsonb, property jsonb, definitions jsonb, depth integer)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
    covered jsonb := given;
    choice jsonb;
begin
    if jsonb_typeof(property) is distinct from 'object' or given = 'null' then
        return given;
    elsif depth <= 0 or job_scheduler.is_secret(property) then
        return '"[redacted]"';
    end if;
    if property ? '$ref' then
        covered := job_scheduler.without_secrets(
            covered, definitions -> substr(property ->> '$ref', 9), definitions, depth - 1
        );
    end if;
    for choice in
        select c.value
        from unnest(array[property -> 'anyOf', property -> 'oneOf', property -> 'allOf']) as branches (choices)
        cross join jsonb_array_elements(coalesce(branches.choices, '[]')) as c (value)
    loop
        covered := job_scheduler.without_secrets(covered, choice, definitions, depth - 1);
    end loop;
    if jsonb_typeof(covered) = 'object' and property ?| array['properties', 'additionalProperties', 'secret'] then
        return (
            select coalesce(jsonb_object_agg(m.key, case
                when property @> '{"secret": "by_name"}' then '"[redacted]"'
                else job_scheduler.without_secrets(
                    m.value, coalesce(property -> 'properties' -> m.key, property -> 'additionalProperties'),
                    definitions, depth - 1
                )
            end), '{}')
            from jsonb_each(covered) as m
        );
    elsif jsonb_typeof(covered) = 'array' and property ?| array['items', 'prefixItems'] then
        return (
            select coalesce(jsonb_agg(job_scheduler.without_secrets(
                i.item, coalesce(property -> 'prefixItems' -> (i.number::integer - 1), property -> 'items'),
                definitions, depth - 1
            ) order by i.number), '[]')
            from jsonb_array_elements(covered) with ordinality as i (item, number)
        );
    end if;
    return covered;
end
$$;
revoke all on function job_scheduler.without_secrets(jsonb, jsonb, jsonb, integer) from public;

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
    where h.name = any(handlers) and h.payload_schema ?| array[
        'required', 'properties', 'additionalProperties', '$ref', 'anyOf', 'oneOf', 'allOf'
    ]
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
