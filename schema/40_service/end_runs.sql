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
                when not s.waits and j.due_at is null and j.is_planned then coalesce(j.last_run_status, 'failed')
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
        changed_in = case when w.waiting > 0 then pg_current_xact_id()::text::bigint else j.changed_in end,
        next_run_at = least(case when j.status in ('scheduled', 'running') then j.due_at end, w.first)
    from (
        select
            s.id, count(e.id) as waiting,
            min(e.run_at) filter (
                where e.cause = 'manual' or s.status = 'scheduled' or s.status = 'running' and s.overlap = 'allow'
            ) as first
        from public.scheduled_jobs as s
        left join public.job_executions as e on e.scheduled_job_id = s.id and e.status = 'queued'
        where s.id = any(jobs)
        group by s.id
    ) as w
    where j.id = w.id and j.id = any(jobs) -- so that it is looked up by key, whatever the statistics say
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
set plan_cache_mode = force_generic_plan -- these as in claim_runs_v1
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
-- A row that is locked for longer delays only its own run: a smaller batch goes without it. Shorter than the second after which
-- PostgreSQL looks for deadlocks: who deletes a job has locked it, and may wait for its run, which is written here first.
set lock_timeout = '400ms'
as $$
declare
    me constant uuid := (request ->> 'listener')::uuid;
    ids constant uuid[] := array(select (r ->> 'id')::uuid from jsonb_array_elements(request -> 'results') as r);
    taken uuid[];
    to_wake bigint[];
    keyed bigint[];
    to_arm json;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    with ended as (
        update public.job_executions as e
        set
            status = case when g.status = 'queued' and e.stopped_at is not null then 'cancelled' else g.status end,
            reason = case when g.status = 'queued' and e.stopped_at is not null then 'cancelled' else g.reason end,
            started_at = case when g.status <> 'queued' then g.started_at end,
            completed_at = case when g.status <> 'queued' or e.stopped_at is not null then g.completed_at end,
            duration_ms = extract(epoch from g.completed_at - g.started_at)::double precision * 1000,
            lateness_ms = extract(epoch from g.started_at - e.run_at)::double precision * 1000,
            progress = case when g.status = 'completed' then 1 else g.progress end,
            result = g.result,
            error = g.error,
            error_details = g.error_details,
            run_at = case when g.status = 'queued' then g.retry_at else e.run_at end,
            lease_expires_at = null
        from jsonb_to_recordset(request -> 'results') as g (
            id uuid, fence integer, status text, reason text, started_at timestamptz, completed_at timestamptz,
            progress double precision, result jsonb, error text, error_details jsonb, retry_at timestamptz
        )
        where
            e.id = any(ids) and e.id = g.id and e.fence = g.fence and e.status = 'running' and e.listener_id = me
        returning
            e.id, e.scheduled_job_id, e.workspace_id, e.created_by, e.scheduled_for, e.cause, e.attempt, e.test_mode,
            case when e.status = 'failed' and e.stopped_at is null then g.retry_at end as retry_at
    ), next_attempt as (
        insert into public.job_executions
            (scheduled_job_id, workspace_id, created_by, scheduled_for, cause, attempt, status, test_mode, run_at)
        select
            e.scheduled_job_id, e.workspace_id, e.created_by, e.scheduled_for, e.cause, e.attempt + 1, 'queued',
            e.test_mode, e.retry_at
        from ended as e
        where e.retry_at is not null
        on conflict do nothing
    )
    select coalesce(array_agg(e.id), '{}') into taken from ended as e;
    select m.to_wake, m.keyed into to_wake, keyed from job_scheduler.move_jobs(taken) as m;
    if keyed is not null then
        to_wake := to_wake || job_scheduler.release_keys(keyed, coalesce((request ->> 'key_concurrency')::integer, 1));
    end if;
    if cardinality(taken) < jsonb_array_length(request -> 'results') then
        -- Runs that an earlier try of this request queued have to be armed all the same.
        select taken || b.runs, to_wake || b.jobs into taken, to_wake
        from job_scheduler.ended_before(request -> 'results', taken, me) as b;
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

    if jsonb_array_length(request -> 'logs') > 0 then
        perform job_scheduler.store_logs(request -> 'logs', taken);
    end if;
    return json_build_object('now', clock_timestamp(), 'taken', to_json(taken), 'rows', coalesce(to_arm, '[]'));
end
$$;
revoke all on function public.finish_runs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.finish_runs_v1(jsonb) to service_role;

-- Those of these results that an earlier try of the request has written, because its answer was lost: the runs and their jobs.
create or replace function job_scheduler.ended_before(
    results jsonb, taken uuid[], me uuid, out runs uuid[], out jobs bigint[]
)
language sql
set search_path = ''
as $$
    select coalesce(array_agg(e.id), '{}'), coalesce(array_agg(e.scheduled_job_id), '{}')
    from public.job_executions as e
    inner join jsonb_to_recordset(results) as r (id uuid, fence integer, completed_at timestamptz, retry_at timestamptz)
        on e.id = r.id
    where
        e.id = any(array(select (k ->> 'id')::uuid from jsonb_array_elements(results) as k)) and e.id <> all(taken)
        and e.listener_id = me and e.fence = r.fence and e.status <> 'running'
        and case when e.status = 'queued' then e.run_at = r.retry_at else e.completed_at = r.completed_at end
$$;
revoke all on function job_scheduler.ended_before(jsonb, uuid[], uuid) from public;
