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
