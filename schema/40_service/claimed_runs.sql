-- Claimed runs of these jobs as the executor receives them: the columns of each job that it needs, and of its execution. Rows
-- made into json as they are cost a third less than objects built key by key. It runs with the settings of its caller.
create or replace function job_scheduler.claimed_runs(executions uuid[], jobs bigint[])
returns json
language plpgsql
set search_path = ''
as $$
begin
    return (select coalesce(json_agg(r), '[]')
    from (
        select
            e.id as execution_id, e.fence, e.scheduled_for, e.run_at, e.attempt, e.cause, e.test_mode,
            j.id, j.revision, j.job_id, j.workspace_id, j.created_by, j.name, j.description, j.handler, j.metadata,
            j.trigger_type, j.run_date, j.schedule, j.timezone, j.last_run_at, j.priority, j.max_attempts,
            j.retry_delay_seconds, j.retry_backoff, j.timeout_seconds, j.exposed_only, j.store_result, j.traceparent
        from public.job_executions as e
        -- + 0: no index of the ledger by job is to look useful for this join
        inner join public.scheduled_jobs as j on e.scheduled_job_id + 0 = j.id
        where e.id = any(executions) and j.id = any(jobs)
    ) as r);
end
$$;
revoke all on function job_scheduler.claimed_runs(uuid[], bigint[]) from public;

-- Of these jobs all but the one-time jobs whose run somebody has claimed, which have nothing more to do. It runs with the
-- settings of its caller.
create or replace function job_scheduler.not_taken(jobs bigint[])
returns bigint[]
language plpgsql
set search_path = ''
as $$
begin
    return array(
        select i.id
        from unnest(jobs) as i (id)
        left join public.scheduled_jobs as j
            on
                i.id = j.id and j.id = any(jobs) and j.trigger_type = 'once'
                and j.status in ('running', 'completed', 'failed') and j.due_at is null and j.next_run_at is null
                and j.queued_runs = 0
        where j.id is null
    );
end
$$;
revoke all on function job_scheduler.not_taken(bigint[]) from public;

-- Lets the leases of runs that were claimed just now begin now.
create or replace function job_scheduler.lease_anew(executions uuid[], me uuid, good_until timestamptz)
returns void
language sql
set search_path = ''
as $$
    update public.job_executions set lease_expires_at = good_until where id = any(executions);
    update public.scheduled_jobs as j
    set lease_expires_at = good_until
    where j.claimed_by = me and j.id = any(
        array(select e.scheduled_job_id from public.job_executions as e where e.id = any(executions))
    );
$$;
revoke all on function job_scheduler.lease_anew(uuid[], uuid, timestamptz) from public;
