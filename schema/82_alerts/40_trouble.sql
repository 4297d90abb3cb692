-- Jobs in trouble: what rules look at, noted once for all of them. A failed run is read from the index of failures; only
-- where a rule looks at late or long runs, all that ended is read, once.

create table if not exists job_scheduler.troubled_jobs (
    kind text not null check (kind in ('failed', 'late', 'long_running', 'missed')),
    scheduled_job_id bigint not null,
    tenant_id uuid not null,
    handler text not null,
    measure double precision not null,
    hits bigint not null default 0,
    is_new boolean not null default true,
    first_execution_id uuid,
    last_execution_id uuid,
    first_at timestamptz not null,
    last_at timestamptz not null,
    primary key (kind, scheduled_job_id)
);

comment on table job_scheduler.troubled_jobs is
    'Jobs of tenants with alert rules that fail, are late, run for long or missed an instant, until they recover.';
comment on column job_scheduler.troubled_jobs.measure is 'Failures in a row, or seconds.';
comment on column job_scheduler.troubled_jobs.hits is 'Occurrences that the present evaluation found; first_… are of these.';
comment on column job_scheduler.troubled_jobs.is_new is 'Whether the present evaluation found the job in trouble first.';

create index if not exists troubled_jobs_tenant_idx on job_scheduler.troubled_jobs (kind, tenant_id, handler, last_at);
create index if not exists troubled_jobs_hits_idx on job_scheduler.troubled_jobs (kind) where hits > 0;

alter table job_scheduler.troubled_jobs enable row level security;

-- Ends of runs that were written long after they happened, until they are evaluated; see late_ends.
create table if not exists job_scheduler.late_ends_for_alerts (
    execution_id uuid primary key
);

alter table job_scheduler.late_ends_for_alerts enable row level security;

-- Where the evaluation is: failures are read that the snapshot `seen` does not show and the present one does, so that a
-- transaction that stays open delays no other's; of what else ended, the transactions below `horizon` are read, see
-- activity_cursor.
create table if not exists job_scheduler.alert_cursor (
    is_only boolean primary key default true check (is_only),
    horizon xid8 not null,
    since timestamptz not null,
    next_xid xid8 not null,
    next_at timestamptz not null,
    seen pg_snapshot not null,
    evaluated_at timestamptz not null
);

alter table job_scheduler.alert_cursor enable row level security;

insert into job_scheduler.alert_cursor (horizon, since, next_xid, next_at, seen, evaluated_at)
values (
    pg_snapshot_xmin(pg_current_snapshot()), now(), pg_snapshot_xmax(pg_current_snapshot()), clock_timestamp(),
    pg_current_snapshot(), now()
)
on conflict do nothing;

-- How many of a job's last instants failed, none of them completed: 100 attempts are read at most, and no rehearsals.
create or replace function job_scheduler.failures_in_a_row(job bigint)
returns bigint
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select count(distinct (r.scheduled_for, r.cause))
    from (
        select e.scheduled_for, e.cause, count(*) filter (where e.status = 'completed') over w as completions
        from (
            select o.scheduled_for, o.cause, o.attempt, o.status, o.test_mode
            from public.job_executions as o
            where o.scheduled_job_id = job
            order by o.scheduled_for desc, o.cause desc, o.attempt desc
            limit 100
        ) as e
        where e.status in ('completed', 'failed') and not e.test_mode
        window w as (order by e.scheduled_for desc, e.cause desc, e.attempt desc)
    ) as r
    where r.completions = 0
$$;
revoke all on function job_scheduler.failures_in_a_row(bigint) from public;

-- Whether a row with this xmin was not yet to be seen in one snapshot, and is in a later one; of the id a row shows 32 bits.
create or replace function job_scheduler.is_between(row_xmin xid, seen pg_snapshot, present pg_snapshot)
returns boolean
language sql
stable
set search_path = ''
as $$
    select not pg_visible_in_snapshot(w.xid, seen) and pg_visible_in_snapshot(w.xid, present)
    from (
        select (n.next - ((n.next - row_xmin::text::bigint) & 4294967295))::text::xid8 as xid
        from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next) as n
    ) as w
$$;
revoke all on function job_scheduler.is_between(xid, pg_snapshot, pg_snapshot) from public;

-- Failures of these tenants between two snapshots: what this statement sees beyond `present` is the next evaluation's. They ended
-- after `since`, or were noted as late. A failed attempt that another one follows is none.
create or replace function job_scheduler.failures_of(
    tenants uuid[], seen pg_snapshot, present pg_snapshot, since timestamptz
)
returns table (id uuid, scheduled_job_id bigint, tenant_id uuid, handler text, at timestamptz)
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    with candidates as (
        select f.id
        from unnest(tenants) as t (id)
        cross join lateral (
            select e.id from public.job_executions as e
            where
                case when e.workspace_id is null then e.created_by else e.workspace_id end = t.id and e.status = 'failed'
                and e.completed_at >= since and job_scheduler.is_between(e.xmin, seen, present)
        ) as f
        union
        select e.id from public.job_executions as e
        where
            '00000000-0000-0000-0000-000000000000' = any(tenants)
            and case when e.workspace_id is null then e.created_by else e.workspace_id end is null and e.status = 'failed'
            and e.completed_at >= since and job_scheduler.is_between(e.xmin, seen, present)
        union
        select e.id from public.job_executions as e
        where
            e.id = any(array(select l.execution_id from job_scheduler.late_ends_for_alerts as l)) and e.status = 'failed'
            and job_scheduler.is_between(e.xmin, seen, present)
    )
    select
        e.id, e.scheduled_job_id, coalesce(e.workspace_id, e.created_by, '00000000-0000-0000-0000-000000000000'), j.handler,
        e.completed_at
    from public.job_executions as e
    inner join public.scheduled_jobs as j on e.scheduled_job_id = j.id
    where
        e.id = any(array(select c.id from candidates as c)) and not e.test_mode and j.handler <> 'alert_delivery'
        and coalesce(e.workspace_id, e.created_by, '00000000-0000-0000-0000-000000000000') = any(tenants)
        and (
            select n.id from public.job_executions as n -- not exists, as in move_jobs
            where
                n.scheduled_job_id = e.scheduled_job_id and n.scheduled_for = e.scheduled_for and n.cause = e.cause
                and n.attempt = e.attempt + 1
        ) is null
$$;
revoke all on function job_scheduler.failures_of(uuid[], pg_snapshot, pg_snapshot, timestamptz) from public;

-- Notes the failures since, and forgets jobs that completed after theirs, were cancelled or are gone.
create or replace function job_scheduler.note_failures(
    tenants uuid[], seen pg_snapshot, present pg_snapshot, since timestamptz
)
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
as $$
declare
    counting constant uuid[] := array( -- failures in a row
        select r.tenant_id from public.job_alert_rules as r where r.enabled and r.condition = 'failing'
    );
begin
    delete from job_scheduler.troubled_jobs as t
    where t.kind = 'failed' and t.scheduled_job_id = any(array(
        select o.scheduled_job_id
        from job_scheduler.troubled_jobs as o
        left join public.scheduled_jobs as j on o.scheduled_job_id = j.id
        where
            o.kind = 'failed' and (
                j.id is null or o.tenant_id <> all(tenants) or j.status = 'cancelled'
                or j.last_run_status = 'completed' and job_scheduler.failures_in_a_row(j.id) = 0
            )
    ));
    insert into job_scheduler.troubled_jobs as t (
        kind, scheduled_job_id, tenant_id, handler, measure, hits, first_execution_id, last_execution_id, first_at, last_at
    )
    select
        'failed', f.scheduled_job_id, f.tenant_id, f.handler,
        case when f.tenant_id = any(counting) then job_scheduler.failures_in_a_row(f.scheduled_job_id) else 1 end, count(*),
        (array_agg(f.id order by f.at, f.id))[1], (array_agg(f.id order by f.at desc, f.id desc))[1], min(f.at), max(f.at)
    from job_scheduler.failures_of(tenants, seen, present, since) as f
    group by f.scheduled_job_id, f.tenant_id, f.handler
    order by f.scheduled_job_id
    on conflict (kind, scheduled_job_id) do update
    set
        measure = excluded.measure, hits = excluded.hits, is_new = false, first_execution_id = excluded.first_execution_id,
        last_execution_id = excluded.last_execution_id, first_at = excluded.first_at, last_at = excluded.last_at;
end
$$;
revoke all on function job_scheduler.note_failures(uuid[], pg_snapshot, pg_snapshot, timestamptz) from public;
