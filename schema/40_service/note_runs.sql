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
