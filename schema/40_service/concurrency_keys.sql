-- Returns the lock id of a job's concurrency key.
create or replace function job_scheduler.key_lock(j public.scheduled_jobs)
returns bigint
language sql
immutable
set search_path = ''
as $$
    select hashtextextended(concat('job_scheduler ', coalesce(j.workspace_id, j.created_by), ' ', j.concurrency_key), 0)
$$;
revoke all on function job_scheduler.key_lock(public.scheduled_jobs) from public;

-- Locks the keys of these jobs for the transaction. All of a batch at once and in one order for all batches, so that no
-- two wait for each other; and whoever holds a key waits for no row.
create or replace function job_scheduler.lock_keys(jobs bigint[])
returns void
language sql
set search_path = ''
as $$
    select pg_advisory_xact_lock(k.lock)
    from (
        select distinct job_scheduler.key_lock(s) as lock
        from public.scheduled_jobs as s
        where s.id = any(jobs) and s.concurrency_key is not null
        order by lock
    ) as k
$$;
revoke all on function job_scheduler.lock_keys(bigint[]) from public;

-- How many more runs may start among the jobs that share a key with this one; the caller holds the key's lock. A run to
-- which release_keys gave the key keeps its slot until it is claimed: neither new runs nor runs that were given the key
-- after it may use the slot, so the first of them always finds one. The slot expires: who could claim the run may be busy.
create or replace function job_scheduler.free_key_slots(
    j public.scheduled_jobs, key_limit integer, waiting public.job_executions default null
)
returns integer
language sql
set search_path = ''
as $$
    with given as materialized ( -- there are few, and the planner does not know it
        select e.* from public.job_executions as e
        where
            e.status = 'queued' and e.blocked_since is not null
            and e.run_at > now() - interval '10 seconds'
    )

    select key_limit - (
        select count(*)
        from public.scheduled_jobs as s
        inner join public.job_executions as e
            on s.id = e.scheduled_job_id and e.status = 'running' and e.lease_expires_at is not null
        where
            s.concurrency_key = j.concurrency_key and s.claimed_by is not null
            and coalesce(s.workspace_id, s.created_by) is not distinct from coalesce(j.workspace_id, j.created_by)
    ) - (
        select count(*)
        from given as g
        inner join public.scheduled_jobs as s on g.scheduled_job_id = s.id
        where
            s.concurrency_key = j.concurrency_key
            and coalesce(s.workspace_id, s.created_by) is not distinct from coalesce(j.workspace_id, j.created_by)
            and (g.cause = 'manual' or s.status = 'scheduled' or s.status = 'running' and s.overlap = 'allow')
            and (
                waiting.blocked_since is null
                or (j.priority, g.blocked_since, g.id) < (s.priority, waiting.blocked_since, waiting.id)
            )
    )
$$;
revoke all on function job_scheduler.free_key_slots(public.scheduled_jobs, integer, public.job_executions) from public;

-- Gives the keys of these jobs, as far as they are free, to the runs that waited for them: the highest priority first, then
-- what could have started first. Each keeps its slot, see job_scheduler.free_key_slots. One that is passed over, because somebody
-- has its job locked, is given the key at the end of the next run that gets it. Returns the jobs to arm.
create or replace function job_scheduler.release_keys(jobs bigint[], key_limit integer)
returns bigint[]
language plpgsql
set search_path = ''
set plan_cache_mode = auto -- these for its caller's may be others
set enable_nestloop = on
set enable_mergejoin = on
as $$
declare
    j public.scheduled_jobs;
    freed bigint[];
    all_freed bigint[] := '{}';
begin
    perform job_scheduler.lock_keys(jobs);
    for j in
        select distinct on (s.concurrency_key, coalesce(s.workspace_id, s.created_by)) s.*
        from public.scheduled_jobs as s
        where s.id = any(jobs) and s.concurrency_key is not null
        order by s.concurrency_key, coalesce(s.workspace_id, s.created_by)
    loop
        with blocked as (
            select e.id
            from public.job_executions as e
            inner join public.scheduled_jobs as s on e.scheduled_job_id = s.id
            where
                e.status = 'queued' and e.run_at is null and s.concurrency_key = j.concurrency_key
                and coalesce(s.workspace_id, s.created_by) is not distinct from coalesce(j.workspace_id, j.created_by)
                and (e.cause = 'manual' or s.status = 'scheduled' or s.status = 'running' and s.overlap = 'allow')
            order by s.priority desc, e.blocked_since, e.id
            limit greatest(job_scheduler.free_key_slots(j, key_limit), 0)
            for update of s, e skip locked -- the transaction that holds that job's row may be waiting for this key
        ), released as (
            update public.job_executions as e
            set run_at = greatest(e.scheduled_for, clock_timestamp()) -- it may have been claimed ahead of its time
            from blocked as b
            where e.id = b.id and e.id = any(array(select k.id from blocked as k))
            returning e.scheduled_job_id
        )
        select coalesce(array_agg(r.scheduled_job_id), '{}') into freed from released as r;
        all_freed := all_freed || freed;
    end loop;
    if cardinality(all_freed) > 0 then
        perform job_scheduler.set_wake(all_freed);
        if (select count(*) from public.job_listeners) > 1 then -- another one may be the one with free slots
            perform job_scheduler.notify('scheduled_jobs', null);
        end if;
    end if;
    return all_freed;
end
$$;
revoke all on function job_scheduler.release_keys(bigint[], integer) from public;
