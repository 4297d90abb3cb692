-- Where alerts are sent to. What a channel's secret is, nobody reads: a trigger takes it out of the row before it is written.

create table if not exists public.job_alert_channels (
    id uuid primary key default gen_random_uuid(),
    workspace_id uuid,
    created_by uuid default job_scheduler.caller(),
    name text check (char_length(name) between 1 and 200),
    kind text not null check (kind in ('email', 'webhook', 'slack', 'discord', 'apprise')),
    target text check (char_length(target) <= 2000),
    secret text check (secret is null),
    enabled boolean not null default true,
    -- columns that the service writes
    confirmed_at timestamptz,
    created_at timestamptz not null default now(),
    tenant_id uuid not null generated always as (
        coalesce(workspace_id, created_by, '00000000-0000-0000-0000-000000000000')
    ) stored
);

comment on table public.job_alert_channels is 'Where alerts of a tenant are sent to: e-mail, a signed webhook, a chat.';
comment on column public.job_alert_channels.target is
    'The e-mail address, or the URL of a webhook; of a chat the part of its URL that is no secret, which the service writes.';
comment on column public.job_alert_channels.secret is
    'Write only, and always null when it is read: the URL of a chat, or the key that signs a webhook''s requests.';
comment on column public.job_alert_channels.confirmed_at is
    'When the owner of an e-mail address confirmed it; nothing but the code of the confirmation is sent before.';
comment on column public.job_alert_channels.tenant_id is
    'The workspace, or the user of a private row, or zeros for the service''s.';

create index if not exists job_alert_channels_tenant_id_idx on public.job_alert_channels (tenant_id);

revoke all on table public.job_alert_channels from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.job_alert_channels to service_role;
grant select, delete, insert (workspace_id, created_by, name, kind, target, secret, enabled)
on table public.job_alert_channels
to authenticated;
grant update (name, target, secret, enabled) on table public.job_alert_channels to authenticated;

alter table public.job_alert_channels enable row level security;

drop policy if exists job_alert_channels_select on public.job_alert_channels;
create policy job_alert_channels_select on public.job_alert_channels
for select to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
);
drop policy if exists job_alert_channels_insert on public.job_alert_channels;
create policy job_alert_channels_insert on public.job_alert_channels
for insert to authenticated
with check (
    created_by = (select job_scheduler.caller())
    and (workspace_id is null or workspace_id = any((select job_scheduler.administered_workspaces())::uuid[]))
);
drop policy if exists job_alert_channels_update on public.job_alert_channels;
create policy job_alert_channels_update on public.job_alert_channels
for update to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.administered_workspaces())::uuid[])
)
with check (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.administered_workspaces())::uuid[])
);
drop policy if exists job_alert_channels_delete on public.job_alert_channels;
create policy job_alert_channels_delete on public.job_alert_channels
for delete to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.administered_workspaces())::uuid[])
);

-- Deferred: the trigger that fills it fires before its channel is there.
create table if not exists job_scheduler.channel_secrets (
    channel_id uuid primary key references public.job_alert_channels (id) on delete cascade deferrable initially deferred,
    secret text,
    code text,
    code_expires_at timestamptz,
    code_tries integer not null default 0
);

comment on table job_scheduler.channel_secrets is
    'Secrets of channels, and the codes that confirm e-mail addresses; only functions of the service read it.';

alter table job_scheduler.channel_secrets enable row level security;

-- Requests of users that send something: tests of channels and confirmations.
create table if not exists job_scheduler.alert_requests (
    id bigint generated always as identity primary key,
    requested_by uuid not null,
    address text,
    at timestamptz not null default now()
);

comment on table job_scheduler.alert_requests is
    'Mails and tests that users asked for, of the last day: their number is bounded.';
comment on column job_scheduler.alert_requests.address is
    'Of a confirmation the address, without what follows a + in its local part.';

create index if not exists alert_requests_requested_by_idx on job_scheduler.alert_requests (requested_by, at);

alter table job_scheduler.alert_requests enable row level security;
