-- A run that a claim queued while the end of another one waited for the job's row is seen only now: the job has not ended.
create or replace function job_scheduler.reopen(jobs bigint[])
returns void
language sql
set search_path = ''
as $$
    update public.scheduled_jobs as j
    set status = 'scheduled'
    where
        j.id = any(jobs) and j.status in ('completed', 'failed', 'cancelled') and j.queued_runs > 0 and exists (
            select from public.job_executions as e
            where e.scheduled_job_id = j.id and e.status = 'queued' and e.cause = 'schedule'
        )
$$;
revoke all on function job_scheduler.reopen(bigint[]) from public;

-- Listeners that begin and end runs of one job at a time do not see each other's; who has the job's row after them looks
-- again here. Answers the jobs that this changed.
create or replace function job_scheduler.settle_shared(jobs bigint[])
returns bigint[]
language plpgsql
set search_path = ''
as $$
declare
    settled bigint[];
begin
    update public.scheduled_jobs as j
    set status = 'scheduled' -- on the way to running
    where
        j.id = any(jobs) and j.status in ('completed', 'failed') and exists (
            select from public.job_executions as e
            where
                e.scheduled_job_id = j.id and e.status = 'running' and e.lease_expires_at is not null
                and e.cause = 'schedule' and e.stopped_at is null
        );
    with seen as (
        select
            j.id, r.holder, r.lease_expires_at, coalesce(r.runs_on, false) as runs_on,
            exists (
                select from public.job_executions as e
                where e.scheduled_job_id = j.id and e.status = 'queued' and e.cause = 'schedule'
            ) as waits
        from public.scheduled_jobs as j
        left join lateral (
            select
                (array_agg(e.listener_id order by e.lease_expires_at desc))[1] as holder,
                max(e.lease_expires_at) as lease_expires_at,
                bool_or(e.cause = 'schedule' and e.stopped_at is null) as runs_on
            from public.job_executions as e
            where e.scheduled_job_id = j.id and e.status = 'running' and e.lease_expires_at is not null
        ) as r on true
        where j.id = any(jobs)
    ), changed as (
        update public.scheduled_jobs as j
        set
            status = case
                when s.runs_on and j.status = 'scheduled' then 'running'
                when s.runs_on or j.status <> 'running' then j.status
                when not s.waits and j.due_at = '9999-01-01Z' then coalesce(j.last_run_status, 'failed')
                else 'scheduled'
            end,
            claimed_by = case when s.holder is not null then coalesce(j.claimed_by, s.holder) end,
            lease_expires_at = s.lease_expires_at
        from seen as s
        where
            j.id = s.id and (
                j.status = 'running' and not s.runs_on or j.status = 'scheduled' and s.runs_on
                or (j.claimed_by is null) <> (s.holder is null)
            )
        returning j.id
    )
    select coalesce(array_agg(c.id), '{}') into settled from changed as c;
    return settled;
end
$$;
revoke all on function job_scheduler.settle_shared(bigint[]) from public;

-- When the service must next act on each job: its due instant or a queued run, whichever is earlier. A job with a queued
-- run shows up in the polls of all listeners, because the one that queued it may not be there when it starts.
create or replace function job_scheduler.set_wake(jobs bigint[])
returns void
language sql
set search_path = ''
as $$
    update public.scheduled_jobs as j
    set
        queued_runs = w.waiting,
        revision = case when w.waiting > 0 then job_scheduler.next_revision(j.revision) else j.revision end,
        next_run_at = nullif(least(case when j.status in ('scheduled', 'running') then j.due_at end, w.first), '9999-01-01Z')
    from (
        select
            s.id, count(e.id) as waiting,
            min(e.run_at) filter (where e.cause = 'manual' or s.status = 'scheduled') as first
        from public.scheduled_jobs as s
        left join public.job_executions as e on e.scheduled_job_id = s.id and e.status = 'queued'
        where s.id = any(jobs)
        group by s.id
    ) as w
    where j.id = w.id
$$;
revoke all on function job_scheduler.set_wake(bigint[]) from public;

-- Ends attempts. A result is taken only from the listener that holds the claim, and only with the fence of that claim; all
-- else is answered as refused. What was taken before, when the answer was lost, is answered as it was then.
-- {listener, results: [{id, fence, status, reason, started_at, completed_at, progress, result, error, error_details, retry_at,
--   final}], logs: [{execution_id, at, level, message, fields}]} -> {now, taken: [id], rows: [job_row to arm again]}
-- status queued with retry_at hands the attempt back; failed with retry_at queues the next one.
create or replace function public.finish_runs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
-- Batches are looked up by key, however large the table and however stale its statistics.
set enable_seqscan = off
set lock_timeout = '2s' -- a row that is locked for longer delays only its own run: a smaller batch goes without it
as $$
declare
    me constant uuid := (request ->> 'listener')::uuid;
    -- Not joined: the planner may read the whole ledger for a batch of one, or compare each of a thousand with each.
    results constant jsonb := (
        select coalesce(jsonb_object_agg((r ->> 'id')::uuid, r), '{}') from jsonb_array_elements(request -> 'results') as r
    );
    ids constant uuid[] := array(select k::uuid from jsonb_object_keys(results) as k);
    taken uuid[];
    repeated uuid[];
    repeated_jobs bigint[];
    to_wake bigint[];
    keyed bigint[];
    late bigint[];
    shared bigint[];
    to_arm json;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    with ended as (
        update public.job_executions as e
        set
            (
                status, reason, started_at, completed_at, duration_ms, lateness_ms, progress, result, error, error_details,
                run_at
            ) = (
                select
                    case when g.status = 'queued' and e.stopped_at is not null then 'cancelled' else g.status end,
                    case when g.status = 'queued' and e.stopped_at is not null then 'cancelled' else g.reason end,
                    case when g.status <> 'queued' then g.started_at end,
                    case when g.status <> 'queued' or e.stopped_at is not null then g.completed_at end,
                    extract(epoch from g.completed_at - g.started_at)::double precision * 1000,
                    extract(epoch from g.started_at - e.run_at)::double precision * 1000,
                    coalesce(g.progress, case when g.status = 'completed' then 1 end),
                    g.result, g.error, g.error_details,
                    case when g.status = 'queued' then g.retry_at else e.run_at end
                from jsonb_to_record(results -> e.id::text) as g (
                    status text, reason text, started_at timestamptz, completed_at timestamptz,
                    progress double precision, result jsonb, error text, error_details jsonb, retry_at timestamptz
                )
            ),
            lease_expires_at = null
        where
            e.id = any(ids)
            and e.status = 'running' and e.listener_id = me and e.fence = (results -> e.id::text ->> 'fence')::integer
        returning
            e.*, case when e.stopped_at is null then (results -> e.id::text ->> 'retry_at')::timestamptz end as retry_at,
            e.cause = 'schedule' and e.stopped_at is null as is_own -- the run that its job shows
    ), next_attempt as (
        insert into public.job_executions
            (scheduled_job_id, workspace_id, created_by, scheduled_for, cause, attempt, status, test_mode, run_at)
        select
            e.scheduled_job_id, e.workspace_id, e.created_by, e.scheduled_for, e.cause, e.attempt + 1, 'queued',
            e.test_mode, e.retry_at
        from ended as e
        where e.status = 'failed' and e.retry_at is not null
        on conflict do nothing
        returning id, scheduled_job_id
    ), by_job as (
        select
            e.scheduled_job_id as id,
            count(*) filter (where e.status = 'completed') as good,
            count(*) filter (where e.status = 'failed' and e.retry_at is null) as bad,
            count(*) filter (
                where e.cause = 'schedule' and (e.status = 'completed' or e.status = 'failed' and e.retry_at is null)
            ) as scheduled,
            bool_or(e.is_own) as by_schedule,
            bool_or(e.retry_at is not null) as waits,
            bool_or(e.retry_at is not null and e.is_own) as own_waits,
            max((
                select max(case when o.stopped_at is null then o.cause else 'manual' end)
                from public.job_executions as o
                where
                    o.scheduled_job_id = e.scheduled_job_id and o.status = 'running' and o.lease_expires_at is not null
                    and o.id not in (select x.id from ended as x)
            )) as others_run, -- schedule: the job runs on; manual: only its claim is still held; null: neither
            -- of several runs of one job in a batch, the last one of its schedule counts
            (array_agg(e.status order by e.is_own desc, e.completed_at desc nulls last))[1] as status,
            (array_agg(e.started_at order by e.is_own desc, e.completed_at desc nulls last))[1] as started_at,
            (array_agg(e.duration_ms order by e.is_own desc, e.completed_at desc nulls last))[1] as duration_ms,
            (array_agg(e.result order by e.is_own desc, e.completed_at desc nulls last))[1] as result,
            (array_agg(e.error order by e.is_own desc, e.completed_at desc nulls last))[1] as error
        from ended as e
        group by e.scheduled_job_id
    ), moved as (
        update public.scheduled_jobs as j
        set
            status = case
                when j.status <> 'running' or not b.by_schedule or b.others_run = 'schedule' then j.status
                when b.own_waits or j.queued_runs > 0 and exists (
                    select from public.job_executions as q
                    where q.scheduled_job_id = j.id and q.status = 'queued' and q.cause = 'schedule'
                ) then 'scheduled'
                when j.due_at = '9999-01-01Z' then b.status
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
            claimed_by = case when b.others_run is not null then j.claimed_by end,
            lease_expires_at = case when b.others_run is not null then j.lease_expires_at end,
            updated_at = now()
        from by_job as b
        where j.id = b.id
        returning
            j.id, j.queued_runs > 0 or b.waits as waits, j.concurrency_key is not null as keyed,
            b.own_waits and j.status = 'cancelled' as is_late, b.others_run is not null or j.overlap = 'allow' as is_shared
    )
    select
        (select coalesce(array_agg(e.id), '{}') from ended as e),
        (select coalesce(array_agg(m.id), '{}') from moved as m where m.waits),
        (select array_agg(m.id) from moved as m where m.keyed),
        (select array_agg(m.id) from moved as m where m.is_late),
        (select array_agg(m.id) from moved as m where m.is_shared)
    into taken, to_wake, keyed, late, shared;

    if late is not null then -- cancelled while this was written
        update public.job_executions
        set status = 'cancelled', reason = 'cancelled', completed_at = now()
        where scheduled_job_id = any(late) and status = 'queued' and cause = 'schedule';
    end if;
    if shared is not null then
        to_wake := to_wake || job_scheduler.settle_shared(shared);
    end if;
    if keyed is not null then
        to_wake := to_wake || job_scheduler.release_keys(keyed, coalesce((request ->> 'key_concurrency')::integer, 1));
    end if;
    if cardinality(to_wake) > 0 then
        perform job_scheduler.reopen(to_wake);
        perform job_scheduler.set_wake(to_wake);
    end if;
    if cardinality(taken) < jsonb_array_length(request -> 'results') then
        -- An earlier try of this request may have been carried out: what it queued has to be armed all the same.
        select coalesce(array_agg(e.id), '{}'), array_agg(e.scheduled_job_id) into repeated, repeated_jobs
        from public.job_executions as e,
            jsonb_to_record(results -> e.id::text) as r (fence integer, completed_at timestamptz, retry_at timestamptz)
        where
            e.id = any(ids) and e.id <> all(taken) and e.listener_id = me and e.fence = r.fence and e.status <> 'running'
            and case when e.status = 'queued' then e.run_at = r.retry_at else e.completed_at = r.completed_at end;
        taken := taken || repeated;
        to_wake := to_wake || repeated_jobs;
    end if;
    if cardinality(to_wake) > 0 then
        select json_agg(j.job_row) into to_arm
        from job_scheduler.job_rows as j
        where j.id = any(to_wake);
    end if;
    if request -> 'results' @> '[{"reason": "shutdown"}]' then
        -- A listener that leaves hands its runs to the others, which are notified at once.
        perform job_scheduler.notify('scheduled_jobs', null);
    end if;

    perform job_scheduler.store_logs(request -> 'logs', taken);
    return json_build_object('now', clock_timestamp(), 'taken', to_json(taken), 'rows', coalesce(to_arm, '[]'));
end
$$;
revoke all on function public.finish_runs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.finish_runs_v1(jsonb) to service_role;
