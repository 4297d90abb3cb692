-- Functions that a client calls instead of writing status itself: the same rules, the same policies, clearer errors.
-- All are security invoker, so row level security decides what the caller may see and change.

-- Refuse because no such job exists for this caller; PostgREST answers PT404 with HTTP 404.
create or replace function job_scheduler.refuse_unknown_job(job bigint, act text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    raise exception 'no job % that you may %', coalesce(job::text, 'null'), act
    using errcode = 'PT404', hint = 'The job was deleted, belongs to somebody else, or never existed.';
end
$$;

-- Write `target` where the job's status is one of `sources` or is `target` already; returns the job as it is now.
create or replace function job_scheduler.move_job(job bigint, act text, target text, variadic sources text[])
returns public.scheduled_jobs
language plpgsql
set search_path = ''
as $$
declare
    moved public.scheduled_jobs;
    present text;
begin
    update public.scheduled_jobs as j set status = target
    where j.id = job and j.status = any(sources)
    returning j.* into moved;
    if found then
        return moved;
    end if;
    -- Locking applies the policy of updates, so a job that the caller may only read is not found.
    select j.* into moved from public.scheduled_jobs as j where j.id = job for no key update;
    present := moved.status;
    if present is null then
        perform job_scheduler.refuse_unknown_job(job, 'change');
    elsif target = 'cancelled' and present in ('completed', 'failed', 'cancelled')
        and (moved.claimed_by is not null or moved.queued_runs > 0) then
        -- The job has ended, but manual runs of it have not.
        perform set_config('job_scheduler.act', 'cancel', true);
        update public.scheduled_jobs as j set status = j.status where j.id = job returning j.* into moved;
        perform set_config('job_scheduler.act', '', true);
    elsif present <> target then
        raise exception 'scheduled_jobs.status: job % is "%" and cannot be %; expected %',
            job, present, act, array_to_string(sources, ' or ')
        using errcode = '22023';
    end if;
    return moved;
end
$$;

-- Cancel a job; if it runs, its handler is stopped. If the job has ended, its manual runs are stopped.
create or replace function public.cancel_job(job bigint)
returns public.scheduled_jobs
language sql
set search_path = ''
as $$
    select moved.* from job_scheduler.move_job(job, 'cancelled', 'cancelled', 'scheduled', 'paused', 'running') as moved
$$;

-- Hold a job until resume_job; a run under way goes on to its end.
create or replace function public.pause_job(job bigint)
returns public.scheduled_jobs
language sql
set search_path = ''
as $$
    select moved.* from job_scheduler.move_job(job, 'paused', 'paused', 'scheduled', 'running') as moved
$$;

-- Let a paused job run again on its schedule.
create or replace function public.resume_job(job bigint)
returns public.scheduled_jobs
language sql
set search_path = ''
as $$
    select moved.* from job_scheduler.move_job(job, 'resumed', 'scheduled', 'paused') as moved
$$;

-- Schedule a finished job again.
create or replace function public.retry_job(job bigint)
returns public.scheduled_jobs
language sql
set search_path = ''
as $$
    select moved.* from job_scheduler.move_job(job, 'retried', 'scheduled', 'completed', 'failed', 'cancelled') as moved
$$;
revoke all on function
public.cancel_job(bigint), public.pause_job(bigint), public.resume_job(bigint), public.retry_job(bigint),
job_scheduler.move_job(bigint, text, text, text[]), job_scheduler.refuse_unknown_job(bigint, text)
from public, anon, authenticated, service_role;
grant execute on function
public.cancel_job(bigint), public.pause_job(bigint), public.resume_job(bigint), public.retry_job(bigint),
job_scheduler.move_job(bigint, text, text, text[]), job_scheduler.refuse_unknown_job(bigint, text)
to authenticated, service_role;
