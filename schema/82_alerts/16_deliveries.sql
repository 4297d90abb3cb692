create table if not exists public.job_alert_deliveries (
    id uuid primary key default gen_random_uuid(),
    alert_id uuid references public.job_alerts (id) on delete cascade,
    channel_id uuid, -- no reference: the delivery outlives its channel
    workspace_id uuid,
    created_by uuid,
    kind text not null check (kind in ('firing', 'repeat', 'recovery', 'test', 'confirmation')),
    channel_kind text,
    target text,
    status text not null default 'queued' check (status in ('queued', 'sent', 'failed', 'skipped')),
    error text,
    attempts integer not null default 0,
    scheduled_job_id bigint, -- no reference: the job is cleaned away before
    created_at timestamptz not null default now(),
    sent_at timestamptz
);

comment on table public.job_alert_deliveries is
    'What was sent of alerts, to whom and when, or why not. A job of the service sends each, with its retries and ledger.';
comment on column public.job_alert_deliveries.kind is
    'That an alert fires, fires still, or recovered; a test of a channel; the code that confirms an e-mail address.';
comment on column public.job_alert_deliveries.error is 'Why it was not sent, or why the last attempt failed.';
comment on column public.job_alert_deliveries.created_by is 'Of a private alert its owner; of a test or a code who asked for it.';

create index if not exists job_alert_deliveries_alert_id_idx on public.job_alert_deliveries (alert_id, created_at desc);
create index if not exists job_alert_deliveries_channel_id_idx on public.job_alert_deliveries (channel_id, created_at desc);
create index if not exists job_alert_deliveries_tenant_idx
on public.job_alert_deliveries (
    (coalesce(workspace_id, created_by, '00000000-0000-0000-0000-000000000000')), created_at desc
);
create index if not exists job_alert_deliveries_queued_idx
on public.job_alert_deliveries (scheduled_job_id) where status = 'queued';
create index if not exists job_alert_deliveries_created_by_idx
on public.job_alert_deliveries (created_by, created_at desc) where created_by is not null and workspace_id is null;
create index if not exists job_alert_deliveries_workspace_id_idx
on public.job_alert_deliveries (workspace_id, created_at desc) where workspace_id is not null;
create index if not exists job_alert_deliveries_created_at_idx
on public.job_alert_deliveries using brin (created_at) with (autosummarize = on);

revoke all on table public.job_alert_deliveries from public, anon, authenticated, service_role;
grant select on table public.job_alert_deliveries to authenticated, service_role;

alter table public.job_alert_deliveries enable row level security;

drop policy if exists job_alert_deliveries_select on public.job_alert_deliveries;
create policy job_alert_deliveries_select on public.job_alert_deliveries
for select to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
);
