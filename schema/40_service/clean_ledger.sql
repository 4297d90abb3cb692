-- Those of these jobs of whose ledger nobody has locked a row: deleting a job deletes its ledger.
create or replace function job_scheduler.with_free_ledger(jobs bigint[])
returns bigint[]
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan -- with the array at hand it is hashed
set enable_seqscan = off
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
            where e.scheduled_job_id = j.id and e.scheduled_job_id = any(jobs) and e.id <> all(free)
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
set enable_seqscan = off -- the deletion of what refers to a job is planned once for a connection, maybe while that is empty
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

-- Ended jobs past their retention, at most so many, and locked; those without a retention of their own in the order of their
-- ids. No index can have the time of the last write, which each run changes; but no job is older than its row, so that the
-- first row that is young enough ends the search.
create or replace function job_scheduler.expired_jobs(retention_days numeric, most integer)
returns bigint[]
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
    long_ago constant timestamptz := now() - retention_days::double precision * interval '1 day';
    expired bigint[] := array(
        select j.id
        from public.scheduled_jobs as j
        where
            j.cleanup_after_days is not null and j.status in ('completed', 'failed', 'cancelled')
            and j.updated_at < now() - j.cleanup_after_days::double precision * interval '1 day'
        limit most
    );
    job record;
begin
    for job in
        select j.id, j.created_at, j.updated_at, j.status, j.cleanup_after_days from public.scheduled_jobs as j order by j.id
    loop
        exit when job.created_at >= long_ago or cardinality(expired) >= most;
        if job.updated_at < long_ago and job.cleanup_after_days is null
            and job.status in ('completed', 'failed', 'cancelled') then
            expired := expired || job.id;
        end if;
    end loop;
    return array(
        select j.id
        from public.scheduled_jobs as j
        where j.id = any(expired) and j.status in ('completed', 'failed', 'cancelled')
        for update skip locked
    );
end
$$;
revoke all on function job_scheduler.expired_jobs(numeric, integer) from public;

-- Final ledger rows past their retention, at most so many, and locked: those of jobs with a retention of their own by these
-- jobs, all others in the order in which they ended.
create or replace function job_scheduler.expired_runs(retention_days numeric, most integer)
returns uuid[]
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
declare
    of_their_own constant bigint[] := array(
        select j.id from public.scheduled_jobs as j where j.cleanup_after_days is not null
    );
    expired constant uuid[] := array(
        select e.id
        from public.job_executions as e
        where
            e.scheduled_job_id = any(of_their_own) and e.status not in ('queued', 'running')
            and e.completed_at < now() - (
                select j.cleanup_after_days::double precision from public.scheduled_jobs as j where j.id = e.scheduled_job_id
            ) * interval '1 day'
        limit most
        for update skip locked
    );
begin
    return expired || array(
        select e.id
        from public.job_executions as e
        where
            e.completed_at < now() - retention_days::double precision * interval '1 day'
            and e.status not in ('queued', 'running') and (
                select j.cleanup_after_days from public.scheduled_jobs as j where j.id = e.scheduled_job_id
            ) is null
        order by e.completed_at
        limit most - cardinality(expired)
        for update skip locked
    );
end
$$;
revoke all on function job_scheduler.expired_runs(numeric, integer) from public;

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
    most constant integer := request ->> 'limit';
    old_runs uuid[];
    old_jobs bigint[];
    deleted integer;
    acts integer;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    if job_scheduler.is_restored() then -- what was restored is to be looked at first
        return json_build_object('now', clock_timestamp(), 'deleted', 0, 'acts', 0);
    end if;
    old_runs := job_scheduler.expired_runs(retention_days, most);
    old_jobs := job_scheduler.expired_jobs(retention_days, most);
    deleted := job_scheduler.forget(old_runs, job_scheduler.with_free_ledger(old_jobs));
    delete from public.job_audit
    where id in (
        select a.id from public.job_audit as a
        where a.at < now() - retention_days::double precision * interval '1 day'
        limit most
        for update skip locked
    );
    get diagnostics acts = row_count;
    acts := acts + job_scheduler.clean_deliveries(most);
    acts := acts + job_scheduler.clean_alerts(most);
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
