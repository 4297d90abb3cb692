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
