do $migration$
declare
    body constant text := $file$
-- Waits a moment for jobs that no query shows, and returns those that one shows: a channel reports a commit shortly before it
-- becomes visible.
create or replace function job_scheduler.await_commits(jobs bigint[])
returns bigint[]
language plpgsql
set search_path = ''
set enable_indexonlyscan = off -- an index that has the id in its second place looks as good while the table is empty
as $$
declare
    visible bigint[];
begin
    for attempt in 1 .. 5 loop
        visible := array(select j.id from public.scheduled_jobs as j where j.id = any(jobs));
        exit when cardinality(visible) = cardinality(jobs);
        perform pg_sleep(0.001);
    end loop;
    return visible;
end
$$;
revoke all on function job_scheduler.await_commits(bigint[]) from public;

-- Claims the due instant of a single job, the most frequent request outside of bursts, by its key: joins and aggregates of
-- batches cost a fifth of such a claim. What is granted, and how, is as in claim_batch and claim_free. It runs with the settings
-- of its caller. -> the answer of claim_runs_v1; null: the request is for more than that, or the job is not simply free
create or replace function job_scheduler.claim_lone(request jsonb)
returns json
language plpgsql
set search_path = ''
as $$
declare
    claim constant jsonb := request -> 'claims' -> 0;
    me constant uuid := request ->> 'listener';
    lease constant interval := make_interval(secs => (request ->> 'lease_seconds')::double precision);
    due constant timestamptz := claim ->> 'due';
    good_until timestamptz;
    following timestamptz;
    job record;
    run record;
    runs json;
begin
    if jsonb_array_length(request -> 'claims') <> 1 or claim ->> 'again' = 'true'
        or jsonb_typeof(claim -> 'missed') = 'array' then
        return null;
    end if;
    select j.id, j.workspace_id, j.created_by, j.test_mode, j.trigger_type, j.scheduled_runs, j.max_runs into job
    from public.scheduled_jobs as j
    where
        j.id = (claim ->> 'id')::bigint and j.status = 'scheduled' and j.due_at = due and j.queued_runs = 0
        and (request -> 'handlers' ? j.handler) is not false
        and due <= clock_timestamp() + make_interval(secs => (request ->> 'ahead_seconds')::double precision)
        and j.concurrency_key is null and j.defined_at = coalesce((claim ->> 'defined_at')::timestamptz, j.defined_at)
        and (claim ->> 'hinted' is null or j.trigger_type = 'once' and j.misfire <> 'skip')
    for update of j skip locked;
    if not found then
        return null;
    end if;
    if coalesce(job.created_by, job.workspace_id) is not null
        and (select cardinality(h.held) > 0 from job_scheduler.hold_back(array[job.id]) as h) then
        return null;
    end if;

    good_until := clock_timestamp() + lease;
    insert into public.job_executions
        (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, listener_id, lease_expires_at,
         started_at, test_mode)
    values (
        job.id, job.workspace_id, job.created_by, due, due, 'schedule', 'running', me, good_until, greatest(due, now()),
        job.test_mode
    )
    on conflict (scheduled_job_id, scheduled_for, cause, attempt) do nothing
    returning id, fence, scheduled_for, run_at, attempt, cause, test_mode into run;
    if not found then
        return null;
    end if;
    following := case
        when job.trigger_type <> 'once' and (claim ->> 'exhausted')::boolean is not true
            and (job.scheduled_runs + 1 >= job.max_runs) is not true then (claim ->> 'next')::timestamptz
    end;
    update public.scheduled_jobs as j
    set
        status = 'running', attempt = 1, progress = null, step = null, claimed_by = me, lease_expires_at = good_until,
        updated_at = now(), due_at = following, next_run_at = following,
        error = case when not starts_with(j.error, 'no live listener has the handler ') then j.error end
    where j.id = job.id
    returning json_build_object(
        'execution_id', array[run.id], 'fence', array[run.fence], 'scheduled_for', array[run.scheduled_for],
        'run_at', array[run.run_at], 'attempt', array[run.attempt], 'cause', array[run.cause],
        'test_mode', array[run.test_mode], 'id', array[j.id], 'revision', array[j.revision],
        'job_id', array[j.job_id], 'workspace_id', array[j.workspace_id], 'created_by', array[j.created_by],
        'name', array[j.name], 'description', array[j.description], 'handler', array[j.handler],
        'metadata', array[j.metadata], 'trigger_type', array[j.trigger_type], 'run_date', array[j.run_date],
        'schedule', array[j.schedule], 'timezone', array[j.timezone], 'last_run_at', array[j.last_run_at],
        'priority', array[j.priority], 'max_attempts', array[j.max_attempts],
        'retry_delay_seconds', array[j.retry_delay_seconds], 'retry_backoff', array[j.retry_backoff],
        'timeout_seconds', array[j.timeout_seconds], 'exposed_only', array[j.exposed_only],
        'store_result', array[j.store_result], 'traceparent', array[j.traceparent]
    ) into runs;
    if clock_timestamp() > good_until - lease * 0.9 then
        perform job_scheduler.lease_anew(array[run.id], me, clock_timestamp() + lease);
    end if;

    return json_build_object(
        'now', clock_timestamp(), 'full', false,
        'runs', coalesce(runs, job_scheduler.claimed_runs(array[run.id], array[job.id])), -- a trigger may refuse the update
        'rows', '[]'::json, 'taken', 0, 'bounded', '{}'::uuid[], 'skipped', job_scheduler.skipped(), 'stopped', '[]'::json
    );
end
$$;
revoke all on function job_scheduler.claim_lone(jsonb) from public;

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

-- Claims due instants: one statement checks status and due time, writes the ledger and moves the job on.
-- {listener, handlers: [name], lease_seconds, ahead_seconds, max_bytes, max_seconds, claims: [{id, due, next, exhausted, run,
-- missed: [instant], missed_reason, hinted, turn}], run_restored}. Jobs of other handlers than these are refused. Once the
-- metadata of what is granted has `max_bytes`, or claims one by one took `max_seconds`, the answer is `full`: the rest is left
-- to the next.
-- `hinted`: a notification alone named the job, and anybody may have sent it; so only a job that its claim says all about is
-- granted.
-- `turn`: so many listeners were to claim the job first, and may be about to.
-- `again` repeats a claim whose answer was lost: it is also granted what it was granted then.
-- `due` is the due instant that the job must still have, and `defined_at` the definition from which `next` was computed;
-- with `missed`, `run` is the instant to run (null: none). A long
-- past is entered in several claims: `next` is then the first instant that is left, from which the next claim continues.
-- -> {now, full, runs: as claimed_runs, rows: [job_row of each job that was not simply granted], taken: count, bounded:
-- [workspace or user that is at its quota of runs], skipped: {reason: count}}
-- A job that no query shows is in neither list: it was deleted, which channels and polls report, or is not visible yet. Nor is a
-- one-time job that somebody else has claimed: `taken` counts these, since listeners try the jobs of the others soon after them.
-- Batches are looked up by key, however large the table and however stale its statistics: each table by an array of keys, and
-- joined by hash, so that a plan, made once for a connection, is the same whenever it is made. Planning anew cost as much as
-- the claim of one job. What is called for unusual claims only has settings of its own.
create or replace function public.claim_runs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
set lock_timeout = '2s' -- a key or row that is locked for longer delays only its own claim: a smaller batch goes without it
as $$
begin
    perform set_config('job_scheduler.stage', 'service', true);
    perform job_scheduler.refuse_restored(request);
    return coalesce(job_scheduler.claim_lone(request), job_scheduler.claim_batch(request));
end
$$;
revoke all on function public.claim_runs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.claim_runs_v1(jsonb) to service_role;

-- Claims as claim_runs_v1 says. It runs with the settings of its caller.
create or replace function job_scheduler.claim_batch(request jsonb)
returns json
language plpgsql
set search_path = ''
as $$
declare
    me constant uuid := (request ->> 'listener')::uuid;
    lease constant interval := make_interval(secs => (request ->> 'lease_seconds')::double precision);
    good_until timestamptz := clock_timestamp() + lease;
    ahead constant interval := make_interval(secs => (request ->> 'ahead_seconds')::double precision);
    ids constant bigint[] := array(select (c ->> 'id')::bigint from jsonb_array_elements(request -> 'claims') as c);
    handlers constant text[] := job_scheduler.handlers_of(request);
    free_jobs bigint[];
    free_dues timestamptz[];
    free_nexts timestamptz[];
    free_workspaces uuid[];
    free_owners uuid[];
    free_test_modes boolean[];
    claimed uuid[];
    claimed_jobs bigint[];
    again_jobs bigint[];
    bytes_left bigint := coalesce((request ->> 'max_bytes')::bigint, 1000000000);
    refused json := '[]';
    contested bigint[]; -- all but one-time jobs that somebody has claimed
    is_owned boolean; -- by somebody who has bounds, or may be
    judged bigint[]; -- whose bounds have been looked at: a job that becomes visible after that is left to the next claim
    held bigint[] := '{}'; -- at the bounds of their parties
    bounded uuid[] := '{}';
begin
    if request -> 'claims' @> '[{"again": true}]' then
        again_jobs := job_scheduler.lock_again(request -> 'claims');
    end if;
    -- Arrays, not one statement of several CTEs: the planner joins those row by row.
    with requested as (
        select c.*
        from jsonb_to_recordset(request -> 'claims')
            as c (
                id bigint, due timestamptz, "next" timestamptz, exhausted boolean, missed jsonb, defined_at timestamptz,
                hinted boolean
            )
    ), free as (
        select
            j.id, a.due, j.workspace_id, j.created_by, j.test_mode,
            case
                when j.trigger_type = 'once' or a.exhausted or j.scheduled_runs + 1 >= j.max_runs then null
                else a.next
            end as next,
            case
                when pg_column_compression(j.metadata) is null then pg_column_size(j.metadata)
                else octet_length(j.metadata::text)
            end as bytes
        from public.scheduled_jobs as j
        inner join requested as a on j.id = a.id
        where
            j.id = any(ids) and j.status = 'scheduled' and j.due_at = a.due and j.queued_runs = 0
            and (j.handler = any(handlers)) is not false
            and a.due <= clock_timestamp() + ahead
            and j.concurrency_key is null and a.missed is null and j.defined_at = coalesce(a.defined_at, j.defined_at)
            and (a.hinted is null or j.trigger_type = 'once' and j.misfire <> 'skip')
        order by j.id
        for update of j skip locked
    ), sized as (
        select f.*, sum(f.bytes) over (order by f.id) - f.bytes as before from free as f
    )
    select
        array_agg(s.id), array_agg(s.due), array_agg(s.next), array_agg(s.workspace_id), array_agg(s.created_by),
        array_agg(s.test_mode), count(*) < cardinality(ids) or bool_or(coalesce(s.created_by, s.workspace_id) is not null),
        bytes_left - coalesce(sum(s.bytes), 0)
    into free_jobs, free_dues, free_nexts, free_workspaces, free_owners, free_test_modes, is_owned, bytes_left
    from sized as s where s.before < bytes_left;
    contested := case when cardinality(free_jobs) = cardinality(ids) then ids else job_scheduler.not_taken(ids) end;
    judged := case when cardinality(free_jobs) = cardinality(ids) then ids else job_scheduler.await_commits(contested) end;
    if is_owned and cardinality(contested) > 0 then
        select h.held, h.bounded into held, bounded from job_scheduler.hold_back(judged) as h;
    end if;
    select c.claimed, c.claimed_jobs into claimed, claimed_jobs
    from job_scheduler.claim_free(
        free_jobs, free_dues, free_nexts, free_workspaces, free_owners, free_test_modes, held, me, good_until
    ) as c;

    if cardinality(claimed_jobs) < cardinality(contested) then
        select l.bytes_left, claimed || l.granted into bytes_left, claimed
        from job_scheduler.claim_left_over(
            request, array(select i.id from unnest(judged) as i (id) where i.id <> all(held)), claimed_jobs, me, good_until,
            ahead, bytes_left
        ) as l;
        select coalesce(json_agg(j.job_row), '[]') into refused
        from job_scheduler.job_rows as j
        where j.id = any(contested) and j.id <> all(claimed_jobs);
    end if;
    claimed := claimed
        || case when again_jobs is not null then job_scheduler.granted_before(again_jobs, claimed, me, good_until) end;
    if clock_timestamp() > good_until - lease * 0.9 then -- it waited for locks, and what is granted is granted now
        perform job_scheduler.lease_anew(claimed, me, clock_timestamp() + lease);
    end if;

    return json_build_object(
        'now', clock_timestamp(), 'full', bytes_left <= 0, 'runs', job_scheduler.claimed_runs(claimed, ids), 'rows', refused,
        'taken', cardinality(ids) - cardinality(contested), 'bounded', bounded, 'skipped', job_scheduler.skipped(),
        'stopped', job_scheduler.stopped()
    );
end
$$;
revoke all on function job_scheduler.claim_batch(jsonb) from public;

-- Enters the runs of these jobs but for those held back, and moves the jobs on. They are locked, and nothing else stands in
-- the way. It runs with the settings of its caller.
create or replace function job_scheduler.claim_free(
    free_jobs bigint[], free_dues timestamptz[], free_nexts timestamptz[], free_workspaces uuid[], free_owners uuid[],
    free_test_modes boolean[], held bigint[], me uuid, good_until timestamptz, out claimed uuid[], out claimed_jobs bigint[]
)
language plpgsql
set search_path = ''
as $$
begin
    with entered as (
        insert into public.job_executions
            (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, listener_id, lease_expires_at,
             started_at, test_mode)
        select
            f.id, f.workspace_id, f.created_by, f.due, f.due, 'schedule', 'running', me, good_until,
            greatest(f.due, now()), f.test_mode
        from unnest(free_jobs, free_dues, free_workspaces, free_owners, free_test_modes)
            as f (id, due, workspace_id, created_by, test_mode)
        where f.id <> all(held)
        on conflict (scheduled_job_id, scheduled_for, cause, attempt) do nothing
        returning id, scheduled_job_id
    )
    select coalesce(array_agg(e.id), '{}'), coalesce(array_agg(e.scheduled_job_id), '{}') into claimed, claimed_jobs
    from entered as e;

    update public.scheduled_jobs as j
    set
        status = 'running', attempt = 1, progress = null, step = null, claimed_by = me, lease_expires_at = good_until,
        updated_at = now(), due_at = f.next, next_run_at = f.next,
        error = case when not starts_with(j.error, 'no live listener has the handler ') then j.error end
    from unnest(free_jobs, free_nexts) as f (id, next)
    where j.id = f.id and j.id = any(claimed_jobs);
end
$$;
revoke all on function
job_scheduler.claim_free(
    bigint[], timestamptz[], timestamptz[], uuid[], uuid[], boolean[], bigint[], uuid, timestamptz
)
from public;

-- Claims one by one what cannot be claimed with all others: jobs with queued runs, missed instants or a key, and those whose
-- rows somebody had locked, until `bytes_left` for metadata is used up, or the request's `max_seconds`, for which others wait;
-- those come first that the request names first.
create or replace function job_scheduler.claim_left_over(
    request jsonb, ids bigint[], claimed_jobs bigint[], me uuid, good_until timestamptz, ahead interval,
    inout bytes_left bigint, out granted uuid[]
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_nestloop = on
set enable_mergejoin = on
as $$
declare
    claimed uuid[];
    unusual bigint[];
    left_over record;
    done_by constant timestamptz := clock_timestamp() + make_interval(secs => (request ->> 'max_seconds')::double precision);
begin
    granted := '{}';
    if bytes_left <= 0 then
        return;
    end if;
    -- Jobs that another listener has claimed before are only answered with their rows; so are plain ones that others are to claim
    -- first, and had locked just now.
    select coalesce(array_agg(j.id), '{}') into unusual
    from jsonb_to_recordset(request -> 'claims')
        as c (id bigint, due timestamptz, hinted boolean, missed jsonb, turn integer)
    inner join public.scheduled_jobs as j on c.id = j.id
    where
        j.id = any(ids) and j.id <> all(claimed_jobs)
        and (j.handler = any(job_scheduler.handlers_of(request))) is not false
        and (c.hinted is null or j.trigger_type = 'once' and j.misfire <> 'skip')
        and (j.due_at = c.due or j.queued_runs > 0 or c.due is null and j.next_run_at is not null)
        and not (
            c.turn > 0 and j.status = 'scheduled' and j.due_at = c.due and j.queued_runs = 0 and j.concurrency_key is null
            and c.missed is null
        ) is true;
    perform job_scheduler.lock_keys(unusual);
    for left_over in
        select
            c.id, c.due, c.run, c.missed, c.missed_reason, c.defined_at,
            case when s.trigger_type = 'once' or c.exhausted then null else c.next end as next,
            case
                when pg_column_compression(s.metadata) is null then pg_column_size(s.metadata)
                else octet_length(s.metadata::text)
            end as bytes
        from rows from (
            jsonb_to_recordset(request -> 'claims') as (
                id bigint, due timestamptz, "next" timestamptz, exhausted boolean, "run" timestamptz, missed jsonb,
                missed_reason text, defined_at timestamptz
            )
        ) with ordinality as c (id, due, "next", exhausted, "run", missed, missed_reason, defined_at, n)
        inner join public.scheduled_jobs as s on c.id = s.id
        where s.id = any(unusual)
        order by
            min(c.n) over (
                partition by
                    coalesce(s.workspace_id, s.created_by), s.concurrency_key, case when s.concurrency_key is null then s.id end
            ),
            s.priority desc, c.due, c.id -- of the jobs that share a free key, the first one gets it
    loop
        claimed := job_scheduler.claim_one(
            left_over.id, left_over.due, left_over.next,
            case when left_over.missed is null then left_over.due else left_over.run end,
            left_over.missed, left_over.missed_reason, me, good_until, clock_timestamp() + ahead,
            coalesce((request ->> 'key_concurrency')::integer, 1), left_over.defined_at
        );
        granted := granted || claimed;
        bytes_left := bytes_left - left_over.bytes * cardinality(claimed);
        if clock_timestamp() > done_by then
            bytes_left := 0;
        end if;
        exit when bytes_left <= 0;
    end loop;
end
$$;
revoke all on function
job_scheduler.claim_left_over(jsonb, bigint[], bigint[], uuid, timestamptz, interval, bigint)
from public;

-- Claimed runs of these jobs as the executor receives them: the columns of each execution that it needs, and of its job, each
-- as an array, since there may be hundreds: that costs half as much as objects, and has half the bytes. It runs with the
-- settings of its caller. claim_lone has the same columns. -> {column: [value of each run]}
create or replace function job_scheduler.claimed_runs(executions uuid[], jobs bigint[])
returns json
language plpgsql
set search_path = ''
as $$
begin
    return (
        select case when count(*) = 0 then '{}' else json_build_object(
            'execution_id', array_agg(e.id), 'fence', array_agg(e.fence), 'scheduled_for', array_agg(e.scheduled_for),
            'run_at', array_agg(e.run_at), 'attempt', array_agg(e.attempt), 'cause', array_agg(e.cause),
            'test_mode', array_agg(e.test_mode), 'id', array_agg(j.id), 'revision', array_agg(j.revision),
            'job_id', array_agg(j.job_id), 'workspace_id', array_agg(j.workspace_id), 'created_by', array_agg(j.created_by),
            'name', array_agg(j.name), 'description', array_agg(j.description), 'handler', array_agg(j.handler),
            'metadata', array_agg(j.metadata), 'trigger_type', array_agg(j.trigger_type), 'run_date', array_agg(j.run_date),
            'schedule', array_agg(j.schedule), 'timezone', array_agg(j.timezone), 'last_run_at', array_agg(j.last_run_at),
            'priority', array_agg(j.priority), 'max_attempts', array_agg(j.max_attempts),
            'retry_delay_seconds', array_agg(j.retry_delay_seconds), 'retry_backoff', array_agg(j.retry_backoff),
            'timeout_seconds', array_agg(j.timeout_seconds), 'exposed_only', array_agg(j.exposed_only),
            'store_result', array_agg(j.store_result), 'traceparent', array_agg(j.traceparent)
        ) end
        from public.job_executions as e
        -- + 0: no index of the ledger by job is to look useful for this join
        inner join public.scheduled_jobs as j on e.scheduled_job_id + 0 = j.id
        where e.id = any(executions) and j.id = any(jobs)
    );
end
$$;
revoke all on function job_scheduler.claimed_runs(uuid[], bigint[]) from public;

-- Of these jobs all but the one-time jobs whose run somebody has claimed, which have nothing more to do. It runs with the
-- settings of its caller.
create or replace function job_scheduler.not_taken(jobs bigint[])
returns bigint[]
language plpgsql
set search_path = ''
as $$
begin
    return array(
        select i.id
        from unnest(jobs) as i (id)
        left join public.scheduled_jobs as j
            on
                i.id = j.id and j.id = any(jobs) and j.trigger_type = 'once'
                and j.status in ('running', 'completed', 'failed') and j.due_at is null and j.next_run_at is null
                and j.queued_runs = 0
        where j.id is null
    );
end
$$;
revoke all on function job_scheduler.not_taken(bigint[]) from public;

-- Lets the leases of runs that were claimed just now begin now.
create or replace function job_scheduler.lease_anew(executions uuid[], me uuid, good_until timestamptz)
returns void
language sql
set search_path = ''
as $$
    update public.job_executions set lease_expires_at = good_until where id = any(executions);
    update public.scheduled_jobs as j
    set lease_expires_at = good_until
    where j.claimed_by = me and j.id = any(
        array(select e.scheduled_job_id from public.job_executions as e where e.id = any(executions))
    );
$$;
revoke all on function job_scheduler.lease_anew(uuid[], uuid, timestamptz) from public;

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

-- Counts the instants that this transaction skips, by reason, for the listener's metrics. A trigger, so that no function that
-- skips one has to remember it.
create or replace function job_scheduler.count_skipped()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    counts constant jsonb := job_scheduler.skipped();
begin
    perform set_config('job_scheduler.skipped', jsonb_set(
        counts, array[coalesce(new.reason, 'unknown')], to_jsonb(coalesce((counts ->> new.reason)::integer, 0) + 1)
    )::text, true);
    return null;
end
$$;
revoke all on function job_scheduler.count_skipped() from public;

-- Returns what this transaction has skipped so far: {reason: count}.
create or replace function job_scheduler.skipped()
returns jsonb
language sql
stable
set search_path = ''
as $$
    select coalesce(nullif(current_setting('job_scheduler.skipped', true), ''), '{}')::jsonb
$$;
revoke all on function job_scheduler.skipped() from public;

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

-- How many runs of a party go on at a time and begin in a minute, over all listeners. A party is a workspace whose settings
-- name one of these bounds, else the user who made the job; the service's own jobs have none.

-- How many runs of a party go on.
create or replace function job_scheduler.running_of(party uuid, is_workspace boolean)
returns bigint
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_nestloop = on
set enable_mergejoin = on
as $$
begin
    if is_workspace then
        return (
            select count(*) from public.job_executions as e
            where e.workspace_id = party and e.lease_expires_at is not null
        );
    end if;
    return (
        select count(*)
        from public.job_executions as e
        where
            e.created_by = party and e.lease_expires_at is not null
            and (e.workspace_id is null or not exists (
                select from public.job_workspaces as w
                where w.id = e.workspace_id and w.settings ?| array['max_running', 'max_runs_per_minute']
            ))
    );
end
$$;
revoke all on function job_scheduler.running_of(uuid, boolean) from public;

-- Of these jobs, those whose claims have to wait, and the parties that are at their bounds. What is let through is counted
-- here, and claims of one party take turns at its row of job_scheduler.usage: it is called once, with all jobs of a claim.
create or replace function job_scheduler.hold_back(jobs bigint[], out held bigint[], out bounded uuid[])
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_nestloop = on
set enable_mergejoin = on
as $$
declare
    this_minute constant timestamptz := date_trunc('minute', clock_timestamp());
    usual_running constant numeric := job_scheduler.limit_of('quota_max_running');
    usual_rate constant numeric := job_scheduler.limit_of('quota_max_runs_per_minute');
    owned bigint[];
    parties uuid[];
    workspaces boolean[];
    runnings numeric[];
    rates numeric[];
begin
    held := '{}';
    bounded := '{}';
    select
        array_agg(o.id), array_agg(case when o.is_workspace then o.workspace_id else o.created_by end),
        array_agg(o.is_workspace), array_agg(coalesce((o.settings ->> 'max_running')::numeric, usual_running)),
        array_agg(coalesce((o.settings ->> 'max_runs_per_minute')::numeric, usual_rate))
    into owned, parties, workspaces, runnings, rates
    from (
        select
            j.id, j.workspace_id, j.created_by, w.settings,
            coalesce(w.settings ?| array['max_running', 'max_runs_per_minute'], false) as is_workspace
        from public.scheduled_jobs as j
        left join public.job_workspaces as w on j.workspace_id = w.id
        where j.id = any(jobs) and j.next_run_at <= clock_timestamp() + interval '10 seconds'
        order by j.priority desc, j.next_run_at, j.id
    ) as o
    where o.created_by is not null or o.is_workspace and o.settings -> 'limit_service' = 'true';
    if owned is null then
        return;
    end if;
    insert into job_scheduler.usage as u (party, minute, runs)
    select p.party, this_minute, 0 from (select distinct o.party from unnest(parties) as o (party)) as p
    order by p.party
    on conflict (party) do update
    set minute = this_minute, runs = case when u.minute = this_minute then u.runs else 0 end;

    with wanted as (
        select o.*, row_number() over (partition by o.party order by o.place) as number
        from unnest(owned, parties, workspaces, runnings, rates)
            with ordinality as o (id, party, is_workspace, max_running, max_rate, place)
    ), allowances as (
        select w.party, least(
            w.max_running - job_scheduler.running_of(w.party, w.is_workspace), w.max_rate - u.runs
        ) as free_slots
        from wanted as w
        inner join job_scheduler.usage as u on w.party = u.party
        where w.number = 1
    ), counted as (
        update job_scheduler.usage as u
        set runs = u.runs + c.runs
        from (
            select w.party, count(*) as runs
            from wanted as w
            inner join allowances as r on w.party = r.party
            where w.number <= r.free_slots
            group by w.party
        ) as c
        where u.party = c.party
    )
    select coalesce(array_agg(w.id), '{}'), coalesce(array_agg(distinct w.party), '{}') into held, bounded
    from wanted as w
    inner join allowances as r on w.party = r.party
    where w.number > r.free_slots;
end
$$;
revoke all on function job_scheduler.hold_back(bigint[]) from public;

-- Extends the claims on these runs, each named with its fence. A claim that is no longer held is answered as lost; one
-- whose row somebody else has locked just now is neither lost nor extended.
create or replace function job_scheduler.extend_claims(
    executions jsonb, me uuid, lease interval, out lost json, out unsure json
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan -- these as in claim_runs_v1
set enable_seqscan = off
set enable_nestloop = off -- thousands of claims at a time would be compared with one another
set enable_mergejoin = off
as $$
declare
    ids constant uuid[] := array(select (x ->> 0)::uuid from jsonb_array_elements(executions) as x);
    fences constant integer[] := array(select (x ->> 1)::integer from jsonb_array_elements(executions) as x);
    extended uuid[];
    jobs bigint[];
begin
    with mine as (
        select e.id
        from unnest(ids, fences) as x (id, fence)
        inner join public.job_executions as e on x.id = e.id
        where e.id = any(ids) and e.status = 'running' and e.listener_id = me and e.fence = x.fence
        for no key update of e skip locked
    ), written as (
        update public.job_executions as e
        set lease_expires_at = clock_timestamp() + lease
        where e.id = any(array(select m.id from mine as m))
        returning e.id, e.scheduled_job_id
    )
    select coalesce(array_agg(w.id), '{}'), array_agg(w.scheduled_job_id) into extended, jobs from written as w;

    update public.job_executions as e
    set stopped_at = now() -- its job was cancelled while this row was locked, by an end that was not written then
    where
        e.id = any(extended) and e.stopped_at is null and e.cause = 'schedule'
        and e.scheduled_job_id = any(
            array(select j.id from public.scheduled_jobs as j where j.id = any(jobs) and j.status = 'cancelled')
        );

    update public.scheduled_jobs as j
    set lease_expires_at = clock_timestamp() + lease
    where j.id = any(array(
        select s.id
        from public.scheduled_jobs as s
        where s.id = any(jobs) and s.claimed_by = me
        for no key update skip locked -- it is only for display; the ledger decides
    ));

    select
        coalesce(json_agg(json_build_array(x.id, x.fence)) filter (where e.id is null), '[]'),
        coalesce(json_agg(json_build_array(x.id, x.fence)) filter (where e.id is not null), '[]')
    into lost, unsure
    from unnest(ids, fences) as x (id, fence)
    left join unnest(extended) as w (id) on x.id = w.id
    left join public.job_executions as e
        on e.id = any(ids) and x.id = e.id and e.status = 'running' and e.listener_id = me and e.fence = x.fence
    where w.id is null or e.id is null;
end
$$;
revoke all on function job_scheduler.extend_claims(jsonb, uuid, interval) from public;

-- Notes a heartbeat; answers whether the listener is new. A row that somebody has locked is not waited for: leases matter more.
create or replace function job_scheduler.note_heartbeat(
    me uuid, name text, handlers text[], version text, capacity integer, lease interval, receives_notify boolean
)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    update public.job_listeners as l
    set heartbeat_at = clock_timestamp(), receives_notify = note_heartbeat.receives_notify
    where l.id = any(array(select o.id from public.job_listeners as o where o.id = me for no key update skip locked));
    if found or exists (select from public.job_listeners as l where l.id = me) then
        return false;
    end if;
    insert into public.job_listeners (id, name, handlers, version, capacity, lease_seconds, receives_notify)
    values (me, name, handlers, version, capacity, extract(epoch from lease)::double precision, receives_notify)
    on conflict do nothing;
    return true;
end
$$;
revoke all on function job_scheduler.note_heartbeat(uuid, text, text[], text, integer, interval, boolean) from public;

-- Whether every live listener receives NOTIFY; no, if none is alive.
create or replace function job_scheduler.all_receive_notify()
returns boolean
language sql
set search_path = ''
as $$
    select coalesce(bool_and(l.receives_notify), false)
    from public.job_listeners as l
    where l.heartbeat_at > clock_timestamp() - make_interval(secs => l.lease_seconds / 2)
$$;
revoke all on function job_scheduler.all_receive_notify() from public;

-- Has statements notify by NOTIFY alone, for so long, if every live listener receives it; else through Realtime again, and ends a
-- mute of NOTIFY, which lasts no longer. The one that holds the row sees what those before it have written, so that no heartbeat
-- overlooks a listener that has just come; and a listener learns by its polls that Realtime is spared.
create or replace function job_scheduler.spare_realtime(lease interval)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if job_scheduler.all_receive_notify() then
        perform from job_scheduler.listening as l
        where coalesce(l.spared_until < clock_timestamp() + lease * 0.7, true)
        for no key update skip locked;
        if found and job_scheduler.all_receive_notify() then
            update job_scheduler.listening as l set spared_until = clock_timestamp() + lease where l.is_only;
        end if;
        return;
    end if;
    update job_scheduler.listening as l set spared_until = clock_timestamp() where l.spared_until > clock_timestamp();
    if found then
        update job_scheduler.mute as m
        set notify_until = clock_timestamp()
        where m.notify_until > clock_timestamp() and m.until <= clock_timestamp();
    end if;
exception when lock_not_available then
    raise warning 'job_scheduler.spare_realtime: %', sqlerrm; -- leases matter more
end
$$;
revoke all on function job_scheduler.spare_realtime(interval) from public;

-- A listener's heartbeat, and the extension of its claims.
-- {listener, name, version, capacity, handlers: [name], lease_seconds, executions: [[id, fence]], shares, receives_notify} ->
--   {now, lost: [[id, fence]], unsure: [[id, fence]], listeners: {id: its last heartbeat}, handlers: {id: [name]} of those that
--   have other handlers, has_alerts: whether to call evaluate_alerts_v1}
-- A listener that starts or stops sends no heartbeat. A listener that missed at most one heartbeat is alive.
create or replace function public.extend_leases_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set lock_timeout = '2s'
as $$
declare
    me constant uuid := (request ->> 'listener')::uuid;
    lease constant interval := make_interval(secs => (request ->> 'lease_seconds')::double precision);
    mine constant text[] := coalesce(job_scheduler.handlers_of(request), '{}');
    shares constant boolean := coalesce((request ->> 'shares')::boolean, true);
    claims record;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    if
        shares and job_scheduler.note_heartbeat(
            me, request ->> 'name', mine, request ->> 'version', (request ->> 'capacity')::integer, lease,
            coalesce((request ->> 'receives_notify')::boolean, false)
        ) then
        perform job_scheduler.notify('job_listeners', null);
    end if;
    delete from public.job_listeners
    where id = any(array(
        select l.id from public.job_listeners as l
        where l.heartbeat_at < now() - greatest(lease * 10, interval '10 minutes')
        for update skip locked
    ));

    select * into claims from job_scheduler.extend_claims(request -> 'executions', me, lease);
    if shares then
        perform job_scheduler.spare_realtime(lease); -- last, since other heartbeats wait for its row
    end if;
    return json_build_object(
        'now', clock_timestamp(),
        'lost', claims.lost,
        'unsure', claims.unsure,
        'has_alerts', job_scheduler.has_alerts(),
        'listeners', (
            select json_object_agg(l.id, l.heartbeat_at)
            from public.job_listeners as l
            where l.heartbeat_at > now() - lease / 2
        ),
        'handlers', (
            select json_object_agg(l.id, l.handlers)
            from public.job_listeners as l
            where l.heartbeat_at > now() - lease / 2 and l.handlers <> mine
        )
    );
end
$$;
revoke all on function public.extend_leases_v1(jsonb) from public, anon, authenticated;
grant execute on function public.extend_leases_v1(jsonb) to service_role;

-- A listener announces that it leaves, so that its share passes on at once.
create or replace function public.leave_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set lock_timeout = '2s'
as $$
begin
    delete from public.job_listeners where id = (request ->> 'listener')::uuid;
    if found then
        perform job_scheduler.notify('job_listeners', null);
        if not job_scheduler.all_receive_notify() then
            perform job_scheduler.spare_realtime('0');
        end if;
    end if;
    return json_build_object('now', clock_timestamp());
end
$$;
revoke all on function public.leave_v1(jsonb) from public, anon, authenticated;
grant execute on function public.leave_v1(jsonb) to service_role;

-- The functions that the service calls: one jsonb argument and one json answer each, so that one request carries
-- hundreds of jobs. Names end in a version, so that old and new replicas live together during a deploy.
-- All are security definer, because they write columns that not even service_role may write itself, and only
-- service_role may call them.

-- The columns that a listener keeps of a job, to arm it and to compute later instants. A view, because a function is called
-- for each row, and there may be thousands.
create or replace view job_scheduler.job_rows with (security_invoker = true) as
select
    j.id,
    j.revision,
    j.changed_in,
    j.next_run_at,
    j.is_planned,
    j.status,
    j.trigger_type,
    case
        when j.trigger_type = 'once' then json_build_object(
            'id', j.id, 'revision', j.revision, 'changed_in', j.changed_in, 'status', j.status, 'priority', j.priority,
            'due_at', j.due_at, 'next_run_at', j.next_run_at, 'trigger_type', 'once',
            'misfire', j.misfire, 'misfire_grace_seconds', j.misfire_grace_seconds, 'handler', j.handler,
            'tenant', coalesce(j.workspace_id, j.created_by), 'user', j.created_by
        )
        else json_build_object(
            'id', j.id, 'revision', j.revision, 'changed_in', j.changed_in, 'status', j.status, 'priority', j.priority,
            'due_at', j.due_at, 'next_run_at', j.next_run_at, 'trigger_type', j.trigger_type,
            'run_date', j.run_date, 'misfire', j.misfire, 'misfire_grace_seconds', j.misfire_grace_seconds,
            'unplanned', not j.is_planned and j.status in ('scheduled', 'running'),
            'schedule', j.schedule, 'timezone', j.timezone, 'ends_at', j.ends_at, 'defined_at', j.defined_at,
            'dst_gap', j.dst_gap, 'dst_fold', j.dst_fold, 'tenant', coalesce(j.workspace_id, j.created_by),
            'user', j.created_by, 'handler', j.handler
        )
    end as job_row
from public.scheduled_jobs as j;

revoke all on job_scheduler.job_rows from public;

-- The one-time ones of these jobs, in this order, as job_rows has them, column by column, since there may be thousands: that
-- costs half as much as objects, and has half the bytes. It runs with the settings of its caller.
-- -> {column: [value of each job]}
create or replace function job_scheduler.once_columns(jobs bigint[])
returns json
language plpgsql
stable
set search_path = ''
as $$
begin
    return (
        select case when count(*) = 0 then '{}' else json_build_object(
            'id', array_agg(o.id), 'revision', array_agg(o.revision), 'changed_in', array_agg(o.changed_in),
            'status', array_agg(o.status), 'priority', array_agg(o.priority), 'due_at', array_agg(o.due_at),
            'next_run_at', array_agg(o.next_run_at), 'misfire', array_agg(o.misfire),
            'misfire_grace_seconds', array_agg(o.misfire_grace_seconds), 'handler', array_agg(o.handler),
            'tenant', array_agg(coalesce(o.workspace_id, o.created_by)), 'user', array_agg(o.created_by)
        ) end
        from (
            select j.*
            from public.scheduled_jobs as j
            inner join unnest(jobs) with ordinality as p (id, place) on j.id = p.id
            where j.id = any(jobs) and j.trigger_type = 'once'
            order by p.place
        ) as o
    );
end
$$;
revoke all on function job_scheduler.once_columns(bigint[]) from public;

-- The oldest transaction still open: all earlier ones are seen.
create or replace function job_scheduler.horizon()
returns bigint
language sql
stable
set search_path = ''
as $$
    select pg_snapshot_xmin(pg_current_snapshot())::text::bigint
$$;
revoke all on function job_scheduler.horizon() from public;

-- The transactions of which a poll reads the changes: those that its caller has not seen and this query sees. They are the
-- ones from `first` on and before `next`, and of the earlier ones those that were open when the caller last looked and have
-- ended. A row that was restored from another cluster may name a transaction that this one has not reached: it is read once,
-- when the counter passes it, and not at each poll.
create or replace function job_scheduler.unseen(
    request jsonb, out first bigint, out next bigint, out ended bigint[]
)
language sql
stable
set search_path = ''
as $$
    select
        pg_snapshot_xmax(s.seen)::text::bigint,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
        array(
            select o.xid::text::bigint from pg_snapshot_xip(s.seen) as o (xid)
            where pg_visible_in_snapshot(o.xid, pg_current_snapshot())
        )
    from (
        select coalesce(
            request ->> 'snapshot', format('%1$s:%1$s:', greatest((request ->> 'cursor')::bigint, 1))
        )::pg_snapshot as seen
    ) as s
$$;
revoke all on function job_scheduler.unseen(jsonb) from public;

-- A page of the jobs that these transactions changed and that matter before `until`, and where the next page begins. With
-- `share`, {of, mine: hex}, ids fall into so many buckets, and plain one-time jobs that are due, or are so in a second, are left
-- out unless the bit of their bucket is set: other listeners have these. It runs with the settings of its caller.
create or replace function job_scheduler.changed_page(
    request jsonb, first bigint, next bigint, ended bigint[], out ids bigint[], out last json
)
language plpgsql
stable
set search_path = ''
set enable_nestloop = on -- its caller's are for the rows
as $$
declare
    until constant timestamptz := request ->> 'until';
    most constant integer := request ->> 'limit';
    after_xid constant bigint := coalesce((request -> 'after' ->> 0)::bigint, -1);
    after_id constant bigint := coalesce((request -> 'after' ->> 1)::bigint, 0);
    buckets constant bigint := request -> 'share' ->> 'of';
    mine constant bytea := decode(request -> 'share' ->> 'mine', 'hex');
    soon constant timestamptz := clock_timestamp() + interval '1 second';
begin
    select
        array_agg(p.id),
        case
            when count(*) = most then json_build_array(
                max(p.changed_in), (array_agg(p.id order by p.changed_in, p.id))[most]
            )
        end
    into ids, last
    from (
        select c.changed_in, c.id
        from ( -- the rest of a transaction by its key: one may have written a million rows, and each page would read them all
            select after_xid as xid, after_id as id, after_xid as last
            union all
            select e.xid - 1, 9223372036854775807, e.xid from unnest(ended) as e (xid) where e.xid > after_xid
            union all
            select greatest(first, after_xid + 1) - 1, 9223372036854775807, next - 1
        ) as r
        cross join lateral (
            select j.changed_in, j.id
            from public.scheduled_jobs as j
            where
                (j.changed_in, j.id) > (r.xid, r.id) and j.changed_in <= r.last
                and (
                    j.next_run_at <= until or j.status in ('cancelled', 'paused', 'running')
                    or not j.is_planned and j.status = 'scheduled'
                )
                and (
                    mine is null or get_bit(mine, abs(j.id % buckets)::integer) = 1
                    or j.trigger_type <> 'once' or j.status <> 'scheduled' or not j.is_planned or j.next_run_at > soon
                    or j.due_at is distinct from j.next_run_at or j.queued_runs > 0 or j.concurrency_key is not null
                )
            order by j.changed_in, j.id
            limit most
        ) as c
        order by c.changed_in, c.id
        limit most
    ) as p;
end
$$;
revoke all on function job_scheduler.changed_page(jsonb, bigint, bigint, bigint[]) from public;

-- Jobs that changed since the caller looked and that matter before `until`, a page at a time; and what stopped runs since,
-- as the channels report it: the row of a job that was cancelled and scheduled again does not show that.
-- {snapshot (as the last answer gave it; without it, cursor: all later transactions), until, after: [changed_in, id] | null,
-- limit, share (see changed_page)} -> {now, cursor, snapshot, once: as once_columns, rows: [job_row of the others], after,
--   signals: [message], muted_until: until when not through Realtime, for whichever reason, notify_muted_until, spared_until}
create or replace function public.poll_jobs_v1(request jsonb)
returns json
language plpgsql
stable
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan -- it is called often and mostly finds nothing: planning would cost ten times as much
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
as $$
declare
    unseen constant record := job_scheduler.unseen(request);
    page constant record := job_scheduler.changed_page(request, unseen.first, unseen.next, unseen.ended);
    recurring json;
    signals json;
begin
    if page.ids is not null then
        select json_agg(r.job_row order by r.changed_in, r.id) into recurring
        from job_scheduler.job_rows as r
        where r.id = any(page.ids) and r.trigger_type <> 'once';
    end if;

    select coalesce(json_agg(s.message order by s.id), '[]') into signals
    from (
        select s.id, s.message from job_scheduler.stops as s
        where s.xid >= unseen.first and s.xid < unseen.next or s.xid = any(unseen.ended)
        union all
        select null, jsonb_build_object('table', 'sources', 'rows', null, 'xid', null)
        where 'broadcast' <> all(job_scheduler.open_channels()) and (
            select c.at > now() - interval '5 seconds' from job_scheduler.changed_rows as c order by c.id desc limit 1
        )
    ) as s;
    return json_build_object(
        'now', clock_timestamp(), 'cursor', job_scheduler.horizon(), 'snapshot', pg_current_snapshot()::text,
        'once', case when page.ids is null then '{}' else job_scheduler.once_columns(page.ids) end,
        'rows', coalesce(recurring, '[]'), 'after', page.last, 'signals', signals,
        'muted_until', greatest((select m.until from job_scheduler.mute as m), job_scheduler.spared_until()),
        'notify_muted_until', (select m.notify_until from job_scheduler.mute as m),
        'spared_until', job_scheduler.spared_until()
    );
end
$$;
revoke all on function public.poll_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.poll_jobs_v1(jsonb) to service_role;

-- Jobs by id, as many of the first as fit: `after` of them, if that is not all.
-- {ids: [bigint], limit} -> {now, cursor, once: as once_columns, rows: [job_row of the others], after}
create or replace function public.jobs_v1(request jsonb)
returns json
language plpgsql
stable
security definer
set search_path = ''
set enable_seqscan = off
set enable_nestloop = off -- in memory, however many they are
set enable_mergejoin = off
as $$
declare
    most constant integer := request ->> 'limit';
    ids constant bigint[] := array(
        select a.id::bigint from jsonb_array_elements_text(request -> 'ids') with ordinality as a (id, place)
        where a.place <= most
        order by a.place
    );
begin
    return json_build_object(
        'now', clock_timestamp(),
        'cursor', job_scheduler.horizon(),
        'once', job_scheduler.once_columns(ids),
        'rows', (
            select coalesce(json_agg(j.job_row order by p.place), '[]')
            from job_scheduler.job_rows as j
            inner join unnest(ids) with ordinality as p (id, place) on j.id = p.id
            where j.id = any(ids) and j.trigger_type <> 'once'
        ),
        'after', case when most < jsonb_array_length(request -> 'ids') then most end
    );
end
$$;
revoke all on function public.jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.jobs_v1(jsonb) to service_role;

-- Recurring jobs that have no due instant yet, a page at a time.
-- {after: id | null, limit} -> {now, cursor, rows, after}
create or replace function public.unplanned_jobs_v1(request jsonb)
returns json
language sql
stable
security definer
set search_path = ''
as $$
    with page as (
        select j.*
        from job_scheduler.job_rows as j
        where
            not j.is_planned and j.status in ('scheduled', 'running')
            and j.id > coalesce((request ->> 'after')::bigint, 0)
        order by j.id
        limit (request ->> 'limit')::int
    )

    select json_build_object(
        'now', clock_timestamp(),
        'cursor', job_scheduler.horizon(),
        'rows', (select coalesce(json_agg(p.job_row order by p.id), '[]') from page as p),
        'after', (select max(p.id) from page as p where (select count(*) from page) = (request ->> 'limit')::int)
    )
$$;
revoke all on function public.unplanned_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.unplanned_jobs_v1(jsonb) to service_role;

-- Has statements send a NOTIFY for a while, two minutes at most. A listener calls it again before that ends, as long as it
-- listens.

-- {listener, seconds} -> {now, until, was_on: whether statements have sent one up to now}
create or replace function public.listen_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    was_on constant boolean := job_scheduler.is_listened();
    wanted constant timestamptz := clock_timestamp()
        + make_interval(secs => least((request ->> 'seconds')::double precision, 120));
begin
    insert into job_scheduler.listening as l (until) values (wanted)
    on conflict (is_only) do update set until = excluded.until where l.until < excluded.until;
    return json_build_object(
        'now', clock_timestamp(), 'until', (select l.until from job_scheduler.listening as l), 'was_on', was_on
    );
end
$$;
revoke all on function public.listen_v1(jsonb) from public, anon, authenticated;
grant execute on function public.listen_v1(jsonb) to service_role;

-- Jobs whose handler no live listener has: they wait, their rows say why, and after a time their instants end.

-- The names of the handlers that a request names; null where it names none.
create or replace function job_scheduler.handlers_of(request jsonb)
returns text[]
language sql
immutable
set search_path = ''
as $$
    select case
        when request ? 'handlers' then array(select h.name from jsonb_array_elements_text(request -> 'handlers') as h (name))
    end
$$;
revoke all on function job_scheduler.handlers_of(jsonb) from public;

-- The handlers of the caller and of the other live listeners.
create or replace function job_scheduler.live_handlers(request jsonb)
returns text[]
language sql
stable
set search_path = ''
as $$
    select job_scheduler.handlers_of(request) || coalesce(array_agg(h.name), '{}')
    from public.job_listeners as l
    cross join unnest(l.handlers) as h (name)
    where l.heartbeat_at > now() - make_interval(secs => (request ->> 'lease_seconds')::double precision) / 2
$$;
revoke all on function job_scheduler.live_handlers(jsonb) from public;

-- The handlers of jobs that are due before an instant and that are not among these: one step in the index for each handler.
create or replace function job_scheduler.handlers_beside(live text[], before timestamptz)
returns text[]
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    with recursive handlers (name) as (
        (select j.handler from public.scheduled_jobs as j where j.next_run_at is not null order by j.handler limit 1)
        union all
        select (
            select j.handler from public.scheduled_jobs as j
            where j.next_run_at is not null and j.handler > h.name
            order by j.handler
            limit 1
        )
        from handlers as h
        where h.name is not null
    )

    select coalesce(array_agg(h.name order by h.name), '{}')
    from handlers as h
    where
        h.name <> all(live) and exists (
            select from public.scheduled_jobs as j
            where j.handler = h.name and j.next_run_at < before
        )
$$;
revoke all on function job_scheduler.handlers_beside(text[], timestamptz) from public;

-- The `error` of a job while no live listener has its handler; a claim clears it.
create or replace function job_scheduler.missing_error(handler text)
returns text
language sql
immutable
set search_path = ''
as $$
    select 'no live listener has the handler ' || to_jsonb(handler)::text || '; the job waits until one has it'
$$;
revoke all on function job_scheduler.missing_error(text) from public;

-- Writes into the rows of jobs that no live listener has their handler.
create or replace function job_scheduler.report_missing(jobs bigint[])
returns void
language sql
set search_path = ''
as $$
    update public.scheduled_jobs as j
    set error = job_scheduler.missing_error(j.handler), updated_at = now()
    where j.id = any(jobs)
$$;
revoke all on function job_scheduler.report_missing(bigint[]) from public;

-- Notes which handlers of due jobs no live listener has, and says so once in each job's row. Answers jobs that have waited
-- for longer than `no_handler_seconds`, while no listener had their handler: neither a start after a long pause nor a restart
-- of all listeners one by one ends an instant, since the time begins anew when nobody looked for as long, a minute at least.
-- {handlers: [name], lease_seconds, no_handler_seconds, limit} -> [job_row]
create or replace function job_scheduler.note_missing(request jsonb)
returns json
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan -- these as in claim_runs_v1
set enable_seqscan = off
as $$
declare
    patience constant interval := make_interval(secs => (request ->> 'no_handler_seconds')::double precision);
    missing constant text[] := job_scheduler.handlers_beside(
        job_scheduler.live_handlers(request), now() - interval '1 second'
    );
    job bigint;
    jobs bigint[];
begin
    delete from job_scheduler.missing_handlers as m where m.name <> all(missing);
    if cardinality(missing) = 0 then
        return '[]';
    end if;
    insert into job_scheduler.missing_handlers as m (name)
    select n.name from unnest(missing) as n (name) order by n.name
    on conflict (name) do update
    set
        since = case when m.seen_at < now() - greatest(patience, interval '1 minute') then now() else m.since end,
        seen_at = now();

    jobs := array(
        select j.id
        from public.scheduled_jobs as j
        where
            j.handler = any(missing) and j.next_run_at < now() - interval '1 second' and j.status <> 'running'
            and j.error is distinct from job_scheduler.missing_error(j.handler)
            and starts_with(j.error, 'no due instant can be computed: ') is not true -- which also ends nothing
        limit (request ->> 'limit')::int
        for update skip locked
    );
    begin
        perform job_scheduler.report_missing(jobs);
    exception when others then
        foreach job in array jobs loop
            begin
                perform job_scheduler.report_missing(array[job]);
            exception when others then
                continue; -- its row cannot be written; that delays no other
            end;
        end loop;
    end;
    return (
        select coalesce(json_agg(r.job_row), '[]')
        from job_scheduler.job_rows as r
        where r.id = any(job_scheduler.unhandled_jobs(missing, patience))
    );
end
$$;
revoke all on function job_scheduler.note_missing(jsonb) from public;

-- The number of due jobs that wait for a handler which no live listener has, 1000 at most, and the names of these handlers, 20
-- at most, as note_missing found them.
create or replace function job_scheduler.waiting_for_handlers()
returns json
language sql
set search_path = ''
set enable_seqscan = off
as $$
    select json_build_object(
        'jobs', (
            select count(*) from (
                select from public.scheduled_jobs as j
                where j.handler = any(m.names) and j.next_run_at < now() - interval '1 second'
                limit 1000
            ) as w
        ),
        'handlers', m.names[:20]
    )
    from (select array(select h.name from job_scheduler.missing_handlers as h order by h.name) as names) as m
$$;
revoke all on function job_scheduler.waiting_for_handlers() from public;

-- The handlers that active jobs name and no live listener has, 100 at most, for `listener doctor`; 1000 jobs stand for more.
-- {lease_seconds} -> {now, listeners: how many are live, missing: [{name, jobs}]}
create or replace function public.missing_handlers_v1(request jsonb)
returns json
language sql
security definer
set search_path = ''
set enable_seqscan = off
as $$
    select json_build_object(
        'now', clock_timestamp(),
        'listeners', (
            select count(*) from public.job_listeners as l
            where l.heartbeat_at > now() - make_interval(secs => (request ->> 'lease_seconds')::double precision) / 2
        ),
        'missing', (
            select coalesce(json_agg(json_build_object('name', m.name, 'jobs', (
                select count(*) from (
                    select from public.scheduled_jobs as j where j.handler = m.name and j.next_run_at is not null limit 1000
                ) as w
            )) order by m.name), '[]')
            from (
                select h.name from unnest(job_scheduler.handlers_beside(job_scheduler.live_handlers(request), 'infinity')) as h (name)
                limit 100
            ) as m
        )
    )
$$;
revoke all on function public.missing_handlers_v1(jsonb) from public, anon, authenticated;
grant execute on function public.missing_handlers_v1(jsonb) to service_role;

-- Some jobs, or some of these, that have been due for longer than `patience`, and whose handler, one of these, has been
-- missing for as long.
create or replace function job_scheduler.unhandled_jobs(handlers text[], patience interval, among bigint[] default null)
returns bigint[]
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select array(
        select j.id
        from public.scheduled_jobs as j
        where
            j.next_run_at < now() - patience and j.id = any(coalesce(among, array[j.id]))
            and starts_with(j.error, 'no due instant can be computed: ') is not true
            and j.handler = any(array(
                select m.name from job_scheduler.missing_handlers as m
                where m.name = any(handlers) and m.since < now() - patience
            ))
        limit 200
    )
$$;
revoke all on function job_scheduler.unhandled_jobs(text[], interval, bigint[]) from public;

-- Ends the instants of jobs that rescue_runs_v1 answered as unhandled, by a claim and its end in one transaction, so that all
-- else goes on as after a failed run. Jobs of which somebody has taken care meanwhile are left alone.
-- {listener, handlers, lease_seconds, no_handler_seconds, key_concurrency, claims: as claim_runs_v1}
-- -> {now, ended, rows: [job_row to arm]}
create or replace function public.end_unhandled_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    patience constant interval := make_interval(secs => (request ->> 'no_handler_seconds')::double precision);
    missing constant text[] := job_scheduler.handlers_beside(
        job_scheduler.live_handlers(request), now() - interval '1 second'
    );
    jobs constant bigint[] := job_scheduler.unhandled_jobs(
        missing, patience, array(select (c ->> 'id')::bigint from jsonb_array_elements(request -> 'claims') as c)
    );
    runs jsonb;
    results jsonb;
begin
    request := request || jsonb_build_object(
        'handlers', missing, 'ahead_seconds', 0, 'max_bytes', 4000000, 'claims', (
            select coalesce(jsonb_agg(c), '[]') from jsonb_array_elements(request -> 'claims') as c
            where (c ->> 'id')::bigint = any(jobs)
        )
    );
    runs := public.claim_runs_v1(request)::jsonb -> 'runs';
    select coalesce(jsonb_agg(jsonb_build_object(
        'id', r.execution_id, 'fence', r.fence, 'status', 'failed', 'reason', 'no_handler',
        'started_at', clock_timestamp(), 'completed_at', clock_timestamp(),
        'error', format('no live listener had the handler %s for %s', r.handler, patience)
    )), '[]')
    into results
    from rows from (
        jsonb_array_elements(runs -> 'execution_id'), jsonb_array_elements(runs -> 'fence'), jsonb_array_elements(runs -> 'handler')
    ) as r (execution_id, fence, handler);
    return json_build_object(
        'now', clock_timestamp(), 'ended', jsonb_array_length(results),
        'rows', public.finish_runs_v1(request || jsonb_build_object('results', results, 'logs', '[]'::jsonb)) -> 'rows'
    );
end
$$;
revoke all on function public.end_unhandled_v1(jsonb) from public, anon, authenticated;
grant execute on function public.end_unhandled_v1(jsonb) to service_role;

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

-- Mutes notifications for a while: a listener asks for it when there are more than Realtime should bring for long, and polls at
-- short intervals until then. The others learn it from their polls.

-- The listener counts what it hears, and anybody may send that where a project's policies are wide: so this is granted only if
-- the database itself has sent three notifications in the last minute. Nothing extends a mute that is on.
-- NOTIFY costs no messages, but commits that send one wait for one another: it is muted too when a listener asks for that, as
-- long as Realtime is muted, or spared, at most. The last NOTIFY has the other listeners poll, and so learn of it.
-- {listener, seconds, notify: whether to mute NOTIFY too} ->
--   {now, muted_until: until when not through Realtime, for whichever reason | null, notify_muted_until | null,
--   spared_until | null}
create or replace function public.mute_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    sent constant integer := (
        select count(*)
        from (select s.at, s.message from job_scheduler.signals as s order by s.id desc limit 20) as s
        where s.at > now() - interval '1 minute' and s.message ->> 'table' not in ('probe', 'job_listeners')
    );
    wanted constant timestamptz := clock_timestamp()
        + make_interval(secs => least((request ->> 'seconds')::double precision, 60));
    spared timestamptz;
    muted record;
    closed timestamptz;
begin
    if sent >= 3 then
        insert into job_scheduler.mute as m (until) values (wanted)
        on conflict (is_only) do update set until = excluded.until where m.until <= clock_timestamp();
    end if;
    if (request ->> 'notify')::boolean then
        perform from job_scheduler.listening as l for share; -- who ends the sparing of Realtime ends this mute, too
        closed := greatest((select m.until from job_scheduler.mute as m), job_scheduler.spared_until());
        if closed > clock_timestamp() then
            insert into job_scheduler.mute as m (until, notify_until) values (clock_timestamp(), least(closed, wanted))
            on conflict (is_only) do update set notify_until = excluded.notify_until
            where coalesce(m.notify_until <= clock_timestamp(), true);
            if found then
                perform job_scheduler.send(
                    jsonb_build_object('table', 'scheduled_jobs', 'rows', null, 'xid', pg_current_xact_id()::text::bigint),
                    '{notify}'
                );
            end if;
        end if;
    end if;
    spared := job_scheduler.spared_until();
    select m.until, m.notify_until into muted from job_scheduler.mute as m;
    closed := greatest(muted.until, spared);
    if closed <= clock_timestamp() then
        closed := null;
    end if;
    return json_build_object(
        'now', clock_timestamp(), 'muted_until', closed,
        'notify_muted_until', case when closed is not null then muted.notify_until end,
        'spared_until', spared
    );
end
$$;
revoke all on function public.mute_v1(jsonb) from public, anon, authenticated;
grant execute on function public.mute_v1(jsonb) to service_role;

-- Stores the log lines of these runs, in their order; lines that are stored already, because an answer was lost, are skipped.
create or replace function job_scheduler.store_logs(logs jsonb, executions uuid[])
returns void
language sql
set search_path = ''
set enable_nestloop = on -- whatever its caller's settings: a line is looked up by its key
set enable_mergejoin = on
as $$
    insert into public.job_execution_logs (execution_id, at, level, message, fields)
    select l.execution_id, l.at, l.level, l.message, l.fields
    from rows from (
        jsonb_to_recordset(logs) as (execution_id uuid, at timestamptz, level text, message text, fields jsonb)
    ) with ordinality as l (execution_id, at, level, message, fields, n)
    where
        l.execution_id = any(executions) and not exists (
            select from public.job_execution_logs as k
            where
                k.execution_id = l.execution_id and k.at = l.at and k.level = l.level and k.message = l.message
                and k.fields = l.fields
        )
    order by l.n
$$;
revoke all on function job_scheduler.store_logs(jsonb, uuid[]) from public;

-- Stores progress and log lines of runs in progress; those of a run whose claim is lost are ignored. Lines may follow its end.
-- Nothing of a run is stored whose row somebody has locked just now: `busy` names it.
-- `step` is the message of the progress; left out, the job keeps the one that it has.
-- {listener, notes: [{id, fence, progress, step}], logs: [{execution_id, at, level, message, fields}]} -> {now, busy: [id]}
create or replace function public.note_runs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = force_custom_plan -- these as in claim_runs_v1
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
set lock_timeout = '2s'
as $$
declare
    ids constant uuid[] := array(select (n ->> 'id')::uuid from jsonb_array_elements(request -> 'notes') as n);
    held uuid[];
    busy uuid[] := '{}';
begin
    held := array(
        select e.id
        from jsonb_to_recordset(request -> 'notes') as n (id uuid, fence integer)
        inner join public.job_executions as e on n.id = e.id
        where e.id = any(ids) and e.listener_id = (request ->> 'listener')::uuid and e.fence = n.fence
        for no key update of e skip locked
    );
    if cardinality(held) < cardinality(ids) then
        busy := array(
            select e.id
            from jsonb_to_recordset(request -> 'notes') as n (id uuid, fence integer)
            inner join public.job_executions as e on n.id = e.id
            where
                e.id = any(ids) and e.id <> all(held) and e.listener_id = (request ->> 'listener')::uuid
                and e.fence = n.fence
        );
    end if;
    perform set_config('job_scheduler.stage', 'service', true);
    with written as (
        update public.job_executions as e
        set progress = n.progress
        from jsonb_to_recordset(request -> 'notes') as n (id uuid, progress double precision, step text)
        where
            e.id = n.id and e.id = any(held) and e.status = 'running'
            and (n.progress is distinct from e.progress or n.step is not null)
        returning e.scheduled_job_id, e.progress, n.step
    ), free as (
        select j.id
        from public.scheduled_jobs as j
        where j.id = any(array(select w.scheduled_job_id from written as w))
        for no key update skip locked -- a copy for those who watch the job; the end of the run writes it again
    )
    update public.scheduled_jobs as j
    set progress = w.progress, step = coalesce(w.step, j.step)
    from (
        select w.scheduled_job_id, max(w.progress) as progress, max(w.step) as step from written as w group by w.scheduled_job_id
    ) as w
    where j.id = any(array(select f.id from free as f)) and j.id = w.scheduled_job_id;
    perform job_scheduler.store_logs(request -> 'logs', held);
    return json_build_object('now', clock_timestamp(), 'busy', to_json(busy));
end
$$;
revoke all on function public.note_runs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.note_runs_v1(jsonb) to service_role;

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

-- Writes the first due instants that the service computed, unless the job changed since; null means that none is left, and
-- an error that none can be computed.
-- {plans: [{id, revision, due, error}]} -> {planned, skipped: {reason: count}}
create or replace function public.plan_jobs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = force_custom_plan -- these as in claim_runs_v1
set enable_seqscan = off
set lock_timeout = '2s'
as $$
declare
    ids constant bigint[] := array(select (p ->> 'id')::bigint from jsonb_array_elements(request -> 'plans') as p);
    planned integer;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    with plans as (
        select p.id, p.revision, p.due
        from jsonb_to_recordset(request -> 'plans') as p (id bigint, revision bigint, due timestamptz, error text)
        where p.error is null
    ), free as (
        select j.id, p.due
        from public.scheduled_jobs as j
        inner join plans as p on j.id = p.id and j.revision = p.revision
        where
            j.id = any(ids) -- so that they are looked up by key, whatever the statistics say
            and not j.is_planned and j.status in ('scheduled', 'running')
        order by j.id
        for update of j skip locked
    )
    update public.scheduled_jobs as j
    set
        due_at = f.due,
        is_planned = true,
        next_run_at = least(f.due, j.next_run_at),
        error = case when not starts_with(j.error, 'no due instant can be computed: ') then j.error end,
        updated_at = now()
    from free as f
    where j.id = any(ids) and j.id = f.id;
    get diagnostics planned = row_count;
    if exists (select from jsonb_array_elements(request -> 'plans') as p where p ->> 'error' is not null) then
        perform job_scheduler.report_invalid(request -> 'plans');
    end if;
    perform job_scheduler.complete_exhausted(
        array(select (p ->> 'id')::bigint from jsonb_array_elements(request -> 'plans') as p where p ->> 'due' is null)
    );
    return json_build_object('planned', planned, 'skipped', job_scheduler.skipped());
end
$$;
revoke all on function public.plan_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.plan_jobs_v1(jsonb) to service_role;

-- A job whose due instants a listener cannot compute, for instance because its zone database lacks the job's zone, stays
-- scheduled: another listener may be able to, or this one when it was brought up to date. Its row and the ledger say why
-- nothing runs, once for each definition or due instant.
create or replace function job_scheduler.report_invalid(plans jsonb)
returns void
language sql
set search_path = ''
as $$
    with invalid as (
        select j.id, p.explanation as error
        from public.scheduled_jobs as j
        inner join (
            select w.id, w.revision, 'no due instant can be computed: ' || w.error as explanation
            from jsonb_to_recordset(plans) as w (id bigint, revision bigint, error text)
        ) as p on j.id = p.id and j.revision = p.revision
        where
            j.id = any(array(select (w ->> 'id')::bigint from jsonb_array_elements(plans) as w where w ->> 'error' is not null))
            and p.explanation is not null and j.error is distinct from p.explanation and j.status in ('scheduled', 'running')
        for update of j skip locked
    ), explained as (
        update public.scheduled_jobs as j
        set error = s.error, updated_at = now()
        from invalid as s
        where j.id = s.id and j.id = any(array(select i.id from invalid as i))
        returning j.id, j.workspace_id, j.created_by, j.error, coalesce(j.due_at, j.defined_at) as instant
    )
    insert into public.job_executions
        (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, reason, error, completed_at)
    select t.id, t.workspace_id, t.created_by, t.instant, t.instant, 'schedule', 'skipped', 'invalid_schedule', t.error, now()
    from explained as t
    on conflict do nothing
$$;
revoke all on function job_scheduler.report_invalid(jsonb) from public;

-- Jobs without a due instant left and without a run of their schedule to wait for are done, by way of the states that
-- lead there. Manual runs do not belong to the schedule. One that somebody has locked is looked at again when it is claimed.
create or replace function job_scheduler.complete_exhausted(jobs bigint[])
returns void
language plpgsql
set search_path = ''
as $$
begin
    with free as (
        select j.id
        from public.scheduled_jobs as j
        where
            j.id = any(jobs) and j.status = 'scheduled' and j.due_at is null and j.is_planned and not (
                j.queued_runs > 0 and exists (
                    select from public.job_executions as e
                    where e.scheduled_job_id = j.id and e.status = 'queued' and e.cause = 'schedule'
                )
            )
        for update skip locked
    ), spent as (
        update public.scheduled_jobs as j
        set status = 'running'
        where j.id = any(array(select f.id from free as f))
        returning j.id
    )
    select array_agg(s.id) into jobs from spent as s;
    update public.scheduled_jobs set status = 'completed', updated_at = now() where id = any(jobs);
end
$$;
revoke all on function job_scheduler.complete_exhausted(bigint[]) from public;

-- Sends a probe, a signal without a job: a listener calls it when it has received nothing for a while, and a
-- channel that does not deliver the probe is stale.

-- It sends by the same function as every trigger on jobs and meetings, through the channels that are asked for, all by default.
-- Its rows name them, so that other listeners know what to expect.
-- {listener, channels} -> {now, channels: [those that this database can send on]}
create or replace function public.send_probe_v1(request jsonb)
returns json
language plpgsql
security definer -- service_role may not send by itself
set search_path = ''
as $$
declare
    possible constant text[] := case
        when to_regprocedure('realtime.send(jsonb,text,text,boolean)') is null then '{postgres_changes}'::text[]
        else '{broadcast,postgres_changes}'::text[]
    end || case when job_scheduler.is_listened() then '{notify}'::text[] end;
    asked constant jsonb := coalesce(request -> 'channels', to_jsonb(possible));
    through constant text[] := array(select c from unnest(possible) as c where asked ? c);
begin
    perform job_scheduler.send(
        jsonb_build_object('table', 'probe', 'rows', to_jsonb(through), 'xid', pg_current_xact_id()::text::bigint), through
    );
    return json_build_object('now', clock_timestamp(), 'channels', to_json(possible));
end
$$;
revoke all on function public.send_probe_v1(jsonb) from public, anon, authenticated;
grant execute on function public.send_probe_v1(jsonb) to service_role;

-- Locks the jobs whose claims are repeated, and returns them: an earlier request may be under way still.
create or replace function job_scheduler.lock_again(claims jsonb)
returns bigint[]
language sql
set search_path = ''
as $$
    with locked as (
        select j.id
        from public.scheduled_jobs as j
        where j.id = any(
            array(select (c ->> 'id')::bigint from jsonb_array_elements(claims) as c where (c ->> 'again')::boolean)
        )
        order by j.id
        for update
    )
    select coalesce(array_agg(l.id), '{}') from locked as l
$$;
revoke all on function job_scheduler.lock_again(jsonb) from public;

-- The runs of these jobs that this listener was granted by claims whose answers it may not have had, for as long as if they
-- were granted now. The listener ignores a run that it holds already.
create or replace function job_scheduler.granted_before(jobs bigint[], known uuid[], me uuid, good_until timestamptz)
returns uuid[]
language sql
set search_path = ''
as $$
    with mine as (
        select e.id
        from public.job_executions as e
        where
            e.scheduled_job_id = any(jobs) and e.lease_expires_at is not null and e.status = 'running'
            and e.listener_id = me and e.id <> all(known)
        for no key update skip locked -- else its end is being written
    ), extended as (
        update public.job_executions as e
        set lease_expires_at = good_until
        from mine as m
        where e.id = m.id and e.id = any(array(select k.id from mine as k))
        returning e.id
    )
    select coalesce(array_agg(x.id), '{}') from extended as x
$$;
revoke all on function job_scheduler.granted_before(bigint[], uuid[], uuid, timestamptz) from public;

-- Returns the runs that this transaction has replaced so far: their handlers are to stop, or not to begin.
create or replace function job_scheduler.stopped()
returns jsonb
language sql
stable
set search_path = ''
as $$
    select coalesce(nullif(current_setting('job_scheduler.stopped', true), ''), '[]')::jsonb
$$;
revoke all on function job_scheduler.stopped() from public;

-- Stops the runs of a job that the run of a due instant replaces; answers whether there were any.
create or replace function job_scheduler.stop_replaced(job bigint, run_for timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
    stopped jsonb;
begin
    with replaced as (
        update public.job_executions
        set
            status = 'cancelled', reason = 'overlap', completed_at = now(), lease_expires_at = null,
            started_at = case when started_at <= now() then started_at end, -- it may have been claimed ahead of its time
            duration_ms = case when started_at <= now() then extract(epoch from now() - started_at) * 1000 end,
            lateness_ms = case when started_at <= now() then extract(epoch from started_at - run_at) * 1000 end,
            fence = fence + 1
        where
            scheduled_job_id = job and status = 'running' and lease_expires_at is not null
            and cause = 'schedule' and stopped_at is null and scheduled_for <> run_for
        returning id
    )
    select jsonb_agg(r.id) into stopped from replaced as r;
    if stopped is null then
        return false;
    end if;
    perform job_scheduler.notify('stopped_runs', stopped);
    perform set_config('job_scheduler.stopped', (job_scheduler.stopped() || stopped)::text, true);
    update public.scheduled_jobs -- they began, so they use up max_runs: else nothing would
    set scheduled_runs = scheduled_runs + jsonb_array_length(stopped)
    where id = job;
    return true;
end
$$;
revoke all on function job_scheduler.stop_replaced(bigint, timestamptz) from public;

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

-- A database that was restored from a dump has the jobs of another one, which may still run them. Its own jobs wait until
-- somebody confirms that they are to run here; docs/day-two.md says more.

-- Whether the row of this_database was written by a restore: by another transaction than it says, or in another table or
-- database. Vacuum, a physical copy, a failover and pg_upgrade keep all three; so they are not noticed, and need not be.
create or replace function job_scheduler.is_restored()
returns boolean
language sql
stable
set search_path = ''
as $$
    select not exists (
        select from job_scheduler.this_database as t
        where
            t.xmin::text::bigint = t.written_in and t.tableoid::bigint = t.table_oid
            and t.database_oid = (select d.oid::bigint from pg_catalog.pg_database as d where d.datname = current_database())
    )
$$;
revoke all on function job_scheduler.is_restored() from public;

-- Says that the jobs of this database are to run here, whether it was restored or not.
create or replace function job_scheduler.confirm_restore()
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler.confirm_restore', 0)); -- several listeners may
    delete from job_scheduler.this_database;
    insert into job_scheduler.this_database (database_oid, table_oid, written_in)
    select d.oid::bigint, 'job_scheduler.this_database'::regclass::oid::bigint, 0
    from pg_catalog.pg_database as d
    where d.datname = current_database();
    update job_scheduler.this_database set written_in = xmin::text::bigint; -- of this very transaction
end
$$;
revoke all on function job_scheduler.confirm_restore() from public;

do $$
begin
    if not exists (select from job_scheduler.this_database) then
        perform job_scheduler.confirm_restore();
    end if;
end
$$;

-- Refuses to go on in a restored database, unless the listener was set to run restored jobs.
-- {run_restored: boolean}
create or replace function job_scheduler.refuse_restored(request jsonb)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if not job_scheduler.is_restored() then
        return;
    elsif (request ->> 'run_restored')::boolean then
        perform job_scheduler.confirm_restore();
    else
        raise exception 'this database was restored from a dump, and another one may run the same jobs: here they wait for a confirmation'
        using errcode = 'JS001', hint = 'To run them here: select job_scheduler.confirm_restore()';
    end if;
end
$$;
revoke all on function job_scheduler.refuse_restored(jsonb) from public;

-- Forgets, for some rows at a time, the transactions of another cluster, which this one's counter has not reached: once it
-- does, they would look like changes. Rows are locked first: what changed them before that is seen by the second look.
create or replace function job_scheduler.forget_transactions(most integer)
returns integer
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
declare
    ids bigint[];
    next bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    forgotten integer := 0;
begin
    ids := array(
        select j.id from public.scheduled_jobs as j
        where j.changed_in > next
        order by j.changed_in, j.id
        limit most
        for update of j skip locked
    );
    if cardinality(ids) > 0 then
        next := greatest(pg_snapshot_xmax(pg_current_snapshot()), pg_current_xact_id())::text::bigint;
        update public.scheduled_jobs as j set changed_in = 0 where j.id = any(ids) and j.changed_in > next;
        get diagnostics forgotten = row_count;
    end if;
    return forgotten;
end
$$;
revoke all on function job_scheduler.forget_transactions(integer) from public;

-- The jobs that a listener holds in memory. A listener with capacity for all that are near holds all; else each party gets a
-- share, and what it leaves unused is shared among the others. A party is a user, for all their workspaces together; jobs
-- that the service key made are their workspace's, or the service's own. Everything is looked up through one index that
-- begins with the party, so that a list costs as much as what it lists and not as what there is.

-- The parties that have a job to act on before `until`: one step in the index for each party that has any job to come.
create or replace function job_scheduler.near_parties(until timestamptz, handlers text[])
returns uuid[]
language sql
stable
set search_path = ''
as $$
    with recursive parties (party) as (
        (
            select coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000')
            from public.scheduled_jobs as j
            where j.next_run_at is not null
            order by coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000')
            limit 1
        )
        union all
        select (
            select coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000')
            from public.scheduled_jobs as j
            where
                j.next_run_at is not null
                and coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') > p.party
            order by coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000')
            limit 1
        )
        from parties as p
        where p.party is not null
    )

    select coalesce(array_agg(p.party), '{}')
    from parties as p
    where exists (
        select from public.scheduled_jobs as j
        where
            coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
            and j.next_run_at <= until and (j.handler = any(handlers)) is not false
    )
$$;
revoke all on function job_scheduler.near_parties(timestamptz, text[]) from public;

-- How many jobs each party may have in memory for `most` in all, and until when all of everybody's are within that.
create or replace function job_scheduler.share_of_each(
    parties uuid[], until timestamptz, most bigint, handlers text[], out share bigint, out complete_until timestamptz
)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
as $$
declare
    unserved uuid[] := parties; -- those that have more than the share
    more uuid[];
    used bigint;
    free bigint := most;
begin
    loop
        share := greatest(free / cardinality(unserved), 1);
        select array_agg(p.party) filter (where c.jobs > share), coalesce(sum(c.jobs) filter (where c.jobs <= share), 0)
        into more, used
        from unnest(unserved) as p (party)
        cross join lateral (
            select count(*) as jobs
            from (
                select from public.scheduled_jobs as j
                where
                    coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                    and j.next_run_at <= until and (j.handler = any(handlers)) is not false
                limit share + 1
            ) as few
        ) as c;
        exit when more is null or cardinality(more) = cardinality(unserved);
        free := free - used;
        unserved := more;
    end loop;
    select coalesce(min(l.next_run_at), until) into complete_until
    from unnest(more) as p (party)
    cross join lateral (
        select j.next_run_at
        from public.scheduled_jobs as j
        where
            coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
            and j.next_run_at <= until and (j.handler = any(handlers)) is not false
        order by j.next_run_at, j.id
        offset share
        limit 1
    ) as l;
    if cardinality(parties) > most then
        complete_until := now();
    end if;
end
$$;
revoke all on function job_scheduler.share_of_each(uuid[], timestamptz, bigint, text[]) from public;

-- The share of each party: what is due or is so in ten seconds, the highest priority first; then what comes next. First
-- of all parties the first, then the second of each, and so on.
create or replace function job_scheduler.shared_out(
    parties uuid[], share bigint, until timestamptz, most bigint, handlers text[]
)
returns bigint[]
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select coalesce(array_agg(s.id order by s.place, s.next_run_at, s.id), '{}')
    from (
        select c.id, c.place, c.next_run_at
        from unnest(parties) as p (party)
        cross join lateral (
            select
                m.id, m.next_run_at,
                row_number() over (
                    order by
                        m.next_run_at > now() + interval '10 seconds',
                        case when m.next_run_at <= now() + interval '10 seconds' then -m.priority end,
                        m.next_run_at, m.id
                ) as place
            from (
                (
                    select j.id, j.priority, j.next_run_at
                    from public.scheduled_jobs as j
                    where
                        coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                        and j.priority > 0 and j.next_run_at <= least(until, now() + interval '10 seconds')
                        and (j.handler = any(handlers)) is not false
                    order by j.priority desc, j.next_run_at, j.id
                    limit share
                )
                union all (
                    select j.id, j.priority, j.next_run_at
                    from public.scheduled_jobs as j
                    where
                        coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                        and j.priority = 0 and j.next_run_at <= least(until, now() + interval '10 seconds')
                        and (j.handler = any(handlers)) is not false
                    order by j.next_run_at, j.id
                    limit share
                )
                union all (
                    select j.id, j.priority, j.next_run_at
                    from public.scheduled_jobs as j
                    where
                        coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                        and j.priority < 0 and j.next_run_at <= least(until, now() + interval '10 seconds')
                        and (j.handler = any(handlers)) is not false
                    order by j.priority desc, j.next_run_at, j.id
                    limit share
                )
                union all (
                    select j.id, j.priority, j.next_run_at
                    from public.scheduled_jobs as j
                    where
                        coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                        and j.next_run_at > now() + interval '10 seconds' and j.next_run_at <= until
                        and (j.handler = any(handlers)) is not false
                    order by j.next_run_at, j.id
                    limit share
                )
            ) as m
            order by place
            limit share
        ) as c
        order by c.place, c.next_run_at, c.id
        limit most
    ) as s
$$;
revoke all on function job_scheduler.shared_out(uuid[], bigint, timestamptz, bigint, text[]) from public;

-- The jobs to act on before `until` that a listener with memory for `limit` of them holds. `complete_until`: nothing to act on
-- before that was left out; `left_out`: how many are due and were, as far as counted.
-- {until, limit, handlers: [name] (else of any)} -> {now, cursor, snapshot, ids: [bigint], complete_until, left_out}
create or replace function public.due_jobs_v1(request jsonb)
returns json
language plpgsql
stable
security definer
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
as $$
declare
    until constant timestamptz := request ->> 'until';
    most constant bigint := request ->> 'limit';
    handlers constant text[] := job_scheduler.handlers_of(request);
    parties uuid[];
    of_each record;
    ids bigint[] := array(
        select j.id from public.scheduled_jobs as j
        where j.next_run_at <= until and (j.handler = any(handlers)) is not false
        order by j.next_run_at, j.id
        limit most + 1
    );
    complete_until timestamptz := until;
    left_out bigint := 0;
begin
    if cardinality(ids) > most then
        parties := job_scheduler.near_parties(until, handlers);
        of_each := job_scheduler.share_of_each(parties, until, most, handlers);
        complete_until := of_each.complete_until;
        ids := job_scheduler.shared_out(parties, of_each.share, until, most, handlers);
        left_out := (
            select count(*) from (
                select from public.scheduled_jobs as j
                where j.next_run_at <= now() and (j.handler = any(handlers)) is not false
                limit 4 * most
            ) as d
        ) - (select count(*) from public.scheduled_jobs as j where j.id = any(ids) and j.next_run_at <= now());
    end if;
    return json_build_object(
        'now', clock_timestamp(), 'cursor', job_scheduler.horizon(), 'snapshot', pg_current_snapshot()::text,
        'ids', to_json(ids), 'complete_until', complete_until, 'left_out', left_out
    );
end
$$;
revoke all on function public.due_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.due_jobs_v1(jsonb) to service_role;

-- Due instants are planned anew when a listener has a newer zone database than they were planned by. Only the newer one does
-- that: two listeners with different ones do not undo each other's plans.

-- Notes the zone database of a listener. An older one than all plans are by may have planned something from now on. With
-- `replanned`, the version that the caller found and has planned anew, its own takes that place, unless a listener with an
-- older one is alive.
-- {listener, version, replanned: version | null} -> {now, planned_by, older}: the oldest that plans may be by, and whether a
-- listener that has an older one than the caller's is alive
create or replace function public.zone_database_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    mine constant text := request ->> 'version';
    older boolean;
    oldest text;
begin
    insert into job_scheduler.zone_databases as z (listener, version)
    values ((request ->> 'listener')::uuid, mine)
    on conflict (listener) do update set version = mine, noted_at = now();
    delete from job_scheduler.zone_databases as z
    where
        z.noted_at < now() - interval '1 minute' -- one that starts takes no share of the jobs yet
        and not exists (select from public.job_listeners as l where l.id = z.listener);
    older := exists (select from job_scheduler.zone_databases as z where z.version collate "C" < mine);

    insert into job_scheduler.planned_by (version) values (mine) on conflict do nothing;
    update job_scheduler.planned_by as p
    set version = mine
    where p.version collate "C" > mine or not older and p.version = request ->> 'replanned';
    select p.version into oldest from job_scheduler.planned_by as p;
    return json_build_object('now', clock_timestamp(), 'planned_by', oldest, 'older', older);
end
$$;
revoke all on function public.zone_database_v1(jsonb) from public, anon, authenticated;
grant execute on function public.zone_database_v1(jsonb) to service_role;

-- Of the next jobs by id those that are planned by a zone's rules.
-- {after: id | null, limit} -> {now, cursor, rows, after}
create or replace function public.planned_jobs_v1(request jsonb)
returns json
language sql
stable
security definer
set search_path = ''
as $$
    with page as (
        select j.id
        from public.scheduled_jobs as j
        where j.id > coalesce((request ->> 'after')::bigint, 0)
        order by j.id
        limit (request ->> 'limit')::int
    )

    select json_build_object(
        'now', clock_timestamp(),
        'cursor', job_scheduler.horizon(),
        'rows', (
            select coalesce(json_agg(r.job_row order by r.id), '[]')
            from job_scheduler.job_rows as r
            inner join public.scheduled_jobs as j on r.id = j.id
            where
                r.id = any(array(select p.id from page as p)) and j.id = any(array(select p.id from page as p))
                and j.trigger_type not in ('once', 'interval') and j.timezone not in ('UTC', 'Etc/UTC')
                and j.is_planned and j.due_at is not null and j.status in ('scheduled', 'running')
        ),
        'after', (select max(p.id) from page as p where (select count(*) from page) = (request ->> 'limit')::int)
    )
$$;
revoke all on function public.planned_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.planned_jobs_v1(jsonb) to service_role;

-- Replaces due instants by those of a newer zone database, where the job is still the same and still has the old one.
-- {plans: [{id, revision, was, due}]} -> {now, replanned}
create or replace function public.replan_jobs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = force_custom_plan -- these as in claim_runs_v1
set enable_seqscan = off
as $$
declare
    ids constant bigint[] := array(select (p ->> 'id')::bigint from jsonb_array_elements(request -> 'plans') as p);
    replanned integer;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    with found as (
        select j.id, p.due
        from public.scheduled_jobs as j
        inner join jsonb_to_recordset(request -> 'plans') as p (id bigint, revision bigint, was timestamptz, due timestamptz)
            on j.id = p.id and j.revision = p.revision and j.due_at = p.was
        where j.id = any(ids) and j.is_planned and j.status in ('scheduled', 'running')
        for update of j skip locked
    )
    update public.scheduled_jobs as j
    set
        due_at = f.due,
        next_run_at = case when j.next_run_at = j.due_at then f.due else least(j.next_run_at, f.due) end,
        revision = job_scheduler.next_revision(j.revision),
        changed_in = pg_current_xact_id()::text::bigint,
        updated_at = now()
    from found as f
    where j.id = any(ids) and j.id = f.id;
    get diagnostics replanned = row_count;
    if replanned > 0 then
        perform job_scheduler.notify('scheduled_jobs', null);
    end if;
    return json_build_object('now', clock_timestamp(), 'replanned', replanned);
end
$$;
revoke all on function public.replan_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.replan_jobs_v1(jsonb) to service_role;
$file$;
    left_alone constant text := null;
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090300') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090300', 'add_service', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
