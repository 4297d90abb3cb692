do $migration$
declare
    body constant text := $file$
-- Failures alike: what differs between two of a kind, such as ids, instants and amounts, is left out.

-- The first line of an error without ids and words that have digits, unless those are said to be a status or a code; null
-- for a run that has not failed.
create or replace function job_scheduler.error_fingerprint(status text, reason text, error text)
returns text
language sql
immutable
set search_path = ''
as $$
    select case
        when status = 'failed' then
            md5(
                coalesce(reason, '') || ':'
                || regexp_replace(
                    left(split_part(coalesce(error, ''), e'\n', 1), 300),
                    E'\\m[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\M|(?<!(http|status|code)[ :=]*)\\m\\w*\\d\\w*', '#', 'gi'
                )
            )
    end
$$;
revoke all on function job_scheduler.error_fingerprint(text, text, text) from public;
grant execute on function job_scheduler.error_fingerprint(text, text, text) to authenticated, service_role;

-- Computed by the write that ends a run; for one that completed that is a comparison of its status.
alter table public.job_executions add column if not exists error_fingerprint text
generated always as (
    case when status = 'failed' then job_scheduler.error_fingerprint(status, reason, error) end
) stored;

comment on column public.job_executions.error_fingerprint is
    'The same for failures that differ only in ids, instants and amounts; null for a run that has not failed.';

-- The failures of a tenant, newest first, and those alike. A run that completes is in neither. Not by coalesce, which
-- PostgreSQL does not look up where policies hold: it takes it for something that might show rows that it hides.
create index if not exists job_executions_failed_idx
on public.job_executions (
    (case when workspace_id is null then created_by else workspace_id end), completed_at desc, id desc -- noqa: ST02
)
where status = 'failed';
create index if not exists job_executions_fingerprint_idx
on public.job_executions (error_fingerprint, completed_at desc) where status = 'failed';

-- Runs that ended since, for roll_up_activity_v1, or long ago, for clean_ledger_v1.
create index if not exists job_executions_ended_idx
on public.job_executions (completed_at) where completed_at is not null;

-- How much ran: a row for each tenant, handler and hour, kept for ninety days, long after the ledger's rows are cleaned away.

create table if not exists public.job_activity (
    tenant_id uuid not null,
    hour timestamptz not null,
    handler text not null,
    workspace_id uuid,
    created_by uuid,
    completed bigint not null default 0,
    failed bigint not null default 0,
    retried bigint not null default 0,
    cancelled bigint not null default 0,
    skipped bigint not null default 0,
    duration_ms double precision not null default 0,
    longest_ms double precision not null default 0,
    lateness_ms double precision not null default 0,
    latest_ms double precision not null default 0,
    primary key (tenant_id, hour, handler)
);

comment on table public.job_activity is
    'How many runs ended, for each tenant, handler and hour; counted by the listeners within a minute, kept for 90 days.';
comment on column public.job_activity.tenant_id is 'The workspace, or the user of private jobs, or zeros for the service''s.';
comment on column public.job_activity.created_by is 'The user whose private jobs these are; null in a workspace.';
comment on column public.job_activity.failed is 'Runs that failed for good.';
comment on column public.job_activity.retried is 'Attempts that failed and were followed by another.';
comment on column public.job_activity.duration_ms is 'Of all of them together; longest_ms of the longest.';
comment on column public.job_activity.lateness_ms is 'Of all of them together; latest_ms of the latest.';

create index if not exists job_activity_hour_idx on public.job_activity (hour);

revoke all on table public.job_activity from public, anon, authenticated, service_role;
grant select on table public.job_activity to authenticated, service_role;

alter table public.job_activity enable row level security;

drop policy if exists job_activity_select on public.job_activity;
create policy job_activity_select on public.job_activity
for select to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
);

-- The counted runs: every one whose last write has a transaction id below `horizon`. No such transaction is open any more, so
-- that each run is counted once, whenever it committed.
create table if not exists job_scheduler.activity_cursor (
    is_only boolean primary key default true check (is_only),
    horizon xid8 not null,
    since timestamptz not null,
    next_xid xid8 not null,
    next_at timestamptz not null
);

comment on column job_scheduler.activity_cursor.since is 'Transactions from horizon on began to write after this instant.';
comment on column job_scheduler.activity_cursor.next_xid is 'Transactions from this id on began to write after next_at.';

alter table job_scheduler.activity_cursor enable row level security;

insert into job_scheduler.activity_cursor (horizon, since, next_xid, next_at)
values (
    pg_snapshot_xmin(pg_current_snapshot()), now() - interval '1 day', pg_snapshot_xmax(pg_current_snapshot()),
    clock_timestamp()
)
on conflict do nothing;

-- Runs that ended long before that was written, and so are not found among those that ended lately.
create table if not exists job_scheduler.late_ends (
    execution_id uuid primary key
);

comment on table job_scheduler.late_ends is
    'Ends of runs that were written a minute or more after they happened, until they are counted.';

alter table job_scheduler.late_ends enable row level security;

create or replace function job_scheduler.note_late_end()
returns trigger
language plpgsql
security definer -- whoever ends a run may not write here
set search_path = ''
as $$
begin
    insert into job_scheduler.late_ends (execution_id) values (new.id) on conflict do nothing;
    if exists (select from public.job_alert_rules as r where r.enabled) then
        insert into job_scheduler.late_ends_for_alerts (execution_id) values (new.id) on conflict do nothing;
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.note_late_end() from public;

-- Counts what ended since the last call. Several listeners may call it: one at a time counts, and the others return at once.

-- A transaction id so many later.
create or replace function job_scheduler.plus(first xid8, many bigint)
returns xid8
language sql
immutable
set search_path = ''
as $$
    select (first::text::bigint + many)::text::xid8
$$;
revoke all on function job_scheduler.plus(xid8, bigint) from public;

-- Adds the runs whose last write has one of the `many` transaction ids before `horizon` to their hours; returns how many. Of
-- that id a row shows 32 bits; those that ended before `since` were noted as late.
create or replace function job_scheduler.count_ended(horizon bigint, many bigint, since timestamptz)
returns bigint
language sql
set search_path = ''
set enable_seqscan = off
as $$
    with candidates as (
        select e.id from public.job_executions as e
        where e.completed_at >= since and (horizon - e.xmin::text::bigint) & 4294967295 between 1 and many
        union
        select e.id from public.job_executions as e
        where
            e.id = any(array(select l.execution_id from job_scheduler.late_ends as l))
            and (horizon - e.xmin::text::bigint) & 4294967295 between 1 and many
    ), ended as (
        select
            e.*, coalesce(e.workspace_id, e.created_by, '00000000-0000-0000-0000-000000000000') as tenant_id, j.handler,
            e.status = 'failed' and (
                select n.id from public.job_executions as n -- not exists, as in move_jobs
                where
                    n.scheduled_job_id = e.scheduled_job_id and n.scheduled_for = e.scheduled_for and n.cause = e.cause
                    and n.attempt = e.attempt + 1
            ) is not null as is_retried
        from candidates as c
        inner join public.job_executions as e on c.id = e.id
        inner join public.scheduled_jobs as j on e.scheduled_job_id = j.id
        where e.status in ('completed', 'failed', 'cancelled', 'skipped')
    ), added as (
        insert into public.job_activity as a (
            tenant_id, hour, handler, workspace_id, created_by, completed, failed, retried, cancelled, skipped,
            duration_ms, longest_ms, lateness_ms, latest_ms
        )
        select
            e.tenant_id, date_trunc('hour', coalesce(e.completed_at, e.scheduled_for), 'UTC') as hour, e.handler, e.workspace_id,
            case when e.workspace_id is null then e.created_by end as created_by,
            count(*) filter (where e.status = 'completed'), count(*) filter (where e.status = 'failed' and not e.is_retried),
            count(*) filter (where e.is_retried), count(*) filter (where e.status = 'cancelled'),
            count(*) filter (where e.status = 'skipped'),
            coalesce(sum(e.duration_ms), 0), coalesce(max(e.duration_ms), 0),
            coalesce(sum(greatest(e.lateness_ms, 0)), 0), coalesce(max(greatest(e.lateness_ms, 0)), 0)
        from ended as e
        group by 1, 2, 3, 4, 5
        on conflict (tenant_id, hour, handler) do update set
            completed = a.completed + excluded.completed,
            failed = a.failed + excluded.failed,
            retried = a.retried + excluded.retried,
            cancelled = a.cancelled + excluded.cancelled,
            skipped = a.skipped + excluded.skipped,
            duration_ms = a.duration_ms + excluded.duration_ms,
            longest_ms = greatest(a.longest_ms, excluded.longest_ms),
            lateness_ms = a.lateness_ms + excluded.lateness_ms,
            latest_ms = greatest(a.latest_ms, excluded.latest_ms)
    ), counted as (
        delete from job_scheduler.late_ends as l
        where l.execution_id in (select c.id from candidates as c)
    )
    select count(*) from ended as e
$$;
revoke all on function job_scheduler.count_ended(bigint, bigint, timestamptz) from public;

-- Counts the runs that ended since the last call, as far as `limit` transactions on, and forgets what is older than ninety
-- days. {limit} -> {now, counted: how many runs, more: whether to call again}; nothing while another listener counts
create or replace function public.roll_up_activity_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    present pg_snapshot;
    present_at timestamptz;
    horizon xid8;
    is_more boolean := false;
    last job_scheduler.activity_cursor;
    counted bigint;
begin
    select c.* into last from job_scheduler.activity_cursor as c for update skip locked;
    if not found then
        return json_build_object('now', clock_timestamp(), 'counted', 0, 'more', false);
    end if;
    -- Taken once the cursor is locked: a snapshot from before another count would put the cursor back.
    present := pg_current_snapshot();
    present_at := clock_timestamp();
    horizon := pg_snapshot_xmin(present);
    if last.horizon > horizon then -- restored into another cluster, whose counter is behind: what is there was counted
        last := row(true, horizon, present_at, pg_snapshot_xmax(present), present_at);
    elsif last.horizon < horizon then
        if job_scheduler.plus(last.horizon, (request ->> 'limit')::bigint) < horizon then
            horizon := job_scheduler.plus(last.horizon, (request ->> 'limit')::bigint);
            is_more := true;
        end if;
        -- Longer ago than that, an end was noted as late.
        counted := job_scheduler.count_ended(
            horizon::text::bigint, least(horizon::text::bigint - last.horizon::text::bigint, 2147483647),
            last.since - interval '1 minute'
        );
        last.horizon := horizon;
        if last.next_xid <= horizon then
            last.since := last.next_at;
            last.next_xid := pg_snapshot_xmax(present);
            last.next_at := present_at;
        end if;
    end if;
    update job_scheduler.activity_cursor as c
    set horizon = last.horizon, since = last.since, next_xid = last.next_xid, next_at = last.next_at;
    delete from public.job_activity where hour < now() - interval '90 days';
    delete from job_scheduler.late_ends as l
    where not exists (select from public.job_executions as e where e.id = l.execution_id);
    return json_build_object('now', clock_timestamp(), 'counted', coalesce(counted, 0), 'more', is_more);
end
$$;
revoke all on function public.roll_up_activity_v1(jsonb) from public, anon, authenticated;
grant execute on function public.roll_up_activity_v1(jsonb) to service_role;

-- Signed-in users see of the listeners whether there is one that runs their jobs. Of other tenants, and of the machines
-- that the listeners run on, it shows nothing.

-- The listeners, without their names, which are those of hosts and processes.
create or replace function job_scheduler.visible_listeners()
returns table (
    id uuid, version text, started_at timestamptz, heartbeat_at timestamptz, is_alive boolean, handlers text[], capacity integer
)
language sql
stable
security definer -- nobody but the service reads the table
set search_path = ''
as $$
    select
        l.id,
        l.version,
        l.started_at,
        l.heartbeat_at,
        l.heartbeat_at > clock_timestamp() - make_interval(secs => l.lease_seconds) as is_alive,
        l.handlers,
        l.capacity
    from public.job_listeners as l
$$;
revoke all on function job_scheduler.visible_listeners() from public;
grant execute on function job_scheduler.visible_listeners() to authenticated, service_role;

-- The listeners, and how many of the runs that the caller may see each has.
create or replace function public.list_listeners()
returns table (
    id uuid, version text, started_at timestamptz, heartbeat_at timestamptz, is_alive boolean, handlers text[], capacity integer,
    running bigint
)
language sql
stable
set search_path = ''
as $$
    with held as (
        select e.listener_id, count(*) as running
        from public.job_executions as e
        where e.lease_expires_at is not null and e.status = 'running'
        group by e.listener_id
    )
    select l.*, coalesce(h.running, 0)
    from job_scheduler.visible_listeners() as l
    left join held as h on l.id = h.listener_id
    order by l.started_at, l.id
$$;
revoke all on function public.list_listeners() from public, anon, authenticated, service_role;
grant execute on function public.list_listeners() to authenticated, service_role;

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

-- Failures by their fingerprint, the most frequent first, of the newest 10,000 of so many hours: of a workspace, or, without
-- one, of the caller's private jobs. {groups: [{error_fingerprint, failures, jobs, handlers, first_at, last_at, by_hour,
-- sample: run}], more}; by_hour has the counts of the last 24 hours, the present one last.
create or replace function public.list_failures(
    workspace uuid default null, hours integer default 24, most integer default 50
)
returns jsonb
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    with near as (
        select
            e.id, e.scheduled_job_id, e.completed_at, e.reason, e.error, e.error_fingerprint,
            24 - floor(extract(epoch from now() - e.completed_at) / 3600)::integer as hour
        from public.job_executions as e
        where
            case when e.workspace_id is null then e.created_by else e.workspace_id end
            = coalesce(workspace, (select job_scheduler.caller()))
            and e.status = 'failed' and e.completed_at >= now() - make_interval(hours => hours)
        order by e.completed_at desc, e.id desc
        limit 10001
    ), groups as (
        select
            n.error_fingerprint, count(*) as failures, count(distinct n.scheduled_job_id) as jobs,
            min(n.completed_at) as first_at, max(n.completed_at) as last_at,
            (array_agg(n.id order by n.completed_at desc))[1] as sample_id,
            array_agg(distinct n.scheduled_job_id) as job_ids, array_agg(n.hour) as hours
        from near as n
        group by n.error_fingerprint
        order by failures desc, last_at desc
        limit least(greatest(most, 1), 200)
    )
    select jsonb_build_object(
        'more', (select count(*) > 10000 from near),
        'groups', coalesce(jsonb_agg(jsonb_build_object(
            'error_fingerprint', g.error_fingerprint, 'failures', g.failures, 'jobs', g.jobs, 'first_at', g.first_at,
            'last_at', g.last_at,
            'handlers', (
                select jsonb_agg(distinct j.handler) from public.scheduled_jobs as j where j.id = any(g.job_ids)
            ),
            'by_hour', (
                select jsonb_agg((select count(*) from unnest(g.hours) as h where h = p.part) order by p.part)
                from generate_series(1, 24) as p (part)
            ),
            'sample', (
                select jsonb_build_object(
                    'id', e.id, 'scheduled_job_id', j.id, 'job_id', j.job_id, 'name', j.name, 'handler', j.handler,
                    'completed_at', e.completed_at, 'reason', e.reason, 'error', left(e.error, 2000)
                )
                from public.job_executions as e
                inner join public.scheduled_jobs as j on e.scheduled_job_id = j.id
                where e.id = g.sample_id
            )
        ) order by g.failures desc, g.last_at desc), '[]')
    )
    from groups as g
$$;
revoke all on function public.list_failures(uuid, integer, integer) from public, anon, authenticated, service_role;
grant execute on function public.list_failures(uuid, integer, integer) to authenticated, service_role;

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

-- The quotas of a tenant, and how much of them is used, so that a form can say what is left before it is refused.

create or replace function job_scheduler.used_of(tenant uuid, quota text)
returns numeric
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
as $$
begin
    return case quota
        when 'max_active_jobs' then job_scheduler.active_jobs(tenant)
        when 'max_stored_bytes' then job_scheduler.stored_bytes(tenant, null)
        when 'max_running' then (
            select count(*)
            from (
                select e.workspace_id, e.created_by from public.job_executions as e
                where e.lease_expires_at is not null
                offset 0 -- see overview_of_listeners
            ) as r
            where coalesce(r.workspace_id, r.created_by) = tenant
        )
        when 'max_manual_runs_per_minute' then (
            select count(*) from public.job_executions as e
            where
                coalesce(e.workspace_id, e.created_by) = tenant and e.cause = 'manual'
                and e.scheduled_for > clock_timestamp() - interval '1 minute'
        )
        when 'max_alert_channels' then (select count(*) from public.job_alert_channels as c where c.tenant_id = tenant)
        when 'max_alert_rules' then (select count(*) from public.job_alert_rules as r where r.tenant_id = tenant)
        when 'max_alert_deliveries_per_hour' then job_scheduler.alert_deliveries_of(tenant)
    end;
end
$$;
revoke all on function job_scheduler.used_of(uuid, text) from public;

create or replace function job_scheduler.quotas_of(workspace uuid)
returns jsonb
language plpgsql
stable
security definer -- the quotas of the installation are the operator's to see and write
set search_path = ''
as $$
declare
    tenant constant uuid := coalesce(workspace, job_scheduler.caller());
begin
    if not job_scheduler.sees_tenant(tenant) then
        return '{}';
    end if;
    return (
        select jsonb_object_agg(q.quota, jsonb_build_object(
            'limit', job_scheduler.quota_of(workspace, q.quota, true), 'used', job_scheduler.used_of(tenant, q.quota)
        ))
        from unnest(array[
            'max_active_jobs', 'min_interval_seconds', 'max_payload_bytes', 'max_queued_runs', 'max_manual_runs_per_minute',
            'max_running', 'max_runs_per_minute', 'max_stored_bytes', 'max_timeout_seconds', 'max_past_seconds',
            'max_alert_channels', 'max_alert_rules', 'max_alert_deliveries_per_hour'
        ]) as q (quota)
    );
end
$$;
revoke all on function job_scheduler.quotas_of(uuid) from public;
grant execute on function job_scheduler.quotas_of(uuid) to authenticated, service_role;

-- {quota: {limit, used: null where it is no sum}} of a workspace, or, without one, of the caller's private jobs.
create or replace function public.list_quotas(workspace uuid default null)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select job_scheduler.quotas_of(workspace)
$$;
revoke all on function public.list_quotas(uuid) from public, anon, authenticated, service_role;
grant execute on function public.list_quotas(uuid) to authenticated, service_role;

-- The workspaces of the caller, with the strongest role in each. A workspace of a project with teams of its own, which is in
-- no table of ours, has no name.
create or replace function public.list_workspaces()
returns table (id uuid, name text, role text)
language sql
stable
set search_path = ''
as $$
    select
        m.workspace_id,
        max(w.name),
        (array_agg(m.role order by array_position(array['admin', 'editor', 'viewer'], m.role)))[1]
    from job_scheduler.memberships() as m
    left join public.job_workspaces as w on m.workspace_id = w.id
    group by m.workspace_id
    order by max(w.name), m.workspace_id
$$;
revoke all on function public.list_workspaces() from public, anon, authenticated, service_role;
grant execute on function public.list_workspaces() to authenticated, service_role;

-- The addresses of a workspace's members, for its members alone. An address that nobody has confirmed may be another's.
create or replace function job_scheduler.emails_of_members(workspace uuid)
returns table (user_id uuid, email text)
language plpgsql
stable
security definer -- users read no table of Supabase Auth, of which this shows no more than the address
set search_path = ''
as $$
begin
    if
        job_scheduler.sees_tenant(workspace)
        and coalesce(has_table_privilege(to_regclass('auth.users')::oid, 'select'), false)
    then
        return query
        select m.user_id, u.email::text
        from public.job_workspace_members as m
        inner join auth.users as u on m.user_id = u.id
        where
            m.workspace_id = emails_of_members.workspace and u.email <> ''
            and to_jsonb(u) ->> 'email_confirmed_at' is not null;
    end if;
end
$$;
revoke all on function job_scheduler.emails_of_members(uuid) from public;
grant execute on function job_scheduler.emails_of_members(uuid) to authenticated, service_role;

create or replace function public.list_member_emails(workspace uuid)
returns table (user_id uuid, email text)
language sql
stable
set search_path = ''
as $$
    select m.user_id, m.email from job_scheduler.emails_of_members(workspace) as m
$$;
revoke all on function public.list_member_emails(uuid) from public, anon, authenticated, service_role;
grant execute on function public.list_member_emails(uuid) to authenticated, service_role;
$file$;
    left_alone constant text := null;
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090550') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090550', 'add_dashboard', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
