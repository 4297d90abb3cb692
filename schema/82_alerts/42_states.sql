-- Late and long runs, and instants that were missed.

-- The least threshold of each tenant's rules of a condition: what one tenant asks for must not change what another's rules find.
create or replace function job_scheduler.least_thresholds()
returns table (tenant_id uuid, condition text, lowest double precision)
language sql
stable
set search_path = ''
as $$
    select r.tenant_id, r.condition, min(r.threshold)::double precision
    from public.job_alert_rules as r
    where r.enabled and r.condition in ('late', 'long_running', 'missed')
    group by r.tenant_id, r.condition
$$;
revoke all on function job_scheduler.least_thresholds() from public;

-- Notes what ended late, or after long, or never began; each bound null where no rule asks for it. All that ended is read, by
-- the index of ends.
create or replace function job_scheduler.note_ended(
    tenants uuid[], horizon bigint, many bigint, since timestamptz, late double precision, long double precision, missed boolean
)
returns void
language sql
set search_path = ''
set enable_seqscan = off
as $$
    with ended as materialized (
        select e.*
        from public.job_executions as e
        where
            (
                e.completed_at >= since
                or e.id = any(array(select l.execution_id from job_scheduler.late_ends_for_alerts as l))
            )
            and (horizon - e.xmin::text::bigint) & 4294967295 between 1 and many
            and (
                e.lateness_ms > late * 1000 or e.duration_ms > long * 1000
                or missed and e.status = 'skipped' and e.reason = 'misfire'
            )
            and not e.test_mode
    ), found as (
        select k.kind, e.id, e.scheduled_job_id, k.measure, e.completed_at as at
        from ended as e
        cross join lateral (
            values
            ('late', case when e.lateness_ms > late * 1000 then e.lateness_ms / 1000 end),
            ('long_running', case when e.duration_ms > long * 1000 then e.duration_ms / 1000 end),
            (
                'missed',
                case
                    when missed and e.status = 'skipped' and e.reason = 'misfire'
                        then extract(epoch from e.completed_at - e.scheduled_for)::double precision
                end
            )
        ) as k (kind, measure)
        where k.measure is not null
    )
    insert into job_scheduler.troubled_jobs as t (
        kind, scheduled_job_id, tenant_id, handler, measure, hits, first_execution_id, last_execution_id, first_at, last_at
    )
    select
        f.kind, j.id, coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000'), j.handler,
        max(f.measure), count(*),
        (array_agg(f.id order by f.at, f.id))[1], (array_agg(f.id order by f.at desc, f.id desc))[1], min(f.at), max(f.at)
    from found as f
    inner join public.scheduled_jobs as j on f.scheduled_job_id = j.id
    inner join job_scheduler.least_thresholds() as l
        on
            coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000') = l.tenant_id
            and f.kind = l.condition and (f.measure > l.lowest or f.kind = 'missed')
    where
        j.handler <> 'alert_delivery'
        and coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000') = any(tenants)
    group by f.kind, j.id
    order by f.kind, j.id
    on conflict (kind, scheduled_job_id) do update
    set
        -- a run that was seen while it went on is none anew
        hits = excluded.hits - case when t.kind = 'long_running' and t.last_execution_id = any(
            array[excluded.first_execution_id, excluded.last_execution_id]
        ) then 1 else 0 end,
        measure = excluded.measure, is_new = false, first_execution_id = excluded.first_execution_id,
        last_execution_id = excluded.last_execution_id, first_at = excluded.first_at, last_at = excluded.last_at
$$;
revoke all on function job_scheduler.note_ended(
    uuid[], bigint, bigint, timestamptz, double precision, double precision, boolean
) from public;

-- A tenant's jobs that are due before an instant and do not run, the 10,000 that are due for longest: those of no other tenant
-- push them out.
create or replace function job_scheduler.due_jobs_of(tenant uuid, before timestamptz)
returns table (id bigint, next_run_at timestamptz)
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    (
        select j.id, j.next_run_at from public.scheduled_jobs as j
        where
            tenant <> '00000000-0000-0000-0000-000000000000' and coalesce(j.workspace_id, j.created_by) = tenant
            and j.next_run_at < before and j.status <> 'running'
        order by j.next_run_at
        limit 10000
    )
    union all
    (
        select j.id, j.next_run_at from public.scheduled_jobs as j
        where
            tenant = '00000000-0000-0000-0000-000000000000' and coalesce(j.workspace_id, j.created_by) is null
            and j.next_run_at < before and j.status <> 'running' and j.handler <> 'alert_delivery'
        order by j.next_run_at
        limit 10000
    )
$$;
revoke all on function job_scheduler.due_jobs_of(uuid, timestamptz) from public;

-- Notes runs that have gone on for longer than `long`, of each job the oldest, and instants that have been due for longer than
-- `missed` and did not begin: 10,000 jobs at most, and of those that are due of each tenant.
create or replace function job_scheduler.note_states(tenants uuid[], long double precision, missed double precision)
returns void
language sql
set search_path = ''
set enable_seqscan = off
as $$
    with running as (
        select e.scheduled_job_id, min(e.started_at) as at, (array_agg(e.id order by e.started_at, e.id))[1] as id
        from public.job_executions as e
        where
            e.lease_expires_at is not null and e.status = 'running' and not e.test_mode
            and e.started_at < now() - make_interval(secs => long)
            and coalesce(e.workspace_id, e.created_by, '00000000-0000-0000-0000-000000000000') = any(tenants)
        group by e.scheduled_job_id
        limit 10000
    ), due as (
        select d.id, d.next_run_at
        from job_scheduler.least_thresholds() as l
        cross join lateral job_scheduler.due_jobs_of(l.tenant_id, now() - make_interval(secs => l.lowest)) as d
        where l.condition = 'missed' and missed is not null
    ), found as (
        select 'long_running' as kind, r.scheduled_job_id, r.id, r.at from running as r
        union all
        select 'missed', d.id, null, d.next_run_at from due as d
    )
    insert into job_scheduler.troubled_jobs as t (
        kind, scheduled_job_id, tenant_id, handler, measure, hits, first_execution_id, last_execution_id, first_at, last_at
    )
    select
        f.kind, j.id, coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000'), j.handler,
        extract(epoch from now() - f.at)::double precision, 1, f.id, f.id, now(), now()
    from found as f
    inner join public.scheduled_jobs as j on f.scheduled_job_id = j.id
    inner join job_scheduler.least_thresholds() as l
        on
            coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000') = l.tenant_id
            and f.kind = l.condition and f.at < now() - make_interval(secs => l.lowest)
    where
        j.handler <> 'alert_delivery'
        and coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000') = any(tenants)
    order by f.kind, j.id
    on conflict (kind, scheduled_job_id) do update
    set
        -- the same run, or the same instant, is none anew
        hits = t.hits + case when t.last_execution_id is not distinct from excluded.last_execution_id then 0 else 1 end,
        measure = excluded.measure, is_new = false, last_execution_id = excluded.last_execution_id, last_at = excluded.last_at
$$;
revoke all on function job_scheduler.note_states(uuid[], double precision, double precision) from public;

-- Forgets what is over: of states all that this evaluation did not find, of late jobs those whose last run was not late.
create or replace function job_scheduler.forget_states()
returns void
language sql
set search_path = ''
set enable_seqscan = off
as $$
    delete from job_scheduler.troubled_jobs as t
    where
        t.kind in ('long_running', 'missed') and t.last_at < now() and t.hits = 0
        or t.kind = 'late' and t.hits = 0 and coalesce((
            select e.lateness_ms from public.job_executions as e
            where e.scheduled_job_id = t.scheduled_job_id and e.status in ('completed', 'failed') and not e.test_mode
            order by e.scheduled_for desc, e.cause desc, e.attempt desc
            limit 1
        ), 0) <= coalesce((
            select l.lowest * 1000 from job_scheduler.least_thresholds() as l
            where l.tenant_id = t.tenant_id and l.condition = 'late'
        ), 'Infinity')
$$;
revoke all on function job_scheduler.forget_states() from public;
