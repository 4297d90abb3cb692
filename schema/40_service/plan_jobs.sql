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
