-- Ends a run whose end the database refuses, as far as it can be written: the run as failed, and its job so that it does
-- not run again. What is refused now is tried again later, without the handler.
create or replace function job_scheduler.park_run(execution uuid, why text)
returns void
language plpgsql
set search_path = ''
as $$
declare
    explanation constant text := 'unwritable: the database refused the end of the run: ' || why;
    is_written boolean := true;
    run public.job_executions;
begin
    select e.* into run from public.job_executions as e where e.id = execution;
    begin
        update public.job_executions
        set
            status = 'failed', reason = 'unwritable', error = explanation, completed_at = now(), lease_expires_at = null,
            fence = fence + 1
        where id = execution and status = 'running';
    exception
        when serialization_failure or deadlock_detected or lock_not_available then
            raise;
        when others then
            is_written := false;
    end;
    begin
        update public.scheduled_jobs as j
        set
            -- a paused one stays so, and ends when it is resumed: see mark_spent
            status = case when j.status = 'paused' then j.status else 'failed' end,
            due_at = case when j.status = 'paused' then now() end, is_planned = j.status <> 'paused', next_run_at = null,
            error = explanation, last_run_status = 'failed', last_run_at = run.started_at,
            total_runs = j.total_runs + 1, failed_runs = j.failed_runs + 1, scheduled_runs = j.scheduled_runs + 1,
            claimed_by = null, lease_expires_at = null, updated_at = now(),
            revision = job_scheduler.next_revision(j.revision), changed_in = pg_current_xact_id()::text::bigint
        where
            j.id = run.scheduled_job_id and j.status in ('running', 'paused') and run.cause = 'schedule'
            and not exists ( -- nothing else of it runs
                select from public.job_executions as o
                where
                    o.scheduled_job_id = j.id and o.id <> execution and o.status = 'running' and o.cause = 'schedule'
                    and o.lease_expires_at is not null
            );
    exception
        when serialization_failure or deadlock_detected or lock_not_available then
            raise;
        when others then
            is_written := false;
    end;
    if is_written then
        delete from job_scheduler.parked_runs where execution_id = execution;
    else
        insert into job_scheduler.parked_runs as p (execution_id, error, retry_at)
        values (execution, why, now() + interval '1 minute')
        on conflict (execution_id) do update
        set tries = p.tries + 1, retry_at = now() + least(interval '1 hour', interval '1 minute' * 2 ^ least(p.tries, 6));
    end if;
end
$$;
revoke all on function job_scheduler.park_run(uuid, text) from public;

-- Ends runs whose results the database refuses, though their neighbours' are written; says in the rows of jobs why they
-- cannot be claimed. A run whose rows somebody has locked is left to rescue_runs_v1, which parks it when its lease has expired.
-- {listener, runs: [{id, fence, error}], jobs: [{id, error}]} -> {now}
create or replace function public.park_runs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set lock_timeout = '2s' -- as in finish_runs_v1
as $$
declare
    one record;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    for one in
        select e.id, r.error
        from jsonb_to_recordset(request -> 'runs') as r (id uuid, fence integer, error text)
        inner join public.job_executions as e on r.id = e.id
        inner join public.scheduled_jobs as j on e.scheduled_job_id = j.id
        where e.status = 'running' and e.listener_id = (request ->> 'listener')::uuid and e.fence = r.fence
        order by e.id
        for update of e, j skip locked
    loop
        perform job_scheduler.park_run(one.id, one.error);
    end loop;
    for one in
        select j.id, r.error
        from jsonb_to_recordset(request -> 'jobs') as r (id bigint, error text)
        inner join public.scheduled_jobs as j on r.id = j.id
        where j.error is distinct from r.error
        order by j.id
        for update of j skip locked
    loop
        begin
            update public.scheduled_jobs set error = one.error, updated_at = now() where id = one.id;
        exception when others then
            continue; -- not even that can be written: the log of the listener has it
        end;
    end loop;
    return json_build_object('now', clock_timestamp());
end
$$;
revoke all on function public.park_runs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.park_runs_v1(jsonb) to service_role;
