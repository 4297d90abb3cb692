-- The cases that the one statement of claim_runs_v1 leaves: queued runs, missed instants, a job that still runs, a shared
-- key. Answers the executions to start. It changes what it decides and leaves all else to a later claim.
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
    key_is_taken boolean;
    next_if_run timestamptz := next_due; -- none, when this run is the last that max_runs grants
begin
    select s.* into j from public.scheduled_jobs as s where s.id = job for update skip locked;
    -- Its key was locked before, unless it was edited since: then it is left to a later claim, for whoever holds the key may
    -- wait for one that is held here.
    if not found or j.concurrency_key is not null and not pg_try_advisory_xact_lock(job_scheduler.key_lock(j)) then
        return '{}';
    end if;
    -- Whether it meets a running job is seen when it is due, not when it is claimed ahead of that.
    is_due := coalesce(j.due_at = due, false) and j.defined_at = coalesce(planned_from, j.defined_at) and case
        when j.status = 'scheduled' or j.status = 'running' and j.overlap = 'allow' then due <= soon
        when j.status = 'running' then due <= clock_timestamp() + interval '20 milliseconds'
        else false
    end;
    if job_scheduler.is_last_run(j) then
        next_if_run := null;
    end if;

    if is_due and missed is not null then
        perform job_scheduler.record_missed(j, missed, missed_reason, me);
        if run_for is null then
            is_due := false;
            j := job_scheduler.pass_over(j.id, next_due, missed_reason);
        end if;
    end if;

    e := job_scheduler.first_queued_run(j, soon);
    key_is_taken := j.concurrency_key is not null and job_scheduler.free_key_slots(j, key_limit, e) <= 0;
    if e.id is not null then
        e := job_scheduler.start_queued_run(e.id, key_is_taken, me, good_until);
    elsif is_due and j.status = 'running' and j.overlap in ('skip', 'queue') then
        perform job_scheduler.await_running(j, run_for, next_due, next_if_run, me);
    elsif is_due then
        if j.status = 'running' and j.overlap = 'replace' and job_scheduler.stop_replaced(j.id, run_for) then
            key_is_taken := false;
        end if;
        e := job_scheduler.start_due_run(j, run_for, next_if_run, key_is_taken, me, good_until);
    end if;

    if e.status = 'running' then
        update public.scheduled_jobs
        set
            status = case when e.cause = 'schedule' then 'running' else status end,
            attempt = case when e.cause = 'schedule' then e.attempt else attempt end,
            progress = null, step = null, claimed_by = me, lease_expires_at = good_until, updated_at = now(),
            error = case when not starts_with(error, 'no live listener has the handler ') then error end
        where id = j.id;
    end if;
    perform job_scheduler.set_wake(array[j.id]);
    perform job_scheduler.complete_exhausted(array[j.id]);
    return case when e.status = 'running' then array[e.id] else '{}' end;
end
$$;
revoke all on function job_scheduler.claim_one(
    bigint, timestamptz, timestamptz, timestamptz, jsonb, text, uuid, timestamptz, timestamptz, integer,
    timestamptz
) from public;

-- Whether the next run of a job's schedule is the last that max_runs grants, counting those that wait or go on.
create or replace function job_scheduler.is_last_run(j public.scheduled_jobs)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return j.max_runs is not null and j.scheduled_runs + 1 + (
        select count(distinct u.scheduled_for) from public.job_executions as u
        where u.scheduled_job_id = j.id and u.cause = 'schedule' and u.status in ('queued', 'running')
    ) >= j.max_runs;
end
$$;
revoke all on function job_scheduler.is_last_run(public.scheduled_jobs) from public;

-- Enters the instants that were missed as skipped.
create or replace function job_scheduler.record_missed(
    j public.scheduled_jobs, missed jsonb, missed_reason text, me uuid
)
returns void
language sql
set search_path = ''
as $$
    insert into public.job_executions
        (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, reason, completed_at, listener_id,
         test_mode)
    select
        j.id, j.workspace_id, j.created_by, m.at::timestamptz, m.at::timestamptz, 'schedule', 'skipped', missed_reason,
        now(), me, j.test_mode
    from jsonb_array_elements_text(missed) as m (at)
    on conflict do nothing
$$;
revoke all on function job_scheduler.record_missed(public.scheduled_jobs, jsonb, text, uuid) from public;

-- Moves a job on to `next_due` without a run: each of its missed instants was skipped. A one-time job ends by that.
create or replace function job_scheduler.pass_over(job bigint, next_due timestamptz, missed_reason text)
returns public.scheduled_jobs
language sql
set search_path = ''
as $$
    update public.scheduled_jobs
    set
        due_at = next_due,
        status = case
            when trigger_type = 'once' and status = 'scheduled' and not (
                queued_runs > 0 and exists ( -- an earlier instant is tried again, and ends the job
                    select from public.job_executions as q
                    where q.scheduled_job_id = job and q.status = 'queued' and q.cause = 'schedule'
                )
            ) then 'cancelled'
            else status
        end,
        error = case
            when trigger_type = 'once' then missed_reason || ': the due instant passed by more than its grace'
            else error
        end,
        updated_at = now()
    where id = job
    returning *
$$;
revoke all on function job_scheduler.pass_over(bigint, timestamptz, text) from public;

-- The queued run of a job that may start first, locked; null where none may.
create or replace function job_scheduler.first_queued_run(j public.scheduled_jobs, soon timestamptz)
returns public.job_executions
language sql
set search_path = ''
as $$
    select q.*
    from public.job_executions as q
    cross join lateral (
        select coalesce(
            j.concurrency_key is not null and q.blocked_since is not null and q.run_at > now() - interval '10 seconds', false
        ) as holds_slot
    ) as k
    where
        q.scheduled_job_id = j.id and q.status = 'queued' and q.run_at <= soon
        and (q.cause = 'manual' or j.status = 'scheduled' or j.status = 'running' and j.overlap = 'allow')
    order by -- first the runs that the key was given to, see job_scheduler.free_key_slots
        k.holds_slot desc, case when k.holds_slot then q.blocked_since end, case when k.holds_slot then q.id end,
        q.run_at, q.scheduled_for
    limit 1
    for update of q
$$;
revoke all on function job_scheduler.first_queued_run(public.scheduled_jobs, timestamptz) from public;

-- Starts a queued run, or blocks it until a run of the same key ends: see job_scheduler.release_keys.
create or replace function job_scheduler.start_queued_run(run uuid, key_is_taken boolean, me uuid, good_until timestamptz)
returns public.job_executions
language plpgsql
set search_path = ''
as $$
declare
    e public.job_executions;
begin
    if key_is_taken then
        update public.job_executions
        set run_at = null, reason = 'concurrency', blocked_since = coalesce(blocked_since, run_at)
        where id = run
        returning * into e;
    else
        update public.job_executions
        set
            status = 'running', reason = null, blocked_since = null, listener_id = me, fence = fence + 1,
            lease_expires_at = good_until, started_at = greatest(run_at, now())
        where id = run
        returning * into e;
    end if;
    return e;
end
$$;
revoke all on function job_scheduler.start_queued_run(uuid, boolean, uuid, timestamptz) from public;

-- Enters a due instant that met a running job: queued or skipped, as the job says. An instant that was due before the
-- present run began did not meet a running job: it waits its turn.
create or replace function job_scheduler.await_running(
    j public.scheduled_jobs, run_for timestamptz, next_due timestamptz, next_if_run timestamptz, me uuid
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    must_skip constant boolean := j.overlap = 'skip' and exists (
        select from public.job_executions as o
        where
            o.scheduled_job_id = j.id and o.status = 'running' and o.lease_expires_at is not null
            and o.cause = 'schedule' and o.stopped_at is null and o.started_at <= run_for
    );
begin
    insert into public.job_executions
        (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, reason, completed_at, listener_id,
         test_mode)
    values (
        j.id, j.workspace_id, j.created_by, run_for, run_for, 'schedule',
        case when must_skip then 'skipped' else 'queued' end, 'overlap', case when must_skip then now() end, me,
        j.test_mode
    )
    on conflict do nothing;
    update public.scheduled_jobs
    set due_at = case when must_skip then next_due else next_if_run end, updated_at = now()
    where id = j.id;
end
$$;
revoke all on function
job_scheduler.await_running(public.scheduled_jobs, timestamptz, timestamptz, timestamptz, uuid)
from public;

-- Enters the run of a due instant, started or, while its key is taken, blocked; null where the ledger has that instant.
create or replace function job_scheduler.start_due_run(
    j public.scheduled_jobs, run_for timestamptz, next_if_run timestamptz, key_is_taken boolean, me uuid,
    good_until timestamptz
)
returns public.job_executions
language plpgsql
set search_path = ''
as $$
declare
    e public.job_executions;
begin
    insert into public.job_executions
        (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, reason, blocked_since,
         listener_id, lease_expires_at, started_at, test_mode)
    select
        j.id, j.workspace_id, j.created_by, run_for, case when not key_is_taken then run_for end, 'schedule',
        case when key_is_taken then 'queued' else 'running' end, case when key_is_taken then 'concurrency' end,
        case when key_is_taken then run_for end, case when not key_is_taken then me end,
        case when not key_is_taken then good_until end, case when not key_is_taken then greatest(run_for, now()) end,
        j.test_mode
    on conflict do nothing
    returning * into e;
    -- A one-time job that is to run again at an instant that it has had gets a new one.
    update public.scheduled_jobs
    set
        due_at = case
            when e.id is null and trigger_type = 'once' and status = 'scheduled' then clock_timestamp()
            else next_if_run
        end,
        updated_at = now()
    where id = j.id;
    return e;
end
$$;
revoke all on function
job_scheduler.start_due_run(public.scheduled_jobs, timestamptz, timestamptz, boolean, uuid, timestamptz)
from public;
