create table if not exists public.job_alert_rules (
    id uuid primary key default gen_random_uuid(),
    workspace_id uuid,
    created_by uuid default job_scheduler.caller(),
    name text check (char_length(name) between 1 and 200),
    scheduled_job_id bigint, -- no reference: deleting jobs must not look here; the evaluation deletes rules without a job
    handler text check (char_length(handler) <= 200),
    condition text not null
    check (condition in ('failed', 'failing', 'long_running', 'late', 'missed', 'backlog', 'no_listener')),
    threshold numeric check (threshold >= 0 and threshold <= 31536000),
    channel_ids uuid[] not null default '{}' check (cardinality(channel_ids) <= 20),
    cooldown_seconds integer not null default 900 check (cooldown_seconds between 0 and 2592000),
    repeat_seconds integer check (repeat_seconds between 60 and 2592000),
    notify_recovery boolean not null default true,
    muted_until timestamptz,
    enabled boolean not null default true,
    -- columns that the service writes
    created_at timestamptz not null default now(),
    active_since timestamptz not null default now(),
    tenant_id uuid not null generated always as (
        coalesce(workspace_id, created_by, '00000000-0000-0000-0000-000000000000')
    ) stored,
    check (scheduled_job_id is null or handler is null)
);

comment on table public.job_alert_rules is
    'What a tenant is notified of: a condition of a job, of a handler''s jobs, or, with neither, of all of the tenant''s jobs.';
comment on column public.job_alert_rules.threshold is
    'Seconds; of failing the failures in a row, of backlog the jobs that wait. Null: the default of the condition.';
comment on column public.job_alert_rules.channel_ids is 'Where it is sent to; empty: to every enabled channel of the tenant.';
comment on column public.job_alert_rules.cooldown_seconds is
    'The least time between two notifications of one subject that something is wrong.';
comment on column public.job_alert_rules.repeat_seconds is 'How often a firing alert is sent again; null: never.';
comment on column public.job_alert_rules.active_since is 'When the rule was last enabled or changed what it looks at.';

create index if not exists job_alert_rules_tenant_id_idx on public.job_alert_rules (tenant_id);
create index if not exists job_alert_rules_enabled_idx on public.job_alert_rules (condition, tenant_id) where enabled;

revoke all on table public.job_alert_rules from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.job_alert_rules to service_role;
grant
select, delete,
insert (
    workspace_id, created_by, name, scheduled_job_id, handler, condition, threshold, channel_ids, cooldown_seconds,
    repeat_seconds, notify_recovery, muted_until, enabled
),
update (
    name, scheduled_job_id, handler, condition, threshold, channel_ids, cooldown_seconds, repeat_seconds, notify_recovery,
    muted_until, enabled
)
on table public.job_alert_rules to authenticated;

alter table public.job_alert_rules enable row level security;

drop policy if exists job_alert_rules_select on public.job_alert_rules;
create policy job_alert_rules_select on public.job_alert_rules
for select to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
);
drop policy if exists job_alert_rules_insert on public.job_alert_rules;
create policy job_alert_rules_insert on public.job_alert_rules
for insert to authenticated
with check (
    created_by = (select job_scheduler.caller())
    and (workspace_id is null or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[]))
);
drop policy if exists job_alert_rules_update on public.job_alert_rules;
create policy job_alert_rules_update on public.job_alert_rules
for update to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
)
with check (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
);
drop policy if exists job_alert_rules_delete on public.job_alert_rules;
create policy job_alert_rules_delete on public.job_alert_rules
for delete to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
);
