-- Ends runs whose lease expired, which the caller has locked with their jobs, and queues their next attempts at once.
create or replace function job_scheduler.end_lost_runs(lost uuid[], out jobs bigint[], out rescued bigint)
language plpgsql
set search_path = ''
as $$
begin
    with ended as (
        update public.job_executions as e
        set
            status = case
                when e.stopped_at is not null or j.status = 'cancelled' and e.cause = 'schedule' then 'cancelled'
                else 'failed'
            end,
            reason = 'lease_lost',
            error = 'the listener that ran this attempt went away before it ended',
            completed_at = now(),
            lease_expires_at = null,
            fence = e.fence + 1
        from public.scheduled_jobs as j
        where e.id = any(lost) and j.id = e.scheduled_job_id
        returning
            e.scheduled_job_id, e.workspace_id, e.created_by, e.scheduled_for, e.cause, e.attempt, e.test_mode,
            e.status = 'failed' and e.attempt < j.max_attempts as again
    ), next_attempt as (
        insert into public.job_executions
            (scheduled_job_id, workspace_id, created_by, scheduled_for, cause, attempt, status, test_mode, run_at)
        select
            e.scheduled_job_id, e.workspace_id, e.created_by, e.scheduled_for, e.cause, e.attempt + 1, 'queued',
            e.test_mode, now()
        from ended as e
        where e.again
        on conflict do nothing
    )
    select coalesce(array_agg(distinct e.scheduled_job_id), '{}'), count(*) into jobs, rescued from ended as e;
    perform job_scheduler.move_jobs(lost); -- the caller releases the keys
end
$$;
revoke all on function job_scheduler.end_lost_runs(uuid[]) from public;

-- Parks lost runs that cannot be ended, for which their rows are to blame: others were ended (`is_alone`), or those that were
-- not belong to one job or differ in what refuses them. Else an operator is to act, and the fault is raised again.
create or replace function job_scheduler.park_lost(failures jsonb, is_alone boolean)
returns void
language plpgsql
set search_path = ''
as $$
declare
    failure record;
begin
    select
        count(distinct e.scheduled_job_id) > 1 and count(distinct f.code) = 1 and not is_alone as is_general,
        min(f.code) as code, min(f.error) as error
    into failure
    from jsonb_to_recordset(failures) as f (execution_id uuid, error text, code text)
    inner join public.job_executions as e on f.execution_id = e.id;
    if failure.is_general then
        raise exception '%', failure.error using errcode = failure.code;
    end if;
    perform job_scheduler.park_run(f.execution_id, f.code || ' ' || f.error)
    from jsonb_to_recordset(failures) as f (execution_id uuid, error text, code text)
    where f.code ~ '^(2[123]|42|54|P0|XX)'; -- not what passes by itself, as a full disk does
end
$$;
revoke all on function job_scheduler.park_lost(jsonb, boolean) from public;

-- Takes runs from listeners that died; frees the keys that nobody holds any more. A run whose rows somebody has locked is
-- left for the next call, and one that cannot be ended does not delay the others.
-- {limit, key_concurrency, run_restored, and what job_scheduler.note_missing takes}
-- -> {now, rescued, rows: [job_row to arm], failures: [{execution_id, error, code}], unhandled: [job_row],
--   waiting: as job_scheduler.waiting_for_handlers or null, skipped: {reason: count}}
create or replace function public.rescue_runs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set lock_timeout = '2s'
as $$
declare
    lost uuid[];
    parked uuid[];
    execution uuid;
    one record;
    jobs bigint[] := '{}';
    rescued bigint := 0;
    failures jsonb := '[]';
    unhandled json := '[]';
begin
    perform set_config('job_scheduler.stage', 'service', true);
    perform job_scheduler.refuse_restored(request);
    perform job_scheduler.forget_transactions(250); -- Realtime delivers each, and drops what is more than 100 a second
    lost := array(
        select e.id
        from public.job_executions as e
        inner join public.scheduled_jobs as s on e.scheduled_job_id = s.id
        where
            e.status = 'running' and e.lease_expires_at < clock_timestamp()
            and not exists (select from job_scheduler.parked_runs as p where p.execution_id = e.id)
        order by e.lease_expires_at
        limit (request ->> 'limit')::int
        for update skip locked
    );
    if cardinality(lost) > 0 then
        begin
            select * into one from job_scheduler.end_lost_runs(lost);
            jobs := one.jobs;
            rescued := one.rescued;
        exception
            when serialization_failure or deadlock_detected or lock_not_available then
                raise;
            when others then
                -- Ending them one by one shows which run it is.
                foreach execution in array lost loop
                    begin
                        select * into one from job_scheduler.end_lost_runs(array[execution]);
                        jobs := jobs || one.jobs;
                        rescued := rescued + one.rescued;
                    exception when others then
                        failures := failures || jsonb_build_object(
                            'execution_id', execution, 'error', sqlerrm, 'code', sqlstate
                        );
                    end;
                end loop;
                perform job_scheduler.park_lost(failures, is_alone => rescued > 0);
        end;
    end if;
    parked := array(
        select e.id
        from job_scheduler.parked_runs as p
        inner join public.job_executions as e on p.execution_id = e.id
        inner join public.scheduled_jobs as s on e.scheduled_job_id = s.id
        where p.retry_at < now()
        limit 100
        for update skip locked
    );
    perform job_scheduler.park_run(p.execution_id, p.error)
    from job_scheduler.parked_runs as p
    where p.execution_id = any(parked);
    jobs := jobs || job_scheduler.release_keys(
        jobs || array(
            select min(e.scheduled_job_id)
            from public.job_executions as e
            inner join public.scheduled_jobs as s on e.scheduled_job_id = s.id
            where
                e.status = 'queued' and e.run_at is null
                and (e.cause = 'manual' or s.status = 'scheduled' or s.status = 'running' and s.overlap = 'allow')
            group by s.concurrency_key, coalesce(s.workspace_id, s.created_by)
            order by random() -- so that none is left out for ever
            limit 100
        ),
        coalesce((request ->> 'key_concurrency')::integer, 1)
    );
    if request ? 'handlers' then
        unhandled := job_scheduler.note_missing(request);
    end if;
    return json_build_object(
        'now', clock_timestamp(),
        'rescued', rescued,
        'rows', (
            select coalesce(json_agg(j.job_row), '[]') from job_scheduler.job_rows as j where j.id = any(jobs)
        ),
        'failures', failures,
        'unhandled', unhandled,
        'waiting', case when request ? 'handlers' then job_scheduler.waiting_for_handlers() end,
        'skipped', job_scheduler.skipped()
    );
end
$$;
revoke all on function public.rescue_runs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.rescue_runs_v1(jsonb) to service_role;
