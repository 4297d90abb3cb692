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
