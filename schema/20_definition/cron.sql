-- Returns the number of a word in a cron field; null where it is neither a number nor one of the names.
create or replace function job_scheduler.cron_number(word text, lowest integer, names text[])
returns integer
language sql
immutable
set search_path = ''
as $$
    select case when word ~ '^[0-9]' then word::integer else array_position(names, word) + lowest - 1 end
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
    step integer := coalesce(part[3], '1')::integer;
    first integer := case when part[1] = '*' then lowest else job_scheduler.cron_number(part[1], lowest, names) end;
    last integer := case
        when part[2] is not null then job_scheduler.cron_number(part[2], lowest, names)
        when part[1] = '*' or part[3] is not null then highest
        else first
    end;
begin
    if part is null or first is null or last is null or least(first, last) < lowest or greatest(first, last) > highest
        or (part[2] is not null and (part[1] = '*' or first = last)) or step not between 1 and highest - lowest + 1 then
        return null;
    elsif first = last then
        return array[first];
    elsif first > last then -- croniter wraps: 22-2 is 22, 23, 0, 1, 2; where its steps fall does not matter here
        return array(select generate_series(first, highest)) || array(select generate_series(lowest, last));
    end if;
    return array(select generate_series(first, last, step));
end
$$;

-- The values of a whole field, a list of elements (its two ends for "*"); null where one of them is none.
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
        return array[lowest, highest];
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

-- Refuse an expression whose field `place` is wrong, naming that field.
create or replace function job_scheduler.refuse_cron(expression text, field text, expected text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    perform job_scheduler.refuse(
        'schedule', jsonb_build_object('expression', expression), expected,
        case when field is not null then format('The field that does not fit is %s.', to_jsonb(field)) end
    );
end
$$;

-- Refuse days of the month that none of the months has; they would never be due.
create or replace function job_scheduler.check_cron_date(expression text, days integer[], months integer[])
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    if (select min(day) from unnest(days) as day)
        > (select max(('{31,29,31,30,31,30,31,31,30,31,30,31}'::integer[])[month]) from unnest(months) as month) then
        perform job_scheduler.refuse_cron(expression, null, 'a day of the month that one of its months has');
    end if;
end
$$;

-- Refuse days that do not fit: l (the last day) and 15w (the nearest weekday) in the month, mon#2 and l5 in the week.
create or replace function job_scheduler.check_cron_days(expression text, field text[])
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
    week_names constant text[] := '{sun,mon,tue,wed,thu,fri,sat}';
    nearest boolean := field[3] ~ '^([1-9]|[12][0-9]|3[01])w$';
    nth boolean := field[5] ~ '^((sun|mon|tue|wed|thu|fri|sat|[0-7])#[1-5]|l[0-7])'
        '(,((sun|mon|tue|wed|thu|fri|sat|[0-7])#[1-5]|l[0-7]))*$';
    days integer[] := job_scheduler.cron_field(
        regexp_replace(field[3], '(^|,)l(?=,|$)', E'\\131', 'g'), 1, 31, '{}'
    );
begin
    if not nearest and field[3] <> '?' and days is null then
        perform job_scheduler.refuse_cron(
            expression, field[3], 'day of month (field 3) to be 1-31, l for the last day, or 15w, such as 1,15 or */2'
        );
    elsif not nth and field[5] <> '?' and job_scheduler.cron_field(
        replace(field[5], '0-7', '*'), 0, 7, week_names
    ) is null then
        perform job_scheduler.refuse_cron(
            expression, field[5], 'day of week (field 5) to be 0-7 or sun-sat, mon#2 or l5, such as mon-fri or 1,3'
        );
    elsif (nearest and field[5] !~ '^[*?]$') or (nth and field[3] !~ '^[*?]$') then
        perform job_scheduler.refuse_cron(
            expression, null, 'w, # and l of the week only where the other day field is *'
        );
    elsif field[5] ~ '^[*?]' and field[3] !~ 'l' then -- else one of the two day fields is enough
        perform job_scheduler.check_cron_date(
            expression, days, job_scheduler.cron_field(
                field[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'
            )
        );
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
begin
    if jsonb_typeof(schedule -> 'expression') <> 'string' or char_length(expression) > longest then
        perform job_scheduler.refuse(
            'schedule', schedule, format('"expression" to be a text of at most %s characters', longest)
        );
    end if;
    if lower(expression) in ('@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@annually') then
        return;
    end if;
    field := regexp_split_to_array(btrim(lower(expression), E' \t'), E'[ \t]+');
    if cardinality(field) not between 5 and 6 or expression ~ E'[^ -~\t]' then
        perform job_scheduler.refuse_cron(
            expression, null,
            'five fields (minute hour day-of-month month day-of-week), a sixth for seconds, or an alias such as @daily'
        );
    elsif job_scheduler.cron_field(field[1], 0, 59, '{}') is null then
        perform job_scheduler.refuse_cron(expression, field[1], 'minute (field 1) to be 0-59, such as */5 or 0,30');
    elsif job_scheduler.cron_field(field[2], 0, 23, '{}') is null then
        perform job_scheduler.refuse_cron(expression, field[2], 'hour (field 2) to be 0-23, such as 9-17 or */2');
    elsif job_scheduler.cron_field(
        field[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'
    ) is null then
        perform job_scheduler.refuse_cron(expression, field[4], 'month (field 4) to be 1-12 or jan-dec, such as */3');
    elsif job_scheduler.cron_field(coalesce(field[6], '0'), 0, 59, '{}') is null then
        perform job_scheduler.refuse_cron(expression, field[6], 'second (field 6) to be 0-59, such as */10 or 0,30');
    end if;
    perform job_scheduler.check_cron_days(expression, field);
end
$$;

revoke all on function
job_scheduler.cron_number(text, integer, text[]),
job_scheduler.cron_values(text, integer, integer, text[]),
job_scheduler.cron_field(text, integer, integer, text[]),
job_scheduler.refuse_cron(text, text, text),
job_scheduler.check_cron_date(text, integer[], integer[]),
job_scheduler.check_cron_days(text, text[]),
job_scheduler.check_cron(jsonb)
from public;
grant execute on function
job_scheduler.cron_number(text, integer, text[]),
job_scheduler.cron_values(text, integer, integer, text[]),
job_scheduler.cron_field(text, integer, integer, text[]),
job_scheduler.refuse_cron(text, text, text),
job_scheduler.check_cron_date(text, integer[], integer[]),
job_scheduler.check_cron_days(text, text[]),
job_scheduler.check_cron(jsonb)
to authenticated, service_role; -- their writes fire the triggers that call them
