-- The cases that the one statement leaves: queued runs, missed instants, a job that still runs, a shared key.
-- Answers the executions to start. It changes what it decides and leaves all else to a later claim.
create or replace function job_scheduler.claim_one(
    job bigint, due timestamptz, next_due timestamptz, run_for timestamptz, missed jsonb, missed_reason text,
    me uuid, good_until timestamptz, soon timestamptz, key_limit integer, planned_from timestamptz
)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
    j public.scheduled_jobs;
    e public.job_executions;
    is_due boolean;
    key_is_taken boolean := false;
    next_if_run timestamptz := next_due; -- none, when this run is the last that max_runs grants
    must_skip boolean;
    stopped jsonb;
begin
    select s.* into j from public.scheduled_jobs as s where s.id = job for update skip locked;
    if not found then
        return '{}';
    end if;
    -- Locked before, unless the key was edited since: then it is left to a later claim, for whoever holds it may wait for
    -- one that is held here.
    if j.concurrency_key is not null and not pg_try_advisory_xact_lock(job_scheduler.key_lock(j)) then
        return '{}';
    end if;
    -- Whether it meets a running job is seen when it is due, not when it is claimed ahead of that.
    is_due := coalesce(j.due_at = due, false) and j.defined_at = coalesce(planned_from, j.defined_at) and case
        when j.status = 'scheduled' or j.status = 'running' and j.overlap = 'allow' then due <= soon
        when j.status = 'running' then due <= clock_timestamp() + interval '20 milliseconds'
        else false
    end;
    if j.max_runs is not null and j.scheduled_runs + 1 + (
        select count(distinct u.scheduled_for) from public.job_executions as u
        where u.scheduled_job_id = j.id and u.cause = 'schedule' and u.status in ('queued', 'running')
    ) >= j.max_runs then
        next_if_run := '9999-01-01Z';
    end if;

    if is_due and missed is not null then
        insert into public.job_executions
            (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, reason, completed_at, listener_id)
        select
            j.id, j.workspace_id, j.created_by, m.at::timestamptz, m.at::timestamptz, 'schedule', 'skipped', missed_reason,
            now(), me
        from jsonb_array_elements_text(missed) as m (at)
        on conflict do nothing;
        if run_for is null then
            is_due := false;
            update public.scheduled_jobs
            set
                due_at = next_due,
                status = case
                    when trigger_type = 'once' and status = 'scheduled' and not (
                        queued_runs > 0 and exists ( -- an earlier instant is tried again, and ends the job
                            select from public.job_executions as q
                            where q.scheduled_job_id = j.id and q.status = 'queued' and q.cause = 'schedule'
                        )
                    ) then 'cancelled'
                    else status
                end,
                error = case
                    when trigger_type = 'once' then missed_reason || ': the due instant passed by more than its grace'
                    else error
                end,
                updated_at = now()
            where id = j.id
            returning * into j;
        end if;
    end if;

    select q.* into e
    from public.job_executions as q
    cross join lateral (
        select coalesce(
            j.concurrency_key is not null and q.blocked_since is not null and q.run_at > now() - interval '10 seconds', false
        ) as keeps_room
    ) as k
    where
        q.scheduled_job_id = j.id and q.status = 'queued' and q.run_at <= soon
        and (q.cause = 'manual' or j.status = 'scheduled')
    order by -- first what keeps its room, see job_scheduler.key_room
        k.keeps_room desc, case when k.keeps_room then q.blocked_since end, case when k.keeps_room then q.id end,
        q.run_at, q.scheduled_for
    limit 1
    for update of q;
    if j.concurrency_key is not null then
        key_is_taken := job_scheduler.key_room(j, key_limit, e) <= 0;
    end if;
    if e.id is not null and key_is_taken then
        -- Blocked until a run of the same key ends: see job_scheduler.release_keys.
        update public.job_executions
        set run_at = '9999-01-01Z', reason = 'concurrency', blocked_since = coalesce(blocked_since, run_at)
        where id = e.id;
        e := null;
    elsif e.id is not null then
        update public.job_executions
        set
            status = 'running', reason = null, blocked_since = null, listener_id = me, fence = fence + 1,
            lease_expires_at = good_until, started_at = greatest(run_at, now())
        where id = e.id
        returning * into e;
    elsif is_due and j.status = 'running' and j.overlap in ('skip', 'queue') then
        -- An instant that was due before the present run began did not meet a running job: it waits its turn.
        must_skip := j.overlap = 'skip' and exists (
            select from public.job_executions as o
            where
                o.scheduled_job_id = j.id and o.status = 'running' and o.lease_expires_at is not null
                and o.cause = 'schedule' and o.stopped_at is null and o.started_at <= run_for
        );
        insert into public.job_executions
            (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, reason, completed_at, listener_id)
        values (
            j.id, j.workspace_id, j.created_by, run_for, run_for, 'schedule',
            case when must_skip then 'skipped' else 'queued' end, 'overlap', case when must_skip then now() end, me
        )
        on conflict do nothing;
        update public.scheduled_jobs
        set due_at = case when must_skip then next_due else next_if_run end, updated_at = now()
        where id = j.id;
    elsif is_due then
        if j.status = 'running' and j.overlap = 'replace' then
            with replaced as (
                update public.job_executions
                set
                    status = 'cancelled', reason = 'overlap', completed_at = now(), lease_expires_at = null,
                    duration_ms = greatest(extract(epoch from now() - started_at), 0)::double precision * 1000,
                    lateness_ms = extract(epoch from started_at - run_at)::double precision * 1000,
                    fence = fence + 1
                where
                    scheduled_job_id = j.id and status = 'running' and lease_expires_at is not null
                    and cause = 'schedule' and stopped_at is null and scheduled_for <> run_for
                returning id
            )
            select jsonb_agg(r.id) into stopped from replaced as r;
            if stopped is not null then
                perform job_scheduler.notify('stopped_runs', stopped);
                key_is_taken := false;
                update public.scheduled_jobs -- they began, so they use up max_runs: else nothing would
                set scheduled_runs = scheduled_runs + jsonb_array_length(stopped)
                where id = j.id;
            end if;
        end if;
        insert into public.job_executions
            (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, reason, blocked_since,
             listener_id, lease_expires_at, started_at)
        select
            j.id, j.workspace_id, j.created_by, run_for, case when key_is_taken then '9999-01-01Z' else run_for end, 'schedule',
            case when key_is_taken then 'queued' else 'running' end, case when key_is_taken then 'concurrency' end,
            case when key_is_taken then run_for end, case when not key_is_taken then me end,
            case when not key_is_taken then good_until end, case when not key_is_taken then greatest(run_for, now()) end
        on conflict do nothing
        returning * into e;
        -- A one-time job that is asked to run again at an instant that it has had gets a new one.
        update public.scheduled_jobs
        set
            due_at = case
                when e.id is null and trigger_type = 'once' and status = 'scheduled' then clock_timestamp()
                else next_if_run
            end,
            updated_at = now()
        where id = j.id;
        if key_is_taken then
            e := null;
        end if;
    end if;

    if e.id is not null then
        update public.scheduled_jobs
        set
            status = case when e.cause = 'schedule' then 'running' else status end,
            attempt = case when e.cause = 'schedule' then e.attempt else attempt end,
            claimed_by = me, lease_expires_at = good_until, updated_at = now()
        where id = j.id;
    end if;
    perform job_scheduler.set_wake(array[j.id]);
    perform job_scheduler.complete_exhausted(array[j.id]);
    return array_remove(array[e.id], null);
end
$$;
revoke all on function job_scheduler.claim_one(
    bigint, timestamptz, timestamptz, timestamptz, jsonb, text, uuid, timestamptz, timestamptz, integer,
    timestamptz
) from public;
