create table if not exists public.job_alerts (
    id uuid primary key default gen_random_uuid(),
    rule_id uuid not null references public.job_alert_rules (id) on delete cascade,
    workspace_id uuid,
    created_by uuid,
    condition text not null,
    subject text not null,
    scheduled_job_id bigint, -- no reference: the alert outlives its job
    handler text,
    status text not null default 'firing' check (status in ('firing', 'acknowledged', 'resolved')),
    message text,
    occurrences bigint not null default 0,
    first_execution_id uuid,
    last_execution_id uuid,
    first_at timestamptz not null default now(),
    last_at timestamptz not null default now(),
    acknowledged_at timestamptz,
    acknowledged_by uuid,
    resolved_at timestamptz,
    notified_at timestamptz,
    next_notification_at timestamptz,
    is_announced boolean not null default false
);

comment on table public.job_alerts is
    'What rules found: one row for a rule and a subject, from its first occurrence until it is resolved.';
comment on column public.job_alerts.subject is 'What it is about: job:<id>, handler:<name>, or all.';
comment on column public.job_alerts.occurrences is
    'How many runs or jobs met the condition; of a state such as backlog, the most at a time.';
comment on column public.job_alerts.notified_at is 'When it was last sent that something is wrong.';
comment on column public.job_alerts.next_notification_at is 'When it is sent next, unless it is resolved or acknowledged before.';
comment on column public.job_alerts.is_announced is 'Whether its recovery is to be sent: that it fires was.';

create unique index if not exists job_alerts_open_key on public.job_alerts (rule_id, subject) where status <> 'resolved';
create index if not exists job_alerts_rule_id_idx on public.job_alerts (rule_id, subject, last_at desc);
create index if not exists job_alerts_created_by_idx
on public.job_alerts (created_by, last_at desc) where created_by is not null and workspace_id is null;
create index if not exists job_alerts_workspace_id_idx
on public.job_alerts (workspace_id, last_at desc) where workspace_id is not null;
create index if not exists job_alerts_resolved_at_idx on public.job_alerts (resolved_at) where status = 'resolved';

revoke all on table public.job_alerts from public, anon, authenticated, service_role;
grant select, update (status) on table public.job_alerts to authenticated;
grant select, delete, update (status) on table public.job_alerts to service_role;

alter table public.job_alerts enable row level security;

drop policy if exists job_alerts_select on public.job_alerts;
create policy job_alerts_select on public.job_alerts
for select to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
);
drop policy if exists job_alerts_update on public.job_alerts;
create policy job_alerts_update on public.job_alerts
for update to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
)
with check (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
);

do $$
begin
    if not exists (
        select from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'job_alerts'
    ) then
        alter publication supabase_realtime add table public.job_alerts;
    end if;
end
$$;
