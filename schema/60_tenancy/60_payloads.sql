-- Whether a payload can fit the schema of its handler.

-- Whether a value may be of the kind that a property's JSON schema says. Only what no reading of it could fix is refused
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
        or pattern !~ E'^([A-Za-z0-9 @:,_/=#~^$.|()-]|\\[[A-Za-z0-9 ^@:,_./+-]+\\][*+?]?|[])}A-Za-z0-9.][*+?]|\\{[0-9]{1,2}(,[0-9]{0,2})?\\}|\\\\[dws.+/-][*+?]?)+$' then
        return true;
    end if;
    return given ~ pattern or stripped ~ pattern;
exception when invalid_regular_expression then
    return true;
end
$$;
revoke all on function job_scheduler.is_formed(text, jsonb) from public;

-- The type and limits of a property, in words.
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
            return job_scheduler.misfit_of_object(given, property, definitions, wrong, within, depth);
        else null;
    end case;
    return found;
end
$$;
revoke all on function job_scheduler.misfit(jsonb, jsonb, jsonb, text, integer) from public;

-- The part of an object that cannot fit `property`: a missing key, one too many, or a value; `wrong` is the answer for the whole.
create or replace function job_scheduler.misfit_of_object(
    given jsonb, property jsonb, definitions jsonb, wrong jsonb, within text, depth integer
)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
    found jsonb;
    part record;
begin
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
    return found;
end
$$;
revoke all on function job_scheduler.misfit_of_object(jsonb, jsonb, jsonb, jsonb, text, integer) from public;
