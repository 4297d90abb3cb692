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
