-- The first page of a dashboard, of one tenant: a workspace, or the caller's private jobs. Each part reads a bounded number of
-- rows, and says by `more` that it did not count them all.

-- Whether the caller sees the rows of a tenant: for figures that are read without the policies.
create or replace function job_scheduler.sees_tenant(tenant uuid)
returns boolean
language sql
stable
set search_path = ''
as $$
    select coalesce(
        tenant = job_scheduler.caller() or tenant = any(job_scheduler.readable_workspaces()) or (
            select r.rolbypassrls or r.rolsuper from pg_catalog.pg_roles as r
            where r.rolname = coalesce(nullif(current_setting('role'), 'none'), session_user)
        ),
        false
    )
$$;
revoke all on function job_scheduler.sees_tenant(uuid) from public;

-- Due and late jobs: {due_next_hour, late, oldest_due, next_hours: jobs of each ten minutes, more}.
create or replace function job_scheduler.overview_of_jobs(tenant uuid)
returns jsonb
language sql
stable
security definer -- the index by tenant is not looked up where policies hold, see job_executions_failed_idx
set search_path = ''
set enable_seqscan = off
as $$
    with due as (
        select j.next_run_at as at
        from public.scheduled_jobs as j
        where
            coalesce(j.workspace_id, j.created_by) = tenant and j.next_run_at < now() + interval '6 hours'
            and (select job_scheduler.sees_tenant(tenant))
        order by j.next_run_at
        limit 20001
    ), strip as (
        select width_bucket(extract(epoch from d.at - now()), 0, 21600, 36) as part, count(*) as jobs
        from due as d
        where d.at >= now()
        group by 1
    )
    select jsonb_build_object(
        'due_next_hour', count(*) filter (where d.at between now() and now() + interval '1 hour'),
        'late', count(*) filter (where d.at < now() - interval '5 seconds'),
        'oldest_due', min(d.at) filter (where d.at < now()),
        'next_hours', (
            select jsonb_agg(coalesce(s.jobs, 0) order by p.part)
            from generate_series(1, 36) as p (part)
            left join strip as s on p.part = s.part
        ),
        'more', count(*) > 20000
    )
    from due as d
$$;

-- The failures of the last 24 hours: {failed, retried, newest: [run], more}. A failed attempt that was followed by another
-- one counts as retried.
create or replace function job_scheduler.overview_of_failures(tenant uuid)
returns jsonb
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    with failures as (
        select
            e.id, e.scheduled_job_id, e.completed_at, e.reason, left(e.error, 300) as error, e.error_fingerprint,
            (
                select n.id from public.job_executions as n
                where
                    n.scheduled_job_id = e.scheduled_job_id and n.scheduled_for = e.scheduled_for and n.cause = e.cause
                    and n.attempt = e.attempt + 1
            ) is not null as is_retried
        from public.job_executions as e
        where
            case when e.workspace_id is null then e.created_by else e.workspace_id end = tenant and e.status = 'failed'
            and e.completed_at > now() - interval '24 hours'
        order by e.completed_at desc, e.id desc
        limit 5001
    ), newest as (
        select f.*, j.job_id, j.name, j.handler
        from (select * from failures where not is_retried limit 10) as f
        inner join public.scheduled_jobs as j on f.scheduled_job_id = j.id
    )
    select jsonb_build_object(
        'failed', count(*) filter (where not f.is_retried),
        'retried', count(*) filter (where f.is_retried),
        'more', count(*) > 5000,
        'newest', (select coalesce(jsonb_agg(to_jsonb(n) - 'is_retried' order by n.completed_at desc), '[]') from newest as n)
    )
    from failures as f
$$;

-- How the tenant's runs ended that job_activity has not counted yet, among the 5,000 that ended last; see count_ended.
create or replace function job_scheduler.uncounted_outcomes(tenant uuid)
returns table (hour timestamptz, completed bigint, failed bigint, retried bigint, cancelled bigint, skipped bigint)
language sql
stable
security definer -- the cursor is the service's, and the index of ends is not looked up where policies hold
set search_path = ''
set enable_seqscan = off
as $$
    with newest as (
        select
            e.scheduled_job_id, e.workspace_id, e.created_by, e.scheduled_for, e.cause, e.attempt, e.status, e.completed_at,
            e.xmin::text::bigint - (select c.horizon::text::bigint from job_scheduler.activity_cursor as c) as behind
        from public.job_executions as e
        where
            e.completed_at >= (select c.since - interval '1 minute' from job_scheduler.activity_cursor as c)
            and (select job_scheduler.sees_tenant(tenant))
        order by e.completed_at desc
        limit 5000
    ), ended as (
        select
            n.completed_at, n.status,
            n.status = 'failed' and (
                select a.id from public.job_executions as a
                where
                    a.scheduled_job_id = n.scheduled_job_id and a.scheduled_for = n.scheduled_for and a.cause = n.cause
                    and a.attempt = n.attempt + 1
            ) is not null as is_retried
        from newest as n
        where coalesce(n.workspace_id, n.created_by) = tenant and n.behind & 4294967295 < 2147483648
    )
    select
        date_trunc('hour', n.completed_at, 'UTC'), count(*) filter (where n.status = 'completed'),
        count(*) filter (where n.status = 'failed' and not n.is_retried), count(*) filter (where n.is_retried),
        count(*) filter (where n.status = 'cancelled'), count(*) filter (where n.status = 'skipped')
    from ended as n
    group by 1
$$;

-- How runs ended in each of the last 24 hours, the present one last.
create or replace function job_scheduler.overview_of_outcomes(tenant uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select jsonb_agg(
        jsonb_build_object(
            'hour', h.hour, 'completed', coalesce(a.completed, 0), 'failed', coalesce(a.failed, 0),
            'retried', coalesce(a.retried, 0), 'cancelled', coalesce(a.cancelled, 0), 'skipped', coalesce(a.skipped, 0)
        ) order by h.hour
    )
    from generate_series(
        date_trunc('hour', now(), 'UTC') - interval '23 hours', date_trunc('hour', now(), 'UTC'), interval '1 hour'
    ) as h (hour)
    left join (
        select
            o.hour, sum(o.completed) as completed, sum(o.failed) as failed, sum(o.retried) as retried,
            sum(o.cancelled) as cancelled, sum(o.skipped) as skipped
        from (
            select c.hour, c.completed, c.failed, c.retried, c.cancelled, c.skipped
            from public.job_activity as c
            where c.tenant_id = tenant and c.hour > now() - interval '24 hours'
            union all
            select * from job_scheduler.uncounted_outcomes(tenant)
        ) as o
        group by o.hour
    ) as a on h.hour = a.hour
$$;

-- The listeners, and how many of the tenant's runs they have.
create or replace function job_scheduler.overview_of_listeners(tenant uuid)
returns jsonb
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select jsonb_build_object(
        'listeners', (select count(*) from job_scheduler.visible_listeners() as l where l.is_alive),
        'last_heartbeat', (select max(l.heartbeat_at) from job_scheduler.visible_listeners() as l),
        'running', (
            select count(*)
            from (
                select e.workspace_id, e.created_by, e.status
                from public.job_executions as e
                where e.lease_expires_at is not null
                offset 0 -- by the index of these few, whatever else the planner thinks of
            ) as r
            where coalesce(r.workspace_id, r.created_by) = tenant and r.status = 'running'
        )
    )
$$;
revoke all on function
job_scheduler.overview_of_jobs(uuid), job_scheduler.overview_of_failures(uuid), job_scheduler.overview_of_outcomes(uuid),
job_scheduler.uncounted_outcomes(uuid), job_scheduler.overview_of_listeners(uuid)
from public;
grant execute on function
job_scheduler.overview_of_jobs(uuid), job_scheduler.overview_of_failures(uuid), job_scheduler.overview_of_outcomes(uuid),
job_scheduler.uncounted_outcomes(uuid), job_scheduler.overview_of_listeners(uuid)
to authenticated, service_role;

-- Running, late and failed jobs: of a workspace, or, without one, of the caller's private jobs.
create or replace function public.dashboard_overview(workspace uuid default null)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select jsonb_build_object('now', now(), 'outcomes', job_scheduler.overview_of_outcomes(t.tenant))
        || jsonb_build_object('failures', job_scheduler.overview_of_failures(t.tenant))
        || job_scheduler.overview_of_jobs(t.tenant)
        || job_scheduler.overview_of_listeners(t.tenant)
    from (select coalesce(workspace, job_scheduler.caller()) as tenant) as t
$$;
revoke all on function public.dashboard_overview(uuid) from public, anon, authenticated, service_role;
grant execute on function public.dashboard_overview(uuid) to authenticated, service_role;
