-- One act on all jobs that a filter names, as far as the caller may write them: policies, the state machine, quotas and the
-- audit hold as for one job.

-- The statuses in which a job takes an act; null for an act that there is not.
create or replace function job_scheduler.statuses_for(act text)
returns text[]
language sql
immutable
set search_path = ''
as $$
    select case act
        when 'cancel' then array['scheduled', 'running', 'paused']
        when 'pause' then array['scheduled', 'running']
        when 'resume' then array['paused']
        when 'retry' then array['completed', 'failed', 'cancelled']
        when 'run_now' then array['scheduled', 'running', 'paused', 'completed', 'failed', 'cancelled']
        when 'delete' then array['scheduled', 'running', 'paused', 'completed', 'failed', 'cancelled']
    end
$$;

-- The jobs that a filter names and the caller may write, in the order of their ids, at most 100,000.
create or replace function job_scheduler.jobs_of(filter jsonb)
returns table (id bigint, status text, source text)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
as $$
declare
    ids constant bigint[] := case
        when filter ? 'ids' then array(select x::bigint from jsonb_array_elements_text(filter -> 'ids') as x)
    end;
    workspace constant uuid := (filter ->> 'workspace_id')::uuid;
    is_private constant boolean := filter ? 'workspace_id' and workspace is null;
    owner constant uuid := job_scheduler.caller();
    statuses constant text[] := job_scheduler.texts_of(filter, 'status');
    handlers constant text[] := job_scheduler.texts_of(filter, 'handler');
    triggers constant text[] := job_scheduler.texts_of(filter, 'trigger_type');
    kinds constant text[] := job_scheduler.texts_of(filter, 'job_type');
    part constant text := lower(filter ->> 'name');
    failed_like constant bigint[] := case
        when filter ? 'error_fingerprint' then array(
            select distinct f.scheduled_job_id
            from (
                select e.scheduled_job_id from public.job_executions as e
                where e.status = 'failed' and e.error_fingerprint = filter ->> 'error_fingerprint'
                order by e.completed_at desc
                limit 100000
            ) as f
        )
    end;
    writable constant uuid[] := case
        when row_security_active('public.scheduled_jobs'::regclass) then job_scheduler.writable_workspaces()
    end;
begin
    return query
    select j.id, j.status, j.source
    from public.scheduled_jobs as j
    where
        (writable is null or j.workspace_id is null or j.workspace_id = any(writable))
        and (ids is null or j.id = any(ids))
        and (failed_like is null or j.id = any(failed_like))
        and (workspace is null or j.workspace_id = workspace)
        and (not is_private or j.workspace_id is null and j.created_by is not distinct from owner)
        and (statuses is null or j.status = any(statuses))
        and (handlers is null or j.handler = any(handlers))
        and (triggers is null or j.trigger_type = any(triggers))
        and (kinds is null or j.job_type = any(kinds))
        and (part is null or strpos(lower(coalesce(j.name, j.job_id)), part) > 0)
        and (not filter ? 'after' or j.id > (filter ->> 'after')::bigint)
    order by j.id
    limit 100000;
end
$$;

-- Does it to these jobs, but not to those that somebody else has locked just now; returns how many.
create or replace function job_scheduler.act_on(jobs bigint[], act text)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    held bigint[];
    changed bigint;
begin
    held := array(
        select j.id from public.scheduled_jobs as j
        where j.id = any(jobs) and j.status = any(job_scheduler.statuses_for(act))
        order by j.id
        for update skip locked -- an end that is being written may wait for a job that this transaction has
    );
    case act
        when 'run_now' then
            insert into public.job_executions (scheduled_job_id) select h from unnest(held) as h;
        when 'delete' then
            delete from public.scheduled_jobs as j where j.id = any(held);
        else
            update public.scheduled_jobs as j
            set status = case act when 'cancel' then 'cancelled' when 'pause' then 'paused' else 'scheduled' end
            where j.id = any(held);
    end case;
    get diagnostics changed = row_count;
    return changed;
end
$$;
revoke all on function
job_scheduler.statuses_for(text), job_scheduler.jobs_of(jsonb), job_scheduler.act_on(bigint[], text)
from public;
grant execute on function
job_scheduler.statuses_for(text), job_scheduler.jobs_of(jsonb), job_scheduler.act_on(bigint[], text)
to authenticated, service_role;

-- Cancels, pauses, resumes, retries, runs or deletes the jobs that a filter names, at most `max_jobs` a call; with `dry_run` it
-- only counts. {matched, changed, skipped: those whose status does not take it, more: whether a further call would change
-- more, last: the id up to which this one went, for `after`}
create or replace function public.bulk_jobs(
    action text, filter jsonb, max_jobs integer default 1000, dry_run boolean default false
)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    sources constant text[] := job_scheduler.statuses_for(action);
    most constant integer := least(greatest(max_jobs, 1), 5000);
    by_client constant boolean := row_security_active('public.scheduled_jobs'::regclass);
    matched bigint;
    fit bigint[];
    taken bigint[];
    changed bigint;
begin
    if sources is null then
        raise exception 'action: "%" is not allowed; expected one of cancel, pause, resume, retry, run_now, delete', action
        using errcode = '22023';
    end if;
    perform job_scheduler.check_filter(
        filter, 'ids', 'workspace_id', 'status', 'handler', 'trigger_type', 'job_type', 'name', 'error_fingerprint', 'after'
    );
    if filter - 'after' = '{}' then
        raise exception 'filter: {} is not allowed; expected at least one key, such as "workspace_id"'
        using errcode = '22023', hint = 'For your private jobs, filter by {"workspace_id": null}.';
    end if;
    select
        count(*),
        coalesce(array_agg(j.id order by j.id) filter (
            where j.status = any(sources) and not (action = 'delete' and by_client and j.source is not null)
        ), '{}')
    into matched, fit
    from job_scheduler.jobs_of(filter) as j;
    taken := fit[1:most];
    changed := case when dry_run then cardinality(taken) else job_scheduler.act_on(taken, action) end;
    return jsonb_build_object(
        'matched', matched, 'changed', changed, 'skipped', matched - cardinality(fit),
        'more', cardinality(fit) > changed or matched = 100000, 'last', taken[cardinality(taken)]
    );
end
$$;
revoke all on function public.bulk_jobs(text, jsonb, integer, boolean) from public, anon, authenticated, service_role;
grant execute on function public.bulk_jobs(text, jsonb, integer, boolean) to authenticated, service_role;
