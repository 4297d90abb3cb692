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
