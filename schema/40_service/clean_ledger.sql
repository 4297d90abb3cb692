-- Those of these jobs of whose ledger nobody has locked a row: deleting a job deletes its ledger.
create or replace function job_scheduler.with_free_ledger(jobs bigint[])
returns bigint[]
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan -- with the array at hand it is hashed
as $$
declare
    free constant uuid[] := array(
        select e.id from public.job_executions as e where e.scheduled_job_id = any(jobs) for update skip locked
    );
begin
    return array(
        select j.id
        from unnest(jobs) as j (id)
        where not exists (
            select from public.job_executions as e
            where e.scheduled_job_id = j.id and e.id <> all(free)
        )
    );
end
$$;
revoke all on function job_scheduler.with_free_ledger(bigint[]) from public;

-- Deletes these rows, and returns how many; one that cannot be deleted, because a project's trigger or reference refuses it
-- or somebody has locked a row that goes with it, does not stop the others.
create or replace function job_scheduler.forget(old_runs uuid[], old_jobs bigint[])
returns integer
language plpgsql
set search_path = ''
as $$
declare
    run uuid;
    job bigint;
    deleted integer;
    total integer := 0;
begin
    begin
        delete from public.job_executions where id = any(old_runs);
        get diagnostics deleted = row_count;
        total := deleted;
        delete from public.scheduled_jobs where id = any(old_jobs);
        get diagnostics deleted = row_count;
        return total + deleted;
    exception
        when serialization_failure or deadlock_detected then
            raise;
        when others then
            total := 0;
    end;
    if cardinality(old_runs) + cardinality(old_jobs) <= 1 then
        return 0;
    end if;
    foreach run in array old_runs loop
        total := total + job_scheduler.forget(array[run], '{}');
    end loop;
    foreach job in array old_jobs loop
        total := total + job_scheduler.forget('{}', array[job]);
    end loop;
    return total;
end
$$;
revoke all on function job_scheduler.forget(uuid[], bigint[]) from public;

-- Deletes expired rows: final ledger rows, jobs that ended and will not run again, the audit, notifications and deliveries.
-- {retention_days, limit} -> {deleted, acts}: runs and jobs, and what else; at most `limit` of each kind
create or replace function public.clean_ledger_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set lock_timeout = '100ms' -- of a row that goes with those that are locked here
as $$
declare
    retention_days constant numeric := (request ->> 'retention_days')::numeric;
    -- the least retention of all: younger rows need not be read
    youngest constant timestamptz := now() - least(
        retention_days, (select min(j.cleanup_after_days) from public.scheduled_jobs as j)
    )::double precision * interval '1 day';
    old_runs uuid[];
    old_jobs bigint[];
    deleted integer;
    acts integer;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    if job_scheduler.is_restored() then -- what was restored is to be looked at first
        return json_build_object('now', clock_timestamp(), 'deleted', 0, 'acts', 0);
    end if;
    old_runs := array(
        select e.id
        from public.job_executions as e
        inner join public.scheduled_jobs as j on e.scheduled_job_id = j.id
        where
            e.completed_at < youngest and e.status not in ('queued', 'running')
            and e.completed_at
            < now() - coalesce(j.cleanup_after_days, retention_days)::double precision * interval '1 day'
        limit (request ->> 'limit')::int
        for update of e skip locked
    );
    old_jobs := array(
        select j.id from public.scheduled_jobs as j
        where
            j.status in ('completed', 'failed', 'cancelled')
            and j.updated_at < now() - coalesce(j.cleanup_after_days, retention_days)::double precision * interval '1 day'
        limit (request ->> 'limit')::int
        for update skip locked
    );
    deleted := job_scheduler.forget(old_runs, job_scheduler.with_free_ledger(old_jobs));
    delete from public.job_audit
    where id in (
        select a.id from public.job_audit as a
        where a.at < now() - retention_days::double precision * interval '1 day'
        limit (request ->> 'limit')::int
        for update skip locked
    );
    get diagnostics acts = row_count;
    acts := acts + job_scheduler.clean_deliveries((request ->> 'limit')::integer);
    acts := acts + job_scheduler.clean_alerts((request ->> 'limit')::integer);
    delete from job_scheduler.signals
    where id in (select s.id from job_scheduler.signals as s where s.at < now() - interval '1 hour' for update skip locked);
    delete from job_scheduler.stops
    where id in (select s.id from job_scheduler.stops as s where s.at < now() - interval '1 hour' for update skip locked);
    -- With no listener for meetings nothing takes them off the list; one that starts looks at every meeting anyway.
    delete from job_scheduler.changed_rows
    where id in (
        select c.id from job_scheduler.changed_rows as c where c.at < now() - interval '1 day' for update skip locked
    );
    return json_build_object('now', clock_timestamp(), 'deleted', deleted, 'acts', acts);
end
$$;
revoke all on function public.clean_ledger_v1(jsonb) from public, anon, authenticated;
grant execute on function public.clean_ledger_v1(jsonb) to service_role;
