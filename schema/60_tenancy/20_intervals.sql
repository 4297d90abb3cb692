-- How close the due instants of a schedule can be.

-- All values of a cron field, in order.
create or replace function job_scheduler.cron_times(field text, highest integer)
returns integer[]
language sql
immutable
set search_path = ''
as $$
    select array_agg(distinct v.value order by v.value)
    from unnest(job_scheduler.cron_field(field, 0, highest, '{}')) as v (value)
$$;
revoke all on function job_scheduler.cron_times(text, integer) from public;

-- The least distance between two neighbours in an ascending list; null where there are no two.
create or replace function job_scheduler.least_step(ascending integer[])
returns integer
language sql
immutable
set search_path = ''
as $$
    select min(n.value - n.previous)
    from (select v.value, lag(v.value) over (order by v.value) as previous from unnest(ascending) as v (value)) as n
$$;
revoke all on function job_scheduler.least_step(integer[]) from public;

-- The least number of seconds between two due instants of a cron expression, as far as its fields say without a calendar:
-- within a day, and from each day to the next where it is due every day. Null where nothing can be said.
create or replace function job_scheduler.cron_interval(expression text)
returns integer
language plpgsql
immutable
set search_path = ''
as $$
declare
    field constant text[] := job_scheduler.cron_split(expression);
    seconds integer[];
    minutes integer[];
    hours integer[];
    first integer; -- the first second of a minute, then of an hour, then of a day that is due
    last integer;
    shortest integer;
begin
    if ltrim(expression, E' \t') like '@%' and field[2] = '0' then
        return 86400; -- @daily, or less often
    end if;
    seconds := job_scheduler.cron_times(coalesce(field[6], '0'), 59);
    minutes := job_scheduler.cron_times(field[1], 59);
    hours := job_scheduler.cron_times(field[2], 23);
    first := seconds[1];
    last := seconds[cardinality(seconds)];
    shortest := job_scheduler.least_step(seconds);
    shortest := least(shortest, 60 * job_scheduler.least_step(minutes) - last + first);
    first := first + 60 * minutes[1];
    last := last + 60 * minutes[cardinality(minutes)];
    shortest := least(shortest, 3600 * job_scheduler.least_step(hours) - last + first);
    if array[field[3], field[4], field[5]] <@ '{*,?}' then
        first := first + 3600 * hours[1];
        last := last + 3600 * hours[cardinality(hours)];
        shortest := least(shortest, 86400 - last + first);
    end if;
    return shortest;
end
$$;
revoke all on function job_scheduler.cron_interval(text) from public;

-- The least number of seconds between due instants of a job, or null where it has only one, or where that is unknown.
create or replace function job_scheduler.least_interval(trigger_type text, schedule jsonb)
returns numeric
language sql
immutable
set search_path = ''
as $$
    select case trigger_type
        when 'interval' then (schedule ->> 'seconds')::numeric
        when 'cron' then job_scheduler.cron_interval(schedule ->> 'expression')
        when 'once' then null
        else 86400
    end
$$;
revoke all on function job_scheduler.least_interval(text, jsonb) from public;
