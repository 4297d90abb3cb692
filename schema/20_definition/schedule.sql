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
