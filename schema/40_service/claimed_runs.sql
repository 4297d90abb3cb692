-- Claimed runs of these jobs as the executor receives them: the columns of each execution that it needs, and of its job, each
-- as an array, since there may be hundreds: that costs half as much as objects, and has half the bytes. It runs with the
-- settings of its caller. claim_lone has the same columns. -> {column: [value of each run]}
create or replace function job_scheduler.claimed_runs(executions uuid[], jobs bigint[])
returns json
language plpgsql
set search_path = ''
as $$
begin
    return (
        select case when count(*) = 0 then '{}' else json_build_object(
            'execution_id', array_agg(e.id), 'fence', array_agg(e.fence), 'scheduled_for', array_agg(e.scheduled_for),
            'run_at', array_agg(e.run_at), 'attempt', array_agg(e.attempt), 'cause', array_agg(e.cause),
            'test_mode', array_agg(e.test_mode), 'id', array_agg(j.id), 'revision', array_agg(j.revision),
            'job_id', array_agg(j.job_id), 'workspace_id', array_agg(j.workspace_id), 'created_by', array_agg(j.created_by),
            'name', array_agg(j.name), 'description', array_agg(j.description), 'handler', array_agg(j.handler),
            'metadata', array_agg(j.metadata), 'trigger_type', array_agg(j.trigger_type), 'run_date', array_agg(j.run_date),
            'schedule', array_agg(j.schedule), 'timezone', array_agg(j.timezone), 'last_run_at', array_agg(j.last_run_at),
            'priority', array_agg(j.priority), 'max_attempts', array_agg(j.max_attempts),
            'retry_delay_seconds', array_agg(j.retry_delay_seconds), 'retry_backoff', array_agg(j.retry_backoff),
            'timeout_seconds', array_agg(j.timeout_seconds), 'exposed_only', array_agg(j.exposed_only),
            'store_result', array_agg(j.store_result), 'traceparent', array_agg(j.traceparent)
        ) end
        from public.job_executions as e
        -- + 0: no index of the ledger by job is to look useful for this join
        inner join public.scheduled_jobs as j on e.scheduled_job_id + 0 = j.id
        where e.id = any(executions) and j.id = any(jobs)
    );
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
