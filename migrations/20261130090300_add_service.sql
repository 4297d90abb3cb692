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

-- What the executor gets of claimed runs: the columns of each job that it needs, and of its execution. Rows made into json
-- as they are cost a third less than objects built key by key.
create or replace function job_scheduler.claimed_runs(executions uuid[])
returns json
language sql
set search_path = ''
as $$
    select coalesce(json_agg(r), '[]')
    from (
        select
            e.id as execution_id, e.fence, e.scheduled_for, e.run_at, e.attempt, e.cause, e.test_mode,
            j.id, j.revision, j.job_id, j.workspace_id, j.created_by, j.name, j.description, j.handler, j.metadata,
            j.trigger_type, j.run_date, j.schedule, j.timezone, j.last_run_at, j.priority, j.max_attempts,
            j.retry_delay_seconds, j.retry_backoff, j.timeout_seconds, j.exposed_only, j.store_result
        from public.job_executions as e
        inner join public.scheduled_jobs as j on e.scheduled_job_id = j.id
        where e.id = any(executions)
    ) as r
$$;
revoke all on function job_scheduler.claimed_runs(uuid[]) from public;

-- Waits a moment for jobs that no look shows: a channel tells of a commit shortly before it becomes visible.
create or replace function job_scheduler.await_commits(jobs bigint[])
returns void
language plpgsql
set search_path = ''
as $$
begin
    for attempt in 1 .. 5 loop
        exit when (select count(*) from public.scheduled_jobs as j where j.id = any(jobs)) = cardinality(jobs);
        perform pg_sleep(0.001);
    end loop;
end
$$;
revoke all on function job_scheduler.await_commits(bigint[]) from public;

-- Claims due instants: one statement checks status and due time, writes the ledger and moves the job on.
-- {listener, lease_seconds, ahead_seconds, claims: [{id, due, next, exhausted, run, missed: [instant], missed_reason}]}
-- `again` repeats a claim whose answer was lost: it is also granted what it was granted then.
-- `due` is the due instant that the job must still have, and `defined_at` the definition from which `next` was computed;
-- with `missed`, `run` is the instant to run (null: none). A long
-- past is entered in several claims: `next` is then the first instant that is left, so that whoever claims next goes on.
-- -> {now, runs: [claimed_runs], rows: [job_row of each job that was not simply granted], bounded: [workspace or user that is
-- at its quota of runs]}
-- A job that no look shows is in neither list: it was deleted, which channels and polls tell, or is not visible yet.
create or replace function public.claim_runs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
-- Batches are looked up by key, however large the table and however stale its statistics, and by plans of today: one kept
-- from when the table was short reads all of it.
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set lock_timeout = '2s' -- who holds a key or a row for longer holds up its claim alone: a smaller batch does without it
as $$
declare
    me constant uuid := (request ->> 'listener')::uuid;
    lease constant interval := make_interval(secs => (request ->> 'lease_seconds')::double precision);
    good_until timestamptz := clock_timestamp() + lease;
    ahead constant interval := make_interval(secs => (request ->> 'ahead_seconds')::double precision);
    ids constant bigint[] := array(select (c ->> 'id')::bigint from jsonb_array_elements(request -> 'claims') as c);
    free_jobs bigint[];
    free_dues timestamptz[];
    free_nexts timestamptz[];
    claimed uuid[];
    claimed_jobs bigint[];
    again_jobs bigint[];
    refused json;
    is_owned boolean; -- by somebody who has bounds
    held bigint[] := '{}'; -- at the bounds of their parties
    bounded uuid[] := '{}';
begin
    perform set_config('job_scheduler.stage', 'service', true);
    if request -> 'claims' @> '[{"again": true}]' then -- what was asked before may be under way still
        again_jobs := array(
            select (c ->> 'id')::bigint from jsonb_array_elements(request -> 'claims') as c where (c ->> 'again')::boolean
        );
        perform from public.scheduled_jobs as j where j.id = any(again_jobs) order by j.id for update;
    end if;
    -- Arrays, not one statement of several CTEs: the planner joins those row by row.
    with asked as (
        select c.*
        from jsonb_to_recordset(request -> 'claims')
            as c (id bigint, due timestamptz, "next" timestamptz, exhausted boolean, missed jsonb, defined_at timestamptz)
    ), free as (
        select
            j.id, a.due, coalesce(j.created_by, j.workspace_id) is not null as is_owned,
            case
                when j.trigger_type = 'once' or a.exhausted or j.scheduled_runs + 1 >= j.max_runs then '9999-01-01Z'
                else a.next
            end as next
        from public.scheduled_jobs as j
        inner join asked as a on j.id = a.id
        where
            j.id = any(ids) and j.status = 'scheduled' and j.due_at = a.due and j.queued_runs = 0
            and a.due <= clock_timestamp() + ahead
            and j.concurrency_key is null and a.missed is null and j.defined_at = coalesce(a.defined_at, j.defined_at)
        order by j.id
        for update of j skip locked
    )
    select array_agg(f.id), array_agg(f.due), array_agg(f.next), bool_or(f.is_owned)
    into free_jobs, free_dues, free_nexts, is_owned
    from free as f;
    if is_owned or coalesce(cardinality(free_jobs), 0) < jsonb_array_length(request -> 'claims') then
        select h.held, h.bounded into held, bounded from job_scheduler.hold_back(ids) as h;
    end if;

    with entered as (
        insert into public.job_executions
            (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, listener_id, lease_expires_at,
             started_at)
        select
            j.id, j.workspace_id, j.created_by, f.due, f.due, 'schedule', 'running', me, good_until,
            greatest(f.due, now())
        from unnest(free_jobs, free_dues) as f (id, due)
        inner join public.scheduled_jobs as j on f.id = j.id
        where j.id = any(free_jobs) and j.id <> all(held)
        on conflict do nothing
        returning id, scheduled_job_id
    )
    select coalesce(array_agg(e.id), '{}'), coalesce(array_agg(e.scheduled_job_id), '{}') into claimed, claimed_jobs
    from entered as e;

    update public.scheduled_jobs as j
    set
        status = 'running', attempt = 1, claimed_by = me, lease_expires_at = good_until, updated_at = now(),
        due_at = f.next, next_run_at = nullif(f.next, '9999-01-01Z')
    from unnest(free_jobs, free_nexts) as f (id, next)
    where j.id = f.id and j.id = any(claimed_jobs);

    if cardinality(claimed_jobs) < jsonb_array_length(request -> 'claims') then
        claimed := claimed || job_scheduler.claim_left_over(
            request, array(select i.id from unnest(ids) as i (id) where i.id <> all(held)), claimed_jobs, me,
            good_until, ahead
        );
    end if;
    if again_jobs is not null then
        claimed := claimed || job_scheduler.granted_before(again_jobs, claimed, me, good_until);
    end if;
    if clock_timestamp() > good_until - lease * 0.9 then -- it waited for locks, and what is granted is granted now
        perform job_scheduler.grant_until(claimed, me, clock_timestamp() + lease);
    end if;

    select coalesce(json_agg(j.job_row), '[]') into refused
    from job_scheduler.job_rows as j
    where j.id = any(ids) and j.id <> all(claimed_jobs);
    return json_build_object(
        'now', clock_timestamp(), 'runs', job_scheduler.claimed_runs(claimed), 'rows', refused,
        'bounded', bounded
    );
end
$$;
revoke all on function public.claim_runs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.claim_runs_v1(jsonb) to service_role;

-- Lets the leases of these runs begin now.
create or replace function job_scheduler.grant_until(claimed uuid[], me uuid, good_until timestamptz)
returns void
language sql
set search_path = ''
as $$
    update public.job_executions set lease_expires_at = good_until where id = any(claimed);
    update public.scheduled_jobs as j
    set lease_expires_at = good_until
    where j.claimed_by = me and j.id = any(
        array(select e.scheduled_job_id from public.job_executions as e where e.id = any(claimed))
    );
$$;
revoke all on function job_scheduler.grant_until(uuid[], uuid, timestamptz) from public;

-- Claims one by one what cannot be claimed with all others: jobs with queued runs, missed instants or a key, and those whose
-- rows somebody had locked. It runs with the settings of its caller.
create or replace function job_scheduler.claim_left_over(
    request jsonb, ids bigint[], claimed_jobs bigint[], me uuid, good_until timestamptz, ahead interval
)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
    claimed uuid[] := '{}';
    unusual bigint[];
    left_over record;
begin
    perform job_scheduler.await_commits(ids);
    -- What another listener has claimed before has moved on, and is only answered: most refusals are of that kind.
    select coalesce(array_agg(j.id), '{}') into unusual
    from jsonb_to_recordset(request -> 'claims') as c (id bigint, due timestamptz)
    inner join public.scheduled_jobs as j on c.id = j.id
    where
        j.id = any(ids) and j.id <> all(claimed_jobs)
        and (j.due_at = c.due or j.queued_runs > 0 or c.due is null and j.next_run_at is not null);
    perform job_scheduler.lock_keys(unusual);
    for left_over in
        select
            c.id, c.due, c.run, c.missed, c.missed_reason, c.defined_at,
            case when s.trigger_type = 'once' or c.exhausted then '9999-01-01Z' else c.next end as next
        from jsonb_to_recordset(request -> 'claims') as c (
            id bigint, due timestamptz, "next" timestamptz, exhausted boolean, "run" timestamptz, missed jsonb,
            missed_reason text, defined_at timestamptz
        )
        inner join public.scheduled_jobs as s on c.id = s.id
        where s.id = any(unusual)
        order by s.priority desc, c.due, c.id -- of those who share a key that is free, the first one gets it
    loop
        claimed := claimed || job_scheduler.claim_one(
            left_over.id, left_over.due, left_over.next,
            case when left_over.missed is null then left_over.due else left_over.run end,
            left_over.missed, left_over.missed_reason, me, good_until, clock_timestamp() + ahead,
            coalesce((request ->> 'key_concurrency')::integer, 1), left_over.defined_at
        );
    end loop;
    return claimed;
end
$$;
revoke all on function
job_scheduler.claim_left_over(jsonb, bigint[], bigint[], uuid, timestamptz, interval)
from public;

-- The runs of these jobs that this listener was granted by claims whose answers it may not have had, for as long as if they
-- were granted now. One that it knows of all the same it does not take twice.
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
        where e.id = m.id
        returning e.id
    )
    select coalesce(array_agg(x.id), '{}') from extended as x
$$;
revoke all on function job_scheduler.granted_before(bigint[], uuid[], uuid, timestamptz) from public;

-- Deletes these rows, and tells how many; one that cannot be deleted, because somebody's trigger or reference is in the way,
-- does not keep the others.
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
        when serialization_failure or deadlock_detected or lock_not_available then
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

-- Forgets what is older than its keep: final ledger rows, jobs that ended and will not run again, and the audit.
-- {retention_days, limit} -> {deleted, acts}; at most `limit` of each kind
create or replace function public.clean_ledger_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    retention_days constant numeric := (request ->> 'retention_days')::numeric;
    -- the least of all keeps: what is younger need not be looked at
    youngest constant timestamptz := now() - least(
        retention_days, (select min(j.cleanup_after_days) from public.scheduled_jobs as j)
    )::double precision * interval '1 day';
    old_runs uuid[];
    old_jobs bigint[];
    deleted integer;
    acts integer;
begin
    perform set_config('job_scheduler.stage', 'service', true);
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
    deleted := job_scheduler.forget(old_runs, old_jobs);
    delete from public.job_audit
    where id in (
        select a.id from public.job_audit as a
        where a.at < now() - retention_days::double precision * interval '1 day'
        limit (request ->> 'limit')::int
        for update skip locked
    );
    get diagnostics acts = row_count;
    delete from job_scheduler.signals where at < now() - interval '1 hour';
    return json_build_object('now', clock_timestamp(), 'deleted', deleted, 'acts', acts);
end
$$;
revoke all on function public.clean_ledger_v1(jsonb) from public, anon, authenticated;
grant execute on function public.clean_ledger_v1(jsonb) to service_role;

-- The lock of a job's key among those who share it.
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

-- How many more runs may start among the jobs that share a key with this one; whoever asks holds the key's lock. A run to
-- which release_keys gave the key keeps its room until it is claimed: from all who come anew, and from those that were
-- given it and go after it, so that the first of them always finds room. Not for ever: whoever could claim it may be busy.
create or replace function job_scheduler.key_room(
    j public.scheduled_jobs, key_limit integer, asker public.job_executions default null
)
returns integer
language sql
set search_path = ''
as $$
    with given as materialized ( -- there are few, and the planner does not know it
        select e.* from public.job_executions as e
        where
            e.status = 'queued' and e.blocked_since is not null
            and e.run_at < '9999-01-01Z' and e.run_at > now() - interval '10 seconds'
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
            and (g.cause = 'manual' or s.status = 'scheduled')
            and (
                asker.blocked_since is null
                or (j.priority, g.blocked_since, g.id) < (s.priority, asker.blocked_since, asker.id)
            )
    )
$$;
revoke all on function job_scheduler.key_room(public.scheduled_jobs, integer, public.job_executions) from public;

-- Gives the keys of these jobs, as far as they are free, to the runs that waited for them: the highest priority first, then
-- what could have started first. Each keeps its room, see job_scheduler.key_room. One that is passed over, because somebody
-- has its job locked, is given the key at the end of the next run that gets it. Answers the jobs to arm.
create or replace function job_scheduler.release_keys(jobs bigint[], key_limit integer)
returns bigint[]
language plpgsql
set search_path = ''
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
                e.status = 'queued' and e.run_at = '9999-01-01Z' and s.concurrency_key = j.concurrency_key
                and coalesce(s.workspace_id, s.created_by) is not distinct from coalesce(j.workspace_id, j.created_by)
                and (e.cause = 'manual' or s.status = 'scheduled')
            order by s.priority desc, e.blocked_since, e.id
            limit greatest(job_scheduler.key_room(j, key_limit), 0)
            for update of s skip locked -- who holds that job's row may be waiting for this key
        ), released as (
            update public.job_executions as e
            set run_at = greatest(e.scheduled_for, clock_timestamp()) -- it may have been claimed ahead of its time
            from blocked as b
            where e.id = b.id
            returning e.scheduled_job_id
        )
        select coalesce(array_agg(r.scheduled_job_id), '{}') into freed from released as r;
        all_freed := all_freed || freed;
    end loop;
    if cardinality(all_freed) > 0 then
        perform job_scheduler.set_wake(all_freed);
        -- Another listener may be the one with room.
        perform job_scheduler.notify('scheduled_jobs', null);
    end if;
    return all_freed;
end
$$;
revoke all on function job_scheduler.release_keys(bigint[], integer) from public;

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
set lock_timeout = '2s' -- who holds a row for longer holds up its run alone: a smaller batch does without it
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
            -- of several runs of one job in a batch, the last one of its schedule speaks
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
        -- A listener that goes hands its runs to the others, which are to know at once.
        perform job_scheduler.notify('scheduled_jobs', null);
    end if;

    perform job_scheduler.store_logs(request -> 'logs', taken);
    return json_build_object('now', clock_timestamp(), 'taken', to_json(taken), 'rows', coalesce(to_arm, '[]'));
end
$$;
revoke all on function public.finish_runs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.finish_runs_v1(jsonb) to service_role;

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
    ), rooms as (
        select w.party, least(
            w.max_running - job_scheduler.running_of(w.party, w.is_workspace), w.max_rate - u.runs
        ) as room
        from wanted as w
        inner join job_scheduler.usage as u on w.party = u.party
        where w.number = 1
    ), counted as (
        update job_scheduler.usage as u
        set runs = u.runs + c.runs
        from (
            select w.party, count(*) as runs
            from wanted as w
            inner join rooms as r on w.party = r.party
            where w.number <= r.room
            group by w.party
        ) as c
        where u.party = c.party
    )
    select coalesce(array_agg(w.id), '{}'), coalesce(array_agg(distinct w.party), '{}') into held, bounded
    from wanted as w
    inner join rooms as r on w.party = r.party
    where w.number > r.room;
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
as $$
declare
    ids constant uuid[] := array(select (x ->> 0)::uuid from jsonb_array_elements(executions) as x);
    extended uuid[];
    jobs bigint[];
begin
    with mine as (
        select e.id
        from jsonb_array_elements(executions) as x
        inner join public.job_executions as e on (x ->> 0)::uuid = e.id
        where e.id = any(ids) and e.status = 'running' and e.listener_id = me and e.fence = (x ->> 1)::integer
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
        for no key update skip locked -- it is for those who look; the ledger decides
    ));

    select
        coalesce(json_agg(x) filter (where e.id is null), '[]'), coalesce(json_agg(x) filter (where e.id is not null), '[]')
    into lost, unsure
    from jsonb_array_elements(executions) as x
    left join public.job_executions as e
        on e.id = any(ids) and (x ->> 0)::uuid = e.id and e.status = 'running' and e.listener_id = me
        and e.fence = (x ->> 1)::integer
    where (x ->> 0)::uuid <> all(extended) or e.id is null;
end
$$;
revoke all on function job_scheduler.extend_claims(jsonb, uuid, interval) from public;

-- A listener's heartbeat, and the extension of its claims.
-- {listener, name, lease_seconds, executions: [[id, fence]], shares} -> {now, lost: [[id, fence]], unsure: [[id, fence]],
--   listeners: {id: its last heartbeat}}
-- One that does not share the jobs, because it starts or stops, does not beat. Alive is who missed no more than one beat.
create or replace function public.extend_leases_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    me constant uuid := (request ->> 'listener')::uuid;
    lease constant interval := make_interval(secs => (request ->> 'lease_seconds')::double precision);
    claims record;
    is_new boolean;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    if coalesce((request ->> 'shares')::boolean, true) then
        insert into public.job_listeners as l (id, name) values (me, request ->> 'name')
        on conflict (id) do update set heartbeat_at = clock_timestamp()
        returning l.started_at = l.heartbeat_at into is_new;
    end if;
    if is_new then
        perform job_scheduler.notify('job_listeners', null);
    end if;
    delete from public.job_listeners where heartbeat_at < now() - greatest(lease * 10, interval '10 minutes');

    select * into claims from job_scheduler.extend_claims(request -> 'executions', me, lease);
    return json_build_object(
        'now', clock_timestamp(),
        'lost', claims.lost,
        'unsure', claims.unsure,
        'listeners', (
            select json_object_agg(l.id, l.heartbeat_at)
            from public.job_listeners as l
            where l.heartbeat_at > now() - lease / 2
        )
    );
end
$$;
revoke all on function public.extend_leases_v1(jsonb) from public, anon, authenticated;
grant execute on function public.extend_leases_v1(jsonb) to service_role;

-- A listener that leaves says so, so that its share passes on at once.
create or replace function public.leave_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
begin
    delete from public.job_listeners where id = (request ->> 'listener')::uuid;
    if found then
        perform job_scheduler.notify('job_listeners', null);
    end if;
    return json_build_object('now', clock_timestamp());
end
$$;
revoke all on function public.leave_v1(jsonb) from public, anon, authenticated;
grant execute on function public.leave_v1(jsonb) to service_role;

-- What the service asks of the database: one jsonb argument and one json answer each, so that one request carries
-- hundreds of jobs. Names end in a version, so that old and new replicas live together during a deploy.
-- All are security definer, because they write columns that not even service_role may write itself, and only
-- service_role may call them.

-- What a listener keeps of a job: enough to arm it and to compute what follows. A view, because a function is called
-- for each row, and there may be thousands.
create or replace view job_scheduler.job_rows with (security_invoker = true) as
select
    j.id,
    j.revision,
    j.next_run_at,
    j.due_at,
    j.status,
    j.trigger_type,
    case
        when j.trigger_type = 'once' then json_build_object(
            'id', j.id, 'revision', j.revision, 'status', j.status, 'priority', j.priority,
            'due_at', nullif(j.due_at, '9999-01-01Z'), 'next_run_at', j.next_run_at, 'trigger_type', 'once',
            'misfire', j.misfire, 'misfire_grace_seconds', j.misfire_grace_seconds,
            'tenant', coalesce(j.workspace_id, j.created_by), 'user', j.created_by
        )
        else json_build_object(
            'id', j.id, 'revision', j.revision, 'status', j.status, 'priority', j.priority,
            'due_at', nullif(j.due_at, '9999-01-01Z'), 'next_run_at', j.next_run_at, 'trigger_type', j.trigger_type,
            'run_date', j.run_date, 'misfire', j.misfire, 'misfire_grace_seconds', j.misfire_grace_seconds,
            'unplanned', j.due_at is null and j.status in ('scheduled', 'running'),
            'schedule', j.schedule, 'timezone', j.timezone, 'ends_at', j.ends_at, 'defined_at', j.defined_at,
            'dst_gap', j.dst_gap, 'dst_fold', j.dst_fold, 'tenant', coalesce(j.workspace_id, j.created_by),
            'user', j.created_by
        )
    end as job_row
from public.scheduled_jobs as j;

revoke all on job_scheduler.job_rows from public;

-- The oldest transaction still open: rows of later ones may yet appear, so the next poll begins here.
create or replace function job_scheduler.horizon()
returns bigint
language sql
stable
set search_path = ''
as $$
    select pg_snapshot_xmin(pg_current_snapshot())::text::bigint
$$;
revoke all on function job_scheduler.horizon() from public;

-- Jobs whose definition changed at or after the cursor and that matter before `until`, a page at a time; and what stopped
-- runs since, as the channels tell it: a job that was cancelled and scheduled again does not show that any more.
-- {cursor, until, after: [revision, id] | null, limit} -> {now, cursor, rows, after, signals: [message]}
create or replace function public.poll_jobs_v1(request jsonb)
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
            j.revision >= (request ->> 'cursor')::bigint
            and (
                request -> 'after' is null or jsonb_typeof(request -> 'after') = 'null'
                or (j.revision, j.id) > ((request -> 'after' ->> 0)::bigint, (request -> 'after' ->> 1)::bigint)
            )
            and (
                j.next_run_at <= (request ->> 'until')::timestamptz
                or j.status in ('cancelled', 'paused')
                or j.due_at is null and j.status in ('scheduled', 'running')
                or j.status = 'running'
            )
        order by j.revision, j.id
        limit (request ->> 'limit')::int
    )

    select json_build_object(
        'now', clock_timestamp(),
        'cursor', job_scheduler.horizon(),
        'rows', (select coalesce(json_agg(p.job_row order by p.revision, p.id), '[]') from page as p),
        'after', (
            select json_build_array(p.revision, p.id) from page as p
            where (select count(*) from page) = (request ->> 'limit')::int
            order by p.revision desc, p.id desc limit 1
        ),
        'signals', (
            select coalesce(json_agg(s.message order by s.id), '[]')
            from job_scheduler.signals as s
            where
                s.message ->> 'table' in ('cancelled_runs', 'stopped_runs', 'deleted_jobs')
                and (s.message ->> 'xid')::bigint >= (request ->> 'cursor')::bigint
        )
    )
$$;
revoke all on function public.poll_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.poll_jobs_v1(jsonb) to service_role;

-- Jobs by id, as many of the first as fit: `after` of them, if that is not all.
-- {ids: [bigint], limit} -> {now, cursor, rows, after}
create or replace function public.jobs_v1(request jsonb)
returns json
language sql
stable
security definer
set search_path = ''
as $$
    with page as (
        select a.id::bigint as id, a.place
        from jsonb_array_elements_text(request -> 'ids') with ordinality as a (id, place)
        order by a.place
        limit (request ->> 'limit')::int
    )

    select json_build_object(
        'now', clock_timestamp(),
        'cursor', job_scheduler.horizon(),
        'rows', (
            select coalesce(json_agg(j.job_row order by p.place), '[]')
            from page as p
            inner join job_scheduler.job_rows as j on p.id = j.id
            where j.id = any(array(select id from page))
        ),
        'after', case
            when (request ->> 'limit')::int < jsonb_array_length(request -> 'ids') then (request ->> 'limit')::int
        end
    )
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
            j.due_at is null and j.status in ('scheduled', 'running')
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

-- Keeps what handlers logged in these runs, in its order; what came before, when the answer was lost, is not kept twice.
create or replace function job_scheduler.store_logs(logs jsonb, executions uuid[])
returns void
language sql
set search_path = ''
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

-- What runs tell while they go on; of a run whose claim is lost nothing is kept. Lines may come after its end.
-- {listener, notes: [{id, fence, progress}], logs: [{execution_id, at, level, message, fields}]} -> {now}
create or replace function public.note_runs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = force_custom_plan -- these as in claim_runs_v1
set enable_seqscan = off
set lock_timeout = '2s'
as $$
declare
    ids constant uuid[] := array(select (n ->> 'id')::uuid from jsonb_array_elements(request -> 'notes') as n);
    held uuid[];
begin
    held := array(
        select e.id
        from jsonb_to_recordset(request -> 'notes') as n (id uuid, fence integer)
        inner join public.job_executions as e on n.id = e.id
        where e.id = any(ids) and e.listener_id = (request ->> 'listener')::uuid and e.fence = n.fence
        for no key update of e
    );
    update public.job_executions as e
    set progress = n.progress
    from jsonb_to_recordset(request -> 'notes') as n (id uuid, progress double precision)
    where e.id = n.id and e.id = any(held) and e.status = 'running' and n.progress is distinct from e.progress;
    perform job_scheduler.store_logs(request -> 'logs', held);
    return json_build_object('now', clock_timestamp());
end
$$;
revoke all on function public.note_runs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.note_runs_v1(jsonb) to service_role;

-- Writes the first due instants that the service computed, unless the job changed since; null means that none is left, and
-- an error that none can be computed.
-- {plans: [{id, revision, due, error}]} -> {planned}
create or replace function public.plan_jobs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = force_custom_plan -- these as in claim_runs_v1
set enable_seqscan = off
as $$
declare
    ids constant bigint[] := array(select (p ->> 'id')::bigint from jsonb_array_elements(request -> 'plans') as p);
    planned integer;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    with plans as (
        select p.id, p.revision, coalesce(p.due, '9999-01-01Z') as due
        from jsonb_to_recordset(request -> 'plans') as p (id bigint, revision bigint, due timestamptz, error text)
        where p.error is null
    ), free as (
        select j.id, p.due
        from public.scheduled_jobs as j
        inner join plans as p on j.id = p.id and j.revision = p.revision
        where
            j.id = any(ids) -- so that they are looked up by key, whatever the statistics say
            and j.due_at is null and j.status in ('scheduled', 'running')
        order by j.id
        for update of j skip locked
    )
    update public.scheduled_jobs as j
    set
        due_at = f.due,
        next_run_at = nullif(least(f.due, j.next_run_at), '9999-01-01Z'),
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
    return json_build_object('planned', planned);
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
        select j.id, p.told as error
        from public.scheduled_jobs as j
        inner join (
            select w.id, w.revision, 'no due instant can be computed: ' || w.error as told
            from jsonb_to_recordset(plans) as w (id bigint, revision bigint, error text)
        ) as p on j.id = p.id and j.revision = p.revision
        where p.told is not null and j.error is distinct from p.told and j.status in ('scheduled', 'running')
        for update of j skip locked
    ), told as (
        update public.scheduled_jobs as j
        set error = s.error, updated_at = now()
        from invalid as s
        where j.id = s.id
        returning j.id, j.workspace_id, j.created_by, j.error, coalesce(j.due_at, j.defined_at) as instant
    )
    insert into public.job_executions
        (scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, status, reason, error, completed_at)
    select t.id, t.workspace_id, t.created_by, t.instant, t.instant, 'schedule', 'skipped', 'invalid_schedule', t.error, now()
    from told as t
    on conflict do nothing
$$;
revoke all on function job_scheduler.report_invalid(jsonb) from public;

-- Jobs without a due instant left and without a run of their schedule to wait for are done, by way of the states that
-- lead there. A run that somebody asked for is not the schedule's.
create or replace function job_scheduler.complete_exhausted(jobs bigint[])
returns void
language plpgsql
set search_path = ''
as $$
begin
    with spent as (
        update public.scheduled_jobs as j
        set status = 'running'
        where
            j.id = any(jobs) and j.status = 'scheduled' and j.due_at = '9999-01-01Z' and not (
                j.queued_runs > 0 and exists (
                    select from public.job_executions as e
                    where e.scheduled_job_id = j.id and e.status = 'queued' and e.cause = 'schedule'
                )
            )
        returning j.id
    )
    select array_agg(s.id) into jobs from spent as s;
    update public.scheduled_jobs set status = 'completed', updated_at = now() where id = any(jobs);
end
$$;
revoke all on function job_scheduler.complete_exhausted(bigint[]) from public;

-- A probe is a signal for nobody in particular: a listener sends it when it has received nothing for a while, and whichever
-- channel does not bring it along is stale.

-- Rings by the same function, and so by the same two channels, as every trigger on jobs and meetings does.
-- {listener} -> {now, channels: [those that this database can send on]}
create or replace function public.send_probe_v1(request jsonb)
returns json
language plpgsql
security definer -- service_role may not notify by itself
set search_path = ''
as $$
begin
    perform job_scheduler.notify('probe', jsonb_build_array(request -> 'listener'));
    return json_build_object(
        'now', clock_timestamp(),
        'channels', case
            when to_regprocedure('realtime.send(jsonb,text,text,boolean)') is null then '["postgres_changes"]'::json
            else '["broadcast", "postgres_changes"]'::json
        end
    );
end
$$;
revoke all on function public.send_probe_v1(jsonb) from public, anon, authenticated;
grant execute on function public.send_probe_v1(jsonb) to service_role;

-- Ends runs whose lease ran out, which the caller has locked with their jobs, and queues their next attempts at once.
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
            e.*, e.status = 'failed' and e.attempt < j.max_attempts as again,
            e.cause = 'schedule' and e.stopped_at is null as is_own
    ), next_attempt as (
        insert into public.job_executions
            (scheduled_job_id, workspace_id, created_by, scheduled_for, cause, attempt, status, test_mode, run_at)
        select
            e.scheduled_job_id, e.workspace_id, e.created_by, e.scheduled_for, e.cause, e.attempt + 1, 'queued',
            e.test_mode, now()
        from ended as e
        where e.again
        on conflict do nothing
    ), by_job as (
        select
            e.scheduled_job_id as id, count(*) as runs, bool_or(e.again and e.is_own) as again,
            count(*) filter (where not e.again and e.status = 'failed') as bad,
            count(*) filter (where not e.again and e.status = 'failed' and e.cause = 'schedule') as scheduled,
            bool_or(e.is_own) as by_schedule,
            max((
                select max(case when o.stopped_at is null then o.cause else 'manual' end)
                from public.job_executions as o
                where
                    o.scheduled_job_id = e.scheduled_job_id and o.status = 'running' and o.lease_expires_at is not null
                    and o.id not in (select x.id from ended as x)
            )) as others_run
        from ended as e
        group by e.scheduled_job_id
    ), moved as (
        update public.scheduled_jobs as j
        set
            status = case
                when j.status <> 'running' or not b.by_schedule or b.others_run = 'schedule' then j.status
                when b.again or j.queued_runs > 0 and exists (
                    select from public.job_executions as q
                    where q.scheduled_job_id = j.id and q.status = 'queued' and q.cause = 'schedule'
                ) then 'scheduled'
                when j.due_at = '9999-01-01Z' then 'failed'
                else 'scheduled'
            end,
            last_run_status = 'failed',
            total_runs = j.total_runs + b.bad,
            failed_runs = j.failed_runs + b.bad,
            scheduled_runs = j.scheduled_runs + b.scheduled,
            error = 'lease_lost: the listener that ran this job went away',
            claimed_by = case when b.others_run is not null then j.claimed_by end,
            lease_expires_at = case when b.others_run is not null then j.lease_expires_at end,
            updated_at = now()
        from by_job as b
        where j.id = b.id
        returning j.id, b.runs
    )
    select coalesce(array_agg(m.id), '{}'), coalesce(sum(m.runs), 0) into jobs, rescued from moved as m;

    perform job_scheduler.settle_shared(jobs);
    perform job_scheduler.reopen(jobs);
    perform job_scheduler.set_wake(jobs);
end
$$;
revoke all on function job_scheduler.end_lost_runs(uuid[]) from public;

-- Takes runs from listeners that died; frees the keys that nobody holds any more. A run whose rows somebody has locked is
-- left for the next look, and one that cannot be ended does not keep the others from it.
-- {limit, key_concurrency} -> {now, rescued, rows: [job_row to arm], failures: [{execution_id, error}]}
create or replace function public.rescue_runs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    lost uuid[];
    execution uuid;
    one record;
    jobs bigint[] := '{}';
    rescued bigint := 0;
    failures jsonb := '[]';
begin
    perform set_config('job_scheduler.stage', 'service', true);
    lost := array(
        select e.id
        from public.job_executions as e
        inner join public.scheduled_jobs as s on e.scheduled_job_id = s.id
        where e.status = 'running' and e.lease_expires_at < clock_timestamp()
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
                -- The slow way says which it is.
                foreach execution in array lost loop
                    begin
                        select * into one from job_scheduler.end_lost_runs(array[execution]);
                        jobs := jobs || one.jobs;
                        rescued := rescued + one.rescued;
                    exception when others then
                        failures := failures || jsonb_build_object('execution_id', execution, 'error', sqlerrm);
                    end;
                end loop;
        end;
    end if;
    jobs := jobs || job_scheduler.release_keys(
        jobs || array(
            select min(e.scheduled_job_id)
            from public.job_executions as e
            inner join public.scheduled_jobs as s on e.scheduled_job_id = s.id
            where e.status = 'queued' and e.run_at = '9999-01-01Z' and (e.cause = 'manual' or s.status = 'scheduled')
            group by s.concurrency_key, coalesce(s.workspace_id, s.created_by)
            order by random() -- so that none is left out for ever
            limit 100
        ),
        coalesce((request ->> 'key_concurrency')::integer, 1)
    );
    return json_build_object(
        'now', clock_timestamp(),
        'rescued', rescued,
        'rows', (
            select coalesce(json_agg(j.job_row), '[]') from job_scheduler.job_rows as j where j.id = any(jobs)
        ),
        'failures', failures
    );
end
$$;
revoke all on function public.rescue_runs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.rescue_runs_v1(jsonb) to service_role;

-- Which jobs a listener keeps in memory. A listener that has room for all that are near keeps all; else each party gets a
-- share, and what it leaves unused is shared among the others. A party is a user, for all their workspaces together; jobs
-- that the service key made are their workspace's, or the service's own. Everything is looked up through one index that
-- begins with the party, so that a list costs as much as what it lists and not as what there is.

-- The parties that have a job to act on before `until`: one step in the index for each party that has any job to come.
create or replace function job_scheduler.near_parties(until timestamptz)
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
            and j.next_run_at <= until
    )
$$;
revoke all on function job_scheduler.near_parties(timestamptz) from public;

-- How many jobs each party may have in memory for `most` in all, and until when all of everybody's are within that.
create or replace function job_scheduler.share_of_each(
    parties uuid[], until timestamptz, most bigint, out share bigint, out complete_until timestamptz
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
                    and j.next_run_at <= until
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
            and j.next_run_at <= until
        order by j.next_run_at, j.id
        offset share
        limit 1
    ) as l;
    if cardinality(parties) > most then
        complete_until := now();
    end if;
end
$$;
revoke all on function job_scheduler.share_of_each(uuid[], timestamptz, bigint) from public;

-- The share of each party: what is due or is so in ten seconds, the highest priority first; then what comes next. First
-- of all parties the first, then the second of each, and so on.
create or replace function job_scheduler.shared_out(parties uuid[], share bigint, until timestamptz, most bigint)
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
                    order by j.priority desc, j.next_run_at, j.id
                    limit share
                )
                union all (
                    select j.id, j.priority, j.next_run_at
                    from public.scheduled_jobs as j
                    where
                        coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                        and j.priority = 0 and j.next_run_at <= least(until, now() + interval '10 seconds')
                    order by j.next_run_at, j.id
                    limit share
                )
                union all (
                    select j.id, j.priority, j.next_run_at
                    from public.scheduled_jobs as j
                    where
                        coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                        and j.priority < 0 and j.next_run_at <= least(until, now() + interval '10 seconds')
                    order by j.priority desc, j.next_run_at, j.id
                    limit share
                )
                union all (
                    select j.id, j.priority, j.next_run_at
                    from public.scheduled_jobs as j
                    where
                        coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                        and j.next_run_at > now() + interval '10 seconds' and j.next_run_at <= until
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
revoke all on function job_scheduler.shared_out(uuid[], bigint, timestamptz, bigint) from public;

-- The jobs to act on before `until` that a listener with memory for `limit` of them keeps. `complete_until`: nothing to act on
-- before that was left out; `left_out`: how many are due and were, as far as counted.
-- {until, limit} -> {now, cursor, ids: [bigint], complete_until, left_out}
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
    parties uuid[];
    of_each record;
    ids bigint[] := array(
        select j.id from public.scheduled_jobs as j
        where j.next_run_at <= until
        order by j.next_run_at, j.id
        limit most + 1
    );
    complete_until timestamptz := until;
    left_out bigint := 0;
begin
    if cardinality(ids) > most then
        parties := job_scheduler.near_parties(until);
        of_each := job_scheduler.share_of_each(parties, until, most);
        complete_until := of_each.complete_until;
        ids := job_scheduler.shared_out(parties, of_each.share, until, most);
        left_out := (
            select count(*) from (
                select from public.scheduled_jobs as j where j.next_run_at <= now() limit 4 * most
            ) as d
        ) - (select count(*) from public.scheduled_jobs as j where j.id = any(ids) and j.next_run_at <= now());
    end if;
    return json_build_object(
        'now', clock_timestamp(), 'cursor', job_scheduler.horizon(), 'ids', to_json(ids),
        'complete_until', complete_until, 'left_out', left_out
    );
end
$$;
revoke all on function public.due_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.due_jobs_v1(jsonb) to service_role;
