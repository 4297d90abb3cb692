-- Returns the runs that this transaction has replaced so far: their handlers are to stop, or not to begin.
create or replace function job_scheduler.stopped()
returns jsonb
language sql
stable
set search_path = ''
as $$
    select coalesce(nullif(current_setting('job_scheduler.stopped', true), ''), '[]')::jsonb
$$;
revoke all on function job_scheduler.stopped() from public;

-- Stops the runs of a job that the run of a due instant replaces; answers whether there were any.
create or replace function job_scheduler.stop_replaced(job bigint, run_for timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
    stopped jsonb;
begin
    with replaced as (
        update public.job_executions
        set
            status = 'cancelled', reason = 'overlap', completed_at = now(), lease_expires_at = null,
            started_at = case when started_at <= now() then started_at end, -- it may have been claimed ahead of its time
            duration_ms = case when started_at <= now() then extract(epoch from now() - started_at) * 1000 end,
            lateness_ms = case when started_at <= now() then extract(epoch from started_at - run_at) * 1000 end,
            fence = fence + 1
        where
            scheduled_job_id = job and status = 'running' and lease_expires_at is not null
            and cause = 'schedule' and stopped_at is null and scheduled_for <> run_for
        returning id
    )
    select jsonb_agg(r.id) into stopped from replaced as r;
    if stopped is null then
        return false;
    end if;
    perform job_scheduler.notify('stopped_runs', stopped);
    perform set_config('job_scheduler.stopped', (job_scheduler.stopped() || stopped)::text, true);
    update public.scheduled_jobs -- they began, so they use up max_runs: else nothing would
    set scheduled_runs = scheduled_runs + jsonb_array_length(stopped)
    where id = job;
    return true;
end
$$;
revoke all on function job_scheduler.stop_replaced(bigint, timestamptz) from public;
