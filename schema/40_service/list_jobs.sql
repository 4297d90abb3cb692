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
    j.next_run_at,
    j.is_planned,
    j.status,
    j.trigger_type,
    case
        when j.trigger_type = 'once' then json_build_object(
            'id', j.id, 'revision', j.revision, 'status', j.status, 'priority', j.priority,
            'due_at', j.due_at, 'next_run_at', j.next_run_at, 'trigger_type', 'once',
            'misfire', j.misfire, 'misfire_grace_seconds', j.misfire_grace_seconds, 'handler', j.handler,
            'tenant', coalesce(j.workspace_id, j.created_by), 'user', j.created_by
        )
        else json_build_object(
            'id', j.id, 'revision', j.revision, 'status', j.status, 'priority', j.priority,
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
-- runs since, as the channels report it: the row of a job that was cancelled and scheduled again does not show that.
-- {cursor, until, after: [revision, id] | null, limit} -> {now, cursor, rows, after, signals: [message], muted_until}
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
                or not j.is_planned and j.status in ('scheduled', 'running')
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
            from (
                select s.id, s.message from job_scheduler.stops as s where s.xid >= (request ->> 'cursor')::bigint
                union all
                select null, jsonb_build_object('table', 'sources', 'rows', null, 'xid', null)
                where job_scheduler.is_muted() and (
                    select c.at > now() - interval '5 seconds' from job_scheduler.changed_rows as c order by c.id desc limit 1
                )
            ) as s
        ),
        'muted_until', (select m.until from job_scheduler.mute as m)
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
