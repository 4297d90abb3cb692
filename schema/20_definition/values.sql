-- Checks of single values: each refusal names the column, the value and what is allowed (errcode 22023, HTTP 400).
-- The database refuses malformed values at once; only the listener computes when a job is due.

-- The bound called `limit_name`, or null where an operator has removed it.
create or replace function job_scheduler.limit_of(limit_name text)
returns numeric
language sql
stable
set search_path = ''
as $$
    select bound.value from job_scheduler.limits as bound where bound.name = limit_name
$$;

-- Refuse `given` in the column; no other function words a refusal of a value.
create or replace function job_scheduler.refuse(
    column_name text, given jsonb, expected text, advice text default null
)
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
    shown text := coalesce(given::text, 'null');
begin
    if char_length(shown) > 120 then
        shown := left(shown, 120) || '…';
    end if;
    raise exception using
        errcode = '22023',
        message = format('scheduled_jobs.%s: %s is not allowed; expected %s', column_name, shown, expected),
        hint = coalesce(advice, 'Nothing was written. Correct the column and send the row again.'),
        schema = 'public',
        table = 'scheduled_jobs',
        column = column_name;
end
$$;

-- Refuse a text that is blank or longer than `longest` characters.
create or replace function job_scheduler.check_text(column_name text, given text, longest integer)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    if char_length(given) > longest or btrim(given, E' \t\r\n') = '' then
        perform job_scheduler.refuse(column_name, to_jsonb(given), format('1 to %s characters, not all blank', longest));
    end if;
end
$$;

-- Refuse a number outside of lowest..highest; NaN sorts above every number, so it is outside too.
create or replace function job_scheduler.check_number(column_name text, given numeric, lowest numeric, highest numeric)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    if given < lowest or given > highest then
        perform job_scheduler.refuse(
            column_name,
            case when given in ('NaN', 'Infinity', '-Infinity') then to_jsonb(given::text) else to_jsonb(given) end,
            format('a number from %s to %s', lowest, coalesce(highest::text, 'any'))
        );
    end if;
end
$$;

-- Refuse a word that is none of `allowed`.
create or replace function job_scheduler.check_word(column_name text, given text, variadic allowed text[])
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    if given <> all (allowed) then
        perform job_scheduler.refuse(column_name, to_jsonb(given), 'one of ' || array_to_string(allowed, ', '));
    end if;
end
$$;

-- Refuse an instant that Python cannot hold, or that is an obvious mistake.
create or replace function job_scheduler.check_instant(column_name text, given timestamptz)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    if given < '1970-01-01 00:00:00+00' or given >= '3000-01-01 00:00:00+00' then
        perform job_scheduler.refuse(column_name, to_jsonb(given), 'an instant in the years 1970 to 2999');
    end if;
end
$$;

-- Refuse a value that is no IANA zone in its own spelling; zones newer than the copy are looked up in PostgreSQL.
create or replace function job_scheduler.check_timezone(given text)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
    if exists (select from job_scheduler.timezones as zone where zone.name = given) then
        return;
    end if;
    -- PostgreSQL refuses most malformed zones here in microseconds, so that few values cost the slow look-up.
    perform now() at time zone given;
    if given ~ '^[A-Z][A-Za-z0-9_+-]*/[A-Za-z0-9_+/-]+$'
        and exists (select from pg_catalog.pg_timezone_names as zone where zone.name = given) then
        return;
    end if;
    raise exception using errcode = 'invalid_parameter_value';
exception
    when invalid_parameter_value then
        perform job_scheduler.refuse(
            'timezone', to_jsonb(given), 'an IANA time zone such as "Europe/Berlin"',
            'Zones are spelled as in the IANA database, upper and lower case included; an abbreviation or an offset'
            || ' is no zone, because it does not say when clocks change.'
        );
end
$$;

revoke all on function
job_scheduler.limit_of(text),
job_scheduler.refuse(text, jsonb, text, text),
job_scheduler.check_text(text, text, integer),
job_scheduler.check_number(text, numeric, numeric, numeric),
job_scheduler.check_word(text, text, variadic text[]),
job_scheduler.check_instant(text, timestamptz),
job_scheduler.check_timezone(text)
from public;
grant execute on function
job_scheduler.limit_of(text),
job_scheduler.refuse(text, jsonb, text, text),
job_scheduler.check_text(text, text, integer),
job_scheduler.check_number(text, numeric, numeric, numeric),
job_scheduler.check_word(text, text, variadic text[]),
job_scheduler.check_instant(text, timestamptz),
job_scheduler.check_timezone(text)
to authenticated, service_role; -- their writes fire the triggers that call them
