-- The runs of a tenant, a page at a time, and the last outcomes of the jobs of a page.

-- Refuses keys of a filter that are not known, and names those that are.
create or replace function job_scheduler.check_filter(filter jsonb, variadic known text[])
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
    unknown text;
begin
    if jsonb_typeof(filter) is distinct from 'object' then
        raise exception 'filter: % is not allowed; expected an object', coalesce(left(filter::text, 120), 'null')
        using errcode = '22023';
    end if;
    select k into unknown from jsonb_object_keys(filter) as k where k <> all(known) limit 1;
    if found then
        raise exception 'filter: the key "%" is not allowed; expected %', left(unknown, 120), array_to_string(known, ', ')
        using errcode = '22023';
    end if;
end
$$;

-- The values that a key of a filter names, a text or a list of texts; null where the filter does not have it.
create or replace function job_scheduler.texts_of(filter jsonb, key text)
returns text[]
language sql
immutable
set search_path = ''
as $$
    select case jsonb_typeof(filter -> key)
        when 'array' then array(select t from jsonb_array_elements_text(filter -> key) as t)
        when 'null' then null
        else array[filter ->> key]
    end
    where filter ? key
$$;
revoke all on function job_scheduler.check_filter(jsonb, text[]), job_scheduler.texts_of(jsonb, text) from public;
grant execute on function job_scheduler.check_filter(jsonb, text[]), job_scheduler.texts_of(jsonb, text)
to authenticated, service_role;

-- The runs of a workspace, or of the caller's private jobs, behind a place in the list, at most so many: newest first by due
-- instant, failed ones by their end.
create or replace function job_scheduler.runs_after(workspace uuid, is_failed boolean, at timestamptz, run uuid, most integer)
returns setof public.job_executions
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
as $$
declare
    owner constant uuid := job_scheduler.caller();
begin
    if is_failed then
        return query
        select e.* from public.job_executions as e
        where
            case when e.workspace_id is null then e.created_by else e.workspace_id end = coalesce(workspace, owner)
            and e.status = 'failed'
            and (e.completed_at, e.id) < (at, run)
        order by e.completed_at desc, e.id desc
        limit most;
    else
        return query
        select e.* from public.job_executions as e
        where
            (workspace is null or e.workspace_id = workspace)
            and (workspace is not null or e.workspace_id is null and e.created_by = owner)
            and (e.scheduled_for, e.id) < (at, run)
        order by e.scheduled_for desc, e.id desc
        limit most;
    end if;
end
$$;
revoke all on function job_scheduler.runs_after(uuid, boolean, timestamptz, uuid, integer) from public;
grant execute on function job_scheduler.runs_after(uuid, boolean, timestamptz, uuid, integer) to authenticated, service_role;

-- A page of runs: of a workspace, or, without one, of the caller's private jobs. Where few runs match, a page may have none
-- although `next` is not null: it reads at most 10,000 runs. `next` is the `after` of the next page.
create or replace function public.list_runs(
    workspace uuid default null, filter jsonb default '{}', after jsonb default null, page integer default 50
)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
    statuses constant text[] := job_scheduler.texts_of(filter, 'status');
    is_failed constant boolean := coalesce(statuses = array['failed'], false);
    size constant integer := least(greatest(page, 1), 200);
    most integer;
    found_rows jsonb;
    last_seen jsonb;
    is_complete boolean;
begin
    perform job_scheduler.check_filter(filter, 'status', 'reason', 'handler', 'cause', 'error_fingerprint', 'since', 'until');
    foreach most in array array[size * 4, 10000] loop -- most pages are full after a few
        with near as (
            select e.*, case when is_failed then e.completed_at else e.scheduled_for end as at
            from job_scheduler.runs_after(
                workspace, is_failed, coalesce((after ->> 'at')::timestamptz, 'infinity'),
                coalesce((after ->> 'id')::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), most
            ) as e
        ), page_rows as (
            select
                n.at, n.id, n.scheduled_job_id, j.job_id, j.name, j.handler, n.scheduled_for, n.cause, n.attempt, n.status, n.reason,
                n.test_mode, n.started_at, n.completed_at, n.duration_ms, n.lateness_ms, n.progress, left(n.error, 300) as error,
                n.error_fingerprint, n.run_at
            from near as n
            inner join public.scheduled_jobs as j on n.scheduled_job_id = j.id
            where
                (statuses is null or n.status = any(statuses))
                and (not filter ? 'reason' or n.reason = any(job_scheduler.texts_of(filter, 'reason')))
                and (not filter ? 'handler' or j.handler = any(job_scheduler.texts_of(filter, 'handler')))
                and (not filter ? 'cause' or n.cause = filter ->> 'cause')
                and (not filter ? 'error_fingerprint' or n.error_fingerprint = filter ->> 'error_fingerprint')
                and (not filter ? 'since' or n.at >= (filter ->> 'since')::timestamptz)
                and (not filter ? 'until' or n.at < (filter ->> 'until')::timestamptz)
            order by n.at desc, n.id desc
            limit size
        )
        select
            coalesce(jsonb_agg(to_jsonb(p) - 'at' order by p.at desc, p.id desc), '[]'),
            case
                when count(*) = size then jsonb_build_object('at', min(p.at), 'id', (array_agg(p.id order by p.at, p.id))[1])
                when (select count(*) from near) = most
                    then (select jsonb_build_object('at', n.at, 'id', n.id) from near as n order by n.at, n.id limit 1)
            end,
            count(*) = size or (select count(*) from near) < most
        into found_rows, last_seen, is_complete
        from page_rows as p;
        exit when is_complete;
    end loop;
    return jsonb_build_object('rows', found_rows, 'next', last_seen);
end
$$;

-- The last 30 outcomes of each of these jobs, the newest last, and percentiles of their durations: {id: {outcomes, p50_ms,
-- p95_ms}}. At most 200 jobs.
create or replace function public.job_outcomes(jobs bigint[])
returns jsonb
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select coalesce(jsonb_object_agg(j.id, r.shown), '{}')
    from public.scheduled_jobs as j
    cross join lateral (
        select jsonb_build_object(
            'outcomes', coalesce(jsonb_agg(e.status order by e.scheduled_for, e.cause, e.attempt), '[]'),
            'p50_ms', percentile_cont(0.5) within group (order by e.duration_ms),
            'p95_ms', percentile_cont(0.95) within group (order by e.duration_ms)
        ) as shown
        from (
            select x.status, x.duration_ms, x.scheduled_for, x.cause, x.attempt
            from public.job_executions as x
            where x.scheduled_job_id = j.id
            order by x.scheduled_for desc, x.cause desc, x.attempt desc
            limit 30
        ) as e
    ) as r
    where j.id = any(jobs[1:200])
$$;
revoke all on function public.list_runs(uuid, jsonb, jsonb, integer), public.job_outcomes(bigint[])
from public, anon, authenticated, service_role;
grant execute on function public.list_runs(uuid, jsonb, jsonb, integer), public.job_outcomes(bigint[])
to authenticated, service_role;
