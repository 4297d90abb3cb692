-- Marks the running run of a cancelled job: its end is entered, but does not change the job, not even if it was scheduled
-- again meanwhile.
create or replace function job_scheduler.mark_stopped(job bigint)
returns void
language sql
set search_path = ''
as $$
    update public.job_executions
    set stopped_at = now()
    where id in (
        select e.id from public.job_executions as e
        where e.scheduled_job_id = job and e.status = 'running' and e.stopped_at is null
        for update skip locked -- a transaction that writes its end now waits for this job, and finds it cancelled
    )
$$;
revoke all on function job_scheduler.mark_stopped(bigint) from public;

-- Cancelling a job that has ended stops its manual runs, and the job stays as it is. Written as an update of its status to
-- what it is, so that the policies decide who may.
create or replace function job_scheduler.stop_asked_for(job bigint)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform job_scheduler.mark_stopped(job);
    update public.job_executions
    set status = 'cancelled', reason = 'cancelled', completed_at = now()
    where scheduled_job_id = job and status = 'queued';
    perform job_scheduler.refresh_wake(job);
    perform job_scheduler.notify_stopped(job);
end
$$;
revoke all on function job_scheduler.stop_asked_for(bigint) from public;
