-- Finds the values that a schema marks secret, and removes them from a payload.

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
