do $migration$
declare
    body constant text := $file$
-- Cron expressions, as listener/domain/cron_fields.py reads them: what one refuses the other refuses, with the same words.

-- Returns the fields of an expression in lower case, those of an alias where it is one.
create or replace function job_scheduler.cron_split(expression text)
returns text[]
language sql
immutable
set search_path = ''
as $$
    select case spelled.text
        when '@hourly' then '{0,*,*,*,*}'
        when '@daily' then '{0,0,*,*,*}'
        when '@midnight' then '{0,0,*,*,*}'
        when '@weekly' then '{0,0,*,*,0}'
        when '@monthly' then '{0,0,1,*,*}'
        when '@yearly' then '{0,0,1,1,*}'
        when '@annually' then '{0,0,1,1,*}'
        else regexp_split_to_array(spelled.text, E'[ \t]+')
    end
    from lower(btrim(expression, E' \t') collate "C") as spelled (text)
$$;

-- Returns the number of a word in a cron field; null where it is neither a number nor one of the names. Sunday is 0 and 7.
create or replace function job_scheduler.cron_number(word text, lowest integer, names text[])
returns integer
language sql
immutable
set search_path = ''
as $$
    select case
        when word !~ '^[0-9]' then array_position(names, word) + lowest - 1
        when names[1] = 'sun' and word::integer = 7 then 0
        else word::integer
    end
$$;

-- The values that one element of a cron field stands for, or null where it is none: *, 5, 1-5, mon-fri, */10, 5/10, 1-30/2.
-- Stricter than croniter on purpose: no "5-5" (it would mean every value), no step beyond the field.
create or replace function job_scheduler.cron_values(element text, lowest integer, highest integer, names text[])
returns integer[]
language plpgsql
immutable
set search_path = ''
as $$
declare
    part text[] := regexp_match(element, '^([*]|[0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?(?:/([0-9]{1,3}))?$');
    size integer := highest - lowest + 1;
    step integer := coalesce(part[3], '1')::integer;
    first integer := case when part[1] = '*' then lowest else job_scheduler.cron_number(part[1], lowest, names) end;
    last integer := case
        when part[2] is not null then job_scheduler.cron_number(part[2], lowest, names)
        when part[1] = '*' or part[3] is not null then highest
        else first
    end;
begin
    if part is null or first is null or last is null or least(first, last) < lowest or greatest(first, last) > highest
        or (part[2] is not null and (part[1] = '*' or first = last)) or step not between 1 and size then
        return null;
    elsif first = last then
        return array[first];
    elsif first > last then -- 22-2 goes on after the highest value
        last := last + size;
    end if;
    return array(select lowest + (value - lowest) % size from generate_series(first, last, step) as value);
end
$$;

-- The values of a whole field, a list of elements; null where one of them is none.
create or replace function job_scheduler.cron_field(field text, lowest integer, highest integer, names text[])
returns integer[]
language plpgsql
immutable
set search_path = ''
as $$
declare
    element text;
    found integer[];
    total integer[] := '{}';
begin
    if field = '*' then
        return array(select generate_series(lowest, highest));
    end if;
    foreach element in array string_to_array(field, ',') loop
        found := job_scheduler.cron_values(element, lowest, highest, names);
        if found is null or element = '*' then
            return null;
        end if;
        total := total || found;
    end loop;
    return nullif(total, '{}');
end
$$;

-- Whether each element of a day field is `special` or values.
create or replace function job_scheduler.cron_days_fit(
    field text, special text, lowest integer, highest integer, names text[]
)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
declare
    element text;
begin
    if field in ('*', '?') then
        return true;
    end if;
    foreach element in array string_to_array(field, ',') loop
        if element !~ special
            and (element = '*' or job_scheduler.cron_values(element, lowest, highest, names) is null) then
            return false;
        end if;
    end loop;
    return true;
end
$$;

-- How other programs write what an expression here does not say, with what says it; null where it is none of that.
create or replace function job_scheduler.cron_elsewhere(expression text)
returns text
language sql
immutable
set search_path = ''
as $$
    select case
        when plain.text ~ '^(cron_)?tz=' then 'no TZ= before the fields: the column "timezone" names the zone'
        when plain.text ~ '^@every'
            then 'no @every: trigger_type "interval" has a schedule such as {"seconds": 300}'
        when plain.text ~ '^@reboot' then 'no @reboot: a program inserts a job when it starts'
        when plain.text ~ '^(cron|rate) ?[(]'
            then 'the fields alone, without cron( ); for rate( ), trigger_type "interval"'
        when plain.text ~ '^([^ ]+ ){6}[0-9*?][^ ]*$'
            then 'five fields, or six with the second at the end: no year, since the column "ends_at" ends a job'
        when plain.text ~ '(^|[ ,])[hr]($|[ ,(/])|[0-9]~[0-9]'
            then 'numbers: H, R and ~ stand for values that are drawn at random'
        when plain.text ~ '^(?=.*[?])([^ ]+ ){5}[^ ]+$'
            then 'no ? beside six fields: here the last is the second; Quartz has it first, and AWS ends with a year'
    end
    from array_to_string(job_scheduler.cron_split(expression), ' ') as plain (text)
$$;

-- Refuse an expression whose field `field` is wrong, naming that field.
create or replace function job_scheduler.refuse_cron(expression text, field text, expected text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
    elsewhere text := job_scheduler.cron_elsewhere(expression);
begin
    perform job_scheduler.refuse(
        'schedule', jsonb_build_object('expression', expression), coalesce(elsewhere, expected),
        case when field is not null and elsewhere is null then format('The field that does not fit is %s.', to_jsonb(field)) end
    );
end
$$;

-- Refuse days of the month that none of the months has; they would never be due. L-3 needs a month of four days, 15W any.
create or replace function job_scheduler.check_cron_date(expression text, days text, months integer[])
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    if (
        select min(
            case
                when element ~ 'w$' then 1
                when element ~ '^l' then coalesce(nullif(substr(element, 3), '')::integer, 0) + 1
                else (select min(day) from unnest(job_scheduler.cron_values(element, 1, 31, '{}')) as day)
            end
        ) from unnest(string_to_array(days, ',')) as element
    ) > (select max(('{31,29,31,30,31,30,31,31,30,31,30,31}'::integer[])[month]) from unnest(months) as month) then
        perform job_scheduler.refuse_cron(expression, null, 'a day of the month that one of its months has');
    end if;
end
$$;

-- Refuse a field of an expression.
create or replace function job_scheduler.check_cron_fields(expression text, field text[])
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
    month_names constant text[] := '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
    week_names constant text[] := '{sun,mon,tue,wed,thu,fri,sat}';
    of_month constant text := '^(l(-([1-9]|[12][0-9]|30))?|(l|[1-9]|[12][0-9]|3[01])w)$';
    of_week constant text := '^((sun|mon|tue|wed|thu|fri|sat|[0-7])(#[1-5]|l)|l[0-7])$';
    months integer[] := case when field[4] <> '*' then job_scheduler.cron_field(field[4], 1, 12, month_names) end;
begin
    if field[1] <> '*' and job_scheduler.cron_field(field[1], 0, 59, '{}') is null then
        perform job_scheduler.refuse_cron(expression, field[1], 'minute (field 1) to be 0-59, such as */5 or 0,30');
    elsif field[2] <> '*' and job_scheduler.cron_field(field[2], 0, 23, '{}') is null then
        perform job_scheduler.refuse_cron(expression, field[2], 'hour (field 2) to be 0-23, such as 9-17 or */2');
    elsif field[3] <> '*' and not job_scheduler.cron_days_fit(field[3], of_month, 1, 31, '{}') then
        perform job_scheduler.refuse_cron(
            expression, field[3], 'day of month (field 3) to be 1-31, L, L-3, LW or 15W, such as 1,15 or */2'
        );
    elsif field[4] <> '*' and months is null then
        perform job_scheduler.refuse_cron(expression, field[4], 'month (field 4) to be 1-12 or jan-dec, such as */3');
    elsif field[5] <> '*' and not job_scheduler.cron_days_fit(
        regexp_replace(field[5], '(?<![0-9])(0|sun)-7(?![0-9])', '0-6', 'g'), of_week, 0, 6, week_names
    ) then
        perform job_scheduler.refuse_cron(
            expression, field[5],
            'day of week (field 5) to be 0-7 or sun-sat, mon#2 or friL, such as mon-fri or 1,3'
        );
    elsif coalesce(field[6], '*') <> '*' and job_scheduler.cron_field(field[6], 0, 59, '{}') is null then
        perform job_scheduler.refuse_cron(expression, field[6], 'second (field 6) to be 0-59, such as */10 or 0,30');
    elsif (field[3] ~ 'w' and field[5] not in ('*', '?')) or (field[5] ~ '#|l' and field[3] not in ('*', '?')) then
        perform job_scheduler.refuse_cron(
            expression, null, 'W, # and L of the week only where the other day field is * or ?'
        );
    elsif months is not null and field[5] ~ '^[*?]' then -- else one of the two day fields is enough
        perform job_scheduler.check_cron_date(expression, field[3], months);
    end if;
end
$$;

-- Refuse expressions that croniter would refuse, and probable mistakes that it would accept.
create or replace function job_scheduler.check_cron(schedule jsonb)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
    longest numeric := least(job_scheduler.limit_of('max_expression_length'), 255);
    expression text := schedule ->> 'expression';
    field text[];
    whole constant text :=
        'five fields (minute hour day-of-month month day-of-week), a sixth for seconds, or an alias such as @daily';
begin
    if jsonb_typeof(schedule -> 'expression') <> 'string' or char_length(expression) > longest then
        perform job_scheduler.refuse(
            'schedule', schedule, format('"expression" to be a text of at most %s characters', longest)
        );
    elsif expression ~ E'[^ -~\t]' then
        perform job_scheduler.refuse('schedule', schedule, whole);
    end if;
    field := job_scheduler.cron_split(expression);
    if cardinality(field) not between 5 and 6 or (cardinality(field) = 6 and '?' = any(field)) then
        perform job_scheduler.refuse_cron(expression, null, whole);
    end if;
    perform job_scheduler.check_cron_fields(expression, field);
end
$$;

revoke all on function
job_scheduler.cron_split(text),
job_scheduler.cron_number(text, integer, text[]),
job_scheduler.cron_values(text, integer, integer, text[]),
job_scheduler.cron_field(text, integer, integer, text[]),
job_scheduler.cron_days_fit(text, text, integer, integer, text[]),
job_scheduler.cron_elsewhere(text),
job_scheduler.refuse_cron(text, text, text),
job_scheduler.check_cron_date(text, text, integer[]),
job_scheduler.check_cron_fields(text, text[]),
job_scheduler.check_cron(jsonb)
from public;
grant execute on function
job_scheduler.cron_split(text),
job_scheduler.cron_number(text, integer, text[]),
job_scheduler.cron_values(text, integer, integer, text[]),
job_scheduler.cron_field(text, integer, integer, text[]),
job_scheduler.cron_days_fit(text, text, integer, integer, text[]),
job_scheduler.cron_elsewhere(text),
job_scheduler.refuse_cron(text, text, text),
job_scheduler.check_cron_date(text, text, integer[]),
job_scheduler.check_cron_fields(text, text[]),
job_scheduler.check_cron(jsonb)
to authenticated, service_role; -- their writes fire the triggers that call them

-- Refuse metadata that is no object, too large, too deep, or that has numbers which no double can be.
create or replace function job_scheduler.check_metadata(metadata jsonb)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
    as_text constant text := metadata::text;
    bytes constant integer := octet_length(as_text);
    most constant numeric := job_scheduler.limit_of('max_metadata_bytes');
begin
    if jsonb_typeof(metadata) <> 'object' then
        perform job_scheduler.refuse(
            'metadata',
            case jsonb_typeof(metadata)
                when 'string' then to_jsonb(format('text of %s characters', char_length(metadata #>> '{}'))) -- may hold secrets
                else metadata
            end,
            'an object', 'Nothing was written. Send the object itself, not a text of JSON.'
        );
    elsif bytes > most then
        perform job_scheduler.refuse('metadata', to_jsonb(format('%s bytes', bytes)), format('at most %s bytes', most));
    elsif bytes - octet_length(translate(as_text, '[{', '')) > 100
        and metadata @? 'strict $.**{100} ? (@.type() == "array" || @.type() == "object")' then
        -- A listener reads the answers to its claims with limits of this kind: one payload beyond them would make the
        -- answer for all unreadable, again and again.
        perform job_scheduler.refuse('metadata', to_jsonb('a deep value'::text), 'at most 100 levels of lists and objects');
    elsif bytes > 308 and as_text ~ '[0-9]{250}'
        and metadata @? 'strict $.** ? (@.type() == "number" && (@ >= 1e308 || @ <= -1e308))' then
        perform job_scheduler.refuse('metadata', to_jsonb('a number of many digits'::text), 'numbers between -1e308 and 1e308');
    end if;
end
$$;

-- Refuse retry and time limits that are out of bounds.
create or replace function job_scheduler.check_limits(job public.scheduled_jobs)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
    perform job_scheduler.check_number('max_attempts', job.max_attempts, 1, job_scheduler.limit_of('max_attempts'));
    perform job_scheduler.check_number(
        'retry_delay_seconds', job.retry_delay_seconds, 0, job_scheduler.limit_of('max_retry_delay_seconds')
    );
    perform job_scheduler.check_number('retry_backoff', job.retry_backoff, 1, 100);
    perform job_scheduler.check_number(
        'timeout_seconds', job.timeout_seconds, 0.001, job_scheduler.limit_of('max_timeout_seconds')
    );
    perform job_scheduler.check_number(
        'misfire_grace_seconds', job.misfire_grace_seconds, 0, job_scheduler.limit_of('max_misfire_grace_seconds')
    );
end
$$;

-- Refuse the first column that is null and must not be.
create or replace function job_scheduler.refuse_null(job public.scheduled_jobs)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
    of_job constant jsonb := to_jsonb(job);
    column_name text;
begin
    foreach column_name in array array[
        'handler', 'job_id', 'metadata', 'trigger_type', 'run_date', 'schedule', 'timezone', 'status', 'max_attempts',
        'retry_delay_seconds', 'retry_backoff', 'timeout_seconds', 'priority', 'overlap', 'misfire', 'misfire_grace_seconds',
        'dst_gap', 'dst_fold', 'test_mode', 'store_result'
    ] loop
        if of_job -> column_name = 'null' then
            perform job_scheduler.refuse(
                column_name, null,
                case column_name when 'handler' then '1 to 200 characters, not all blank' else 'a value; left out, it has its default' end,
                'A bulk insert of supabase-js sends null for each column that a row lacks, unless it has { defaultToNull: false }.'
            );
        end if;
    end loop;
end
$$;
revoke all on function job_scheduler.refuse_null(public.scheduled_jobs) from public;
grant execute on function job_scheduler.refuse_null(public.scheduled_jobs) to authenticated, service_role;

-- Refuse a job that is not well formed. Security definer: it reads the limits and zones, which clients may not.
-- Called for every row written, so columns at their defaults are skipped.
create or replace function job_scheduler.check_definition(job public.scheduled_jobs)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    if not (
        (
            job.handler, job.job_id, job.metadata, job.trigger_type, job.run_date, job.schedule, job.timezone, job.status,
            job.max_attempts, job.retry_delay_seconds, job.retry_backoff, job.timeout_seconds, job.priority, job.overlap,
            job.misfire, job.misfire_grace_seconds, job.dst_gap, job.dst_fold, job.test_mode, job.store_result
        ) is not null
    ) then
        perform job_scheduler.refuse_null(job);
    end if;
    perform job_scheduler.check_text('handler', job.handler, 200);
    if char_length(job.job_id) not between 1 and 200 or job.concurrency_key is not null
        or job.name is not null or job.description is not null or job.job_type is not null then
        perform job_scheduler.check_text('job_id', job.job_id, 200);
        perform job_scheduler.check_text('concurrency_key', job.concurrency_key, 200);
        perform job_scheduler.check_text('job_type', job.job_type, 200);
        perform job_scheduler.check_text('name', nullif(job.name, ''), 500);
        perform job_scheduler.check_text('description', nullif(job.description, ''), 10000);
    end if;
    if job.metadata <> '{}' then
        perform job_scheduler.check_metadata(job.metadata);
    end if;
    if job.run_date < '1970-01-01 00:00:00+00' or job.run_date >= '3000-01-01 00:00:00+00' then
        perform job_scheduler.check_instant('run_date', job.run_date);
    end if;
    if job.trigger_type <> 'once' or job.schedule <> '{}' then
        perform job_scheduler.check_word(
            'trigger_type', job.trigger_type, 'once', 'daily', 'weekly', 'monthly', 'interval', 'cron'
        );
        perform job_scheduler.check_schedule(job.trigger_type, job.schedule);
    end if;
    if job.timezone <> 'UTC' then
        perform job_scheduler.check_timezone(job.timezone);
    end if;
    if job.ends_at is not null or job.max_runs is not null then
        perform job_scheduler.check_instant('ends_at', job.ends_at);
        perform job_scheduler.check_number('max_runs', job.max_runs, 1, 2147483647);
        if job.trigger_type <> 'once' and job.ends_at <= job.run_date then
            perform job_scheduler.refuse(
                'ends_at', to_jsonb(job.ends_at), format('an instant after run_date (%s)', to_jsonb(job.run_date) #>> '{}')
            );
        end if;
    end if;
    if (job.max_attempts, job.retry_delay_seconds, job.retry_backoff, job.timeout_seconds, job.misfire_grace_seconds)
        <> (4, 5, 2, 300, 60) then
        perform job_scheduler.check_limits(job);
    end if;
    if (job.overlap, job.misfire, job.dst_gap, job.dst_fold) <> ('skip', 'run_once', 'run_after', 'first') then
        perform job_scheduler.check_word('overlap', job.overlap, 'skip', 'queue', 'allow', 'replace');
        perform job_scheduler.check_word('misfire', job.misfire, 'run_once', 'run_all', 'skip');
        perform job_scheduler.check_word('dst_gap', job.dst_gap, 'run_after', 'skip');
        perform job_scheduler.check_word('dst_fold', job.dst_fold, 'first', 'second', 'both');
    end if;
end
$$;

-- Refuse a retention that is no number, NaN and infinity included: the cleaner computes with all jobs' retentions at once. Refuse
-- a trace context that is none; one in a header is left out instead.
create or replace function job_scheduler.check_optional()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform job_scheduler.check_number('cleanup_after_days', new.cleanup_after_days, 0.00001, 36500);
    if not job_scheduler.is_trace(new.traceparent) then
        perform job_scheduler.refuse(
            'traceparent', to_jsonb(left(new.traceparent, 100)),
            'a W3C trace context such as "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"'
        );
    end if;
    return new;
end
$$;
revoke all on function job_scheduler.check_optional() from public;
revoke all on function job_scheduler.check_definition(public.scheduled_jobs) from public;
grant execute on function job_scheduler.check_definition(public.scheduled_jobs) to authenticated, service_role;

revoke all on function
job_scheduler.check_metadata(jsonb),
job_scheduler.check_limits(public.scheduled_jobs)
from public;
grant execute on function
job_scheduler.check_metadata(jsonb),
job_scheduler.check_limits(public.scheduled_jobs)
to authenticated, service_role; -- their writes fire the triggers that call them

-- Refuse a schedule whose keys are not those that its trigger has.
create or replace function job_scheduler.check_schedule_keys(schedule jsonb, required text[], optional text[])
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
    wanted text := '{' || array_to_string(
        array(select format('"%s"', key) from unnest(required) as key)
        || array(select format('"%s" (optional)', key) from unnest(optional) as key), ', '
    ) || '}';
begin
    if jsonb_typeof(schedule) <> 'object' or not schedule ?& required or schedule - (required || optional) <> '{}' then
        perform job_scheduler.refuse('schedule', schedule, 'an object with exactly the keys ' || wanted);
    end if;
end
$$;

-- Refuse a "time" that is no time of day.
create or replace function job_scheduler.check_time_of_day(schedule jsonb)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    if jsonb_typeof(schedule -> 'time') <> 'string'
        or schedule ->> 'time' !~ '^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$' then
        perform job_scheduler.refuse(
            'schedule', schedule, '"time" to be a time of day from "00:00" to "23:59", written "HH:MM" or "HH:MM:SS"'
        );
    end if;
end
$$;

-- Refuse "days" that are not between one and sixty-two of `allowed`.
create or replace function job_scheduler.check_days(schedule jsonb, allowed jsonb, expected text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
    days jsonb := schedule -> 'days';
begin
    if jsonb_typeof(days) <> 'array'
        or jsonb_array_length(case jsonb_typeof(days) when 'array' then days else '[]' end) not between 1 and 62
        or not allowed @> days then
        perform job_scheduler.refuse('schedule', schedule, '"days" to be a list of ' || expected);
    end if;
end
$$;

-- Refuse "seconds" that are no number within the limits.
create or replace function job_scheduler.check_interval(schedule jsonb)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
    lowest numeric := greatest(job_scheduler.limit_of('min_interval_seconds'), 1);
    highest numeric := least(job_scheduler.limit_of('max_interval_seconds'), 315360000);
    seconds numeric;
begin
    if jsonb_typeof(schedule -> 'seconds') = 'number' then
        seconds := (schedule ->> 'seconds')::numeric;
    end if;
    if seconds is null or seconds < lowest or seconds > highest then
        perform job_scheduler.refuse(
            'schedule', schedule, format('"seconds" to be a number from %s to %s', lowest, highest)
        );
    end if;
end
$$;

-- Refuse a schedule that its trigger cannot have.
create or replace function job_scheduler.check_schedule(trigger_type text, schedule jsonb)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
    case trigger_type
        when 'once' then
            perform job_scheduler.check_schedule_keys(schedule, '{}', '{}');
        when 'daily' then
            perform job_scheduler.check_schedule_keys(schedule, '{time}', '{}');
            perform job_scheduler.check_time_of_day(schedule);
        when 'weekly' then
            perform job_scheduler.check_schedule_keys(schedule, '{time,days}', '{}');
            perform job_scheduler.check_time_of_day(schedule);
            perform job_scheduler.check_days(
                schedule, '["monday","tuesday","wednesday","thursday","friday","saturday","sunday"]',
                'weekdays from "monday" to "sunday"'
            );
        when 'monthly' then
            perform job_scheduler.check_schedule_keys(schedule, '{time,days}', '{missing_day}');
            perform job_scheduler.check_time_of_day(schedule);
            perform job_scheduler.check_days(
                schedule, (
                    select jsonb_agg(day) from generate_series(-31, 31) as day where day <> 0
                ), 'days from 1 to 31, or from -1 (the last day) to -31'
            );
            if schedule ? 'missing_day' and schedule -> 'missing_day' not in ('"last"', '"skip"') then
                perform job_scheduler.refuse('schedule', schedule, '"missing_day" to be "last" or "skip"');
            end if;
        when 'interval' then
            perform job_scheduler.check_schedule_keys(schedule, '{seconds}', '{}');
            perform job_scheduler.check_interval(schedule);
        when 'cron' then
            perform job_scheduler.check_schedule_keys(schedule, '{expression}', '{}');
            perform job_scheduler.check_cron(schedule);
    end case;
end
$$;

revoke all on function
job_scheduler.check_schedule_keys(jsonb, text[], text[]),
job_scheduler.check_time_of_day(jsonb),
job_scheduler.check_days(jsonb, jsonb, text),
job_scheduler.check_interval(jsonb),
job_scheduler.check_schedule(text, jsonb)
from public;
grant execute on function
job_scheduler.check_schedule_keys(jsonb, text[], text[]),
job_scheduler.check_time_of_day(jsonb),
job_scheduler.check_days(jsonb, jsonb, text),
job_scheduler.check_interval(jsonb),
job_scheduler.check_schedule(text, jsonb)
to authenticated, service_role; -- their writes fire the triggers that call them

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
$file$;
    left_alone constant text := null;
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090100') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090100', 'check_definition', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
