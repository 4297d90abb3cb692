-- Moves jobs on after the end of these runs of theirs, which this transaction has written with their next attempts. Of several
-- runs of one job, the last one of its schedule speaks. Answers the jobs to arm, and those whose keys may be free now.
create or replace function job_scheduler.move_jobs(ended uuid[], out to_wake bigint[], out keyed bigint[])
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan -- these as in claim_runs_v1
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
as $$
declare
    late bigint[];
    shared bigint[];
    spent bigint[];
begin
    with runs as materialized ( -- else the order by jobs asked for below makes an index by job look useful
        select
            e.*, e.cause = 'schedule' and e.stopped_at is null as is_own, -- the run that its job shows
            e.status = 'queued' or e.status = 'failed' and (
                select n.id from public.job_executions as n -- not exists, for which the planner may read the whole ledger
                where
                    n.scheduled_job_id = e.scheduled_job_id and n.scheduled_for = e.scheduled_for and n.cause = e.cause
                    and n.attempt = e.attempt + 1
            ) is not null as waits
        from public.job_executions as e
        -- An ended run has no lease; that this is so few rows without statistics makes the planner look jobs up by key.
        where e.id = any(ended) and e.lease_expires_at is null
    ), last_runs as ( -- of each job the run that speaks, and what all of its runs come to
        select distinct on (r.scheduled_job_id)
            r.scheduled_job_id as id, r.status, r.started_at, r.duration_ms, r.progress, r.result, r.error,
            count(*) filter (where r.status = 'completed') over job as good,
            count(*) filter (where r.status = 'failed' and not r.waits) over job as bad,
            count(*) filter (
                where r.cause = 'schedule' and (r.status = 'completed' or r.status = 'failed' and not r.waits)
            ) over job as scheduled,
            bool_or(r.is_own) over job as by_schedule,
            bool_or(r.waits) over job as waits,
            bool_or(r.waits and r.is_own) over job as own_waits
        from runs as r
        window job as (
            partition by r.scheduled_job_id order by r.is_own desc, r.completed_at desc nulls last
            rows between unbounded preceding and unbounded following
        )
        order by r.scheduled_job_id, r.is_own desc, r.completed_at desc nulls last
    ), by_job as (
        select
            l.*,
            (
                select max(case when o.stopped_at is null then o.cause else 'manual' end)
                from public.job_executions as o
                where o.scheduled_job_id = l.id and o.status = 'running' and o.lease_expires_at is not null
            ) as others_run -- schedule: the job runs on; manual: only its claim is still held; null: neither
        from last_runs as l
    ), moved as (
        update public.scheduled_jobs as j
        set
            status = case
                when j.status <> 'running' or not b.by_schedule or b.others_run = 'schedule' then j.status
                when b.own_waits or j.queued_runs > 0 and exists (
                    select from public.job_executions as q
                    where q.scheduled_job_id = j.id and q.status = 'queued' and q.cause = 'schedule'
                ) then 'scheduled'
                when j.due_at is null and j.is_planned then b.status
                else 'scheduled'
            end,
            attempt = case when b.waits or not b.by_schedule or j.trigger_type = 'once' then j.attempt else 0 end,
            last_run_at = coalesce(b.started_at, j.last_run_at),
            last_run_status = case when b.status = 'queued' then j.last_run_status else b.status end,
            last_run_duration_ms = coalesce(b.duration_ms, j.last_run_duration_ms),
            total_runs = j.total_runs + b.good + b.bad,
            successful_runs = j.successful_runs + b.good,
            failed_runs = j.failed_runs + b.bad,
            scheduled_runs = j.scheduled_runs + b.scheduled,
            result = case when b.status = 'completed' then b.result else j.result end,
            error = b.error,
            progress = b.progress,
            claimed_by = case when b.others_run is not null then j.claimed_by end,
            lease_expires_at = case when b.others_run is not null then j.lease_expires_at end,
            updated_at = now()
        from by_job as b
        where j.id = b.id and j.id = any(array(select k.id from by_job as k)) -- by key, as in set_wake
        returning
            j.id, j.queued_runs > 0 or b.waits as waits, j.concurrency_key is not null as keyed,
            b.own_waits and j.status = 'cancelled' as is_late, b.others_run is not null or j.overlap = 'allow' as is_shared,
            j.status = 'paused' and j.due_at is null and j.is_planned as may_be_spent
    )
    select
        coalesce(array_agg(m.id) filter (where m.waits), '{}'), array_agg(m.id) filter (where m.keyed),
        array_agg(m.id) filter (where m.is_late), array_agg(m.id) filter (where m.is_shared),
        array_agg(m.id) filter (where m.may_be_spent)
    into to_wake, keyed, late, shared, spent
    from moved as m;

    if cardinality(to_wake) > 0 or late is not null or shared is not null or spent is not null then
        to_wake := job_scheduler.settle_moved(to_wake, late, shared, spent);
    end if;
end
$$;
revoke all on function job_scheduler.move_jobs(uuid[]) from public;

-- Settles what few of the jobs that move_jobs has moved on need: those with queued runs, those that were cancelled while this
-- was written, those that other runs share, and paused ones whose last instant has run. Answers the jobs to arm.
create or replace function job_scheduler.settle_moved(to_wake bigint[], late bigint[], shared bigint[], spent bigint[])
returns bigint[]
language plpgsql
set search_path = ''
set plan_cache_mode = auto
set enable_nestloop = on
set enable_mergejoin = on
as $$
begin
    if late is not null then
        update public.job_executions
        set status = 'cancelled', reason = 'cancelled', completed_at = now()
        where scheduled_job_id = any(late) and status = 'queued' and cause = 'schedule';
    end if;
    if shared is not null then
        to_wake := to_wake || job_scheduler.settle_shared(shared);
    end if;
    if spent is not null then
        perform job_scheduler.mark_spent(spent);
    end if;
    if cardinality(to_wake) > 0 then
        perform job_scheduler.reopen(to_wake);
        perform job_scheduler.set_wake(to_wake);
    end if;
    return to_wake;
end
$$;
revoke all on function job_scheduler.settle_moved(bigint[], bigint[], bigint[], bigint[]) from public;

-- Marks those of these paused jobs whose last instant has run. They are not done before they are resumed, and count as active
-- until then: due_at is set, to when that was seen, and is_planned is not.
create or replace function job_scheduler.mark_spent(jobs bigint[])
returns void
language sql
set search_path = ''
as $$
    update public.scheduled_jobs as j
    set due_at = now(), is_planned = false
    where
        j.id = any(jobs) and j.status = 'paused' and j.due_at is null and j.is_planned and not exists (
            select from public.job_executions as e
            where
                e.scheduled_job_id = j.id and e.cause = 'schedule' and e.stopped_at is null
                and (e.status = 'queued' or e.status = 'running' and e.lease_expires_at is not null)
        )
$$;
revoke all on function job_scheduler.mark_spent(bigint[]) from public;
