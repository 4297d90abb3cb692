do $migration$
declare
    body constant text := $file$
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

-- The checks of a channel, its secret and its confirmation.

-- Refuse `given` in a column of a table of alerts.
create or replace function job_scheduler.refuse_alert(
    table_name text, column_name text, given text, expected text, advice text default null
)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    raise exception using
        errcode = '22023',
        message = format(
            '%s.%s: %s is not allowed; expected %s', table_name, column_name, coalesce(left(to_jsonb(given)::text, 120), 'null'),
            expected
        ),
        hint = coalesce(advice, 'Nothing was written. Correct the column and send the row again.'),
        schema = 'public',
        table = table_name,
        column = column_name;
end
$$;

-- Refuses a channel whose target and secret are not those of its kind; a refusal never shows a secret. A URL of a chat is all
-- that is needed to write there, so it is the secret.
create or replace function job_scheduler.check_channel(channel public.job_alert_channels, is_new boolean, by_client boolean)
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
    named constant text := 'job_alert_channels';
begin
    if length(channel.secret) > 2000 then -- each delivery reads it
        perform job_scheduler.refuse_alert(named, 'secret', '…', '2000 characters at most');
    end if;
    if channel.kind = 'email' then
        if channel.target !~ E'^[^\\s@<>",;:]+@[^\\s@<>",;:]+$' is not false or length(channel.target) > 320 then
            perform job_scheduler.refuse_alert(named, 'target', channel.target, 'an e-mail address');
        elsif channel.secret is not null then
            perform job_scheduler.refuse_alert(named, 'secret', '…', 'none, for an e-mail address has none');
        end if;
    elsif channel.kind = 'webhook' then
        if channel.target !~ E'^https?://[^\\s/?#@]+([/?][^\\s#]*)?$' is not false then
            perform job_scheduler.refuse_alert(
                named, 'target', channel.target, 'the URL of the webhook, without a user and a fragment'
            );
        elsif coalesce(channel.secret !~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$', is_new) then
            perform job_scheduler.refuse_alert(
                named, 'secret', '…', 'the key that signs requests: whsec_ and 24 to 64 random bytes in base64',
                'For instance: echo "whsec_$(openssl rand -base64 32)". The receiver verifies requests with it.'
            );
        end if;
    elsif channel.kind in ('slack', 'discord') then
        if coalesce(channel.secret !~ E'^https?://[^\\s/?#@]+/[^\\s#]*$', is_new) then
            perform job_scheduler.refuse_alert(named, 'secret', '…', 'the URL of an incoming webhook of ' || channel.kind);
        end if;
    elsif channel.kind = 'apprise' then
        if by_client then
            perform job_scheduler.refuse_alert(
                named, 'kind', channel.kind, 'email, webhook, slack or discord',
                'Apprise reaches any host, so that the service key alone writes such a channel.'
            );
        elsif coalesce(channel.secret !~ '^[A-Za-z0-9+.-]+://', is_new and channel.target is null) then
            perform job_scheduler.refuse_alert(
                named, 'secret', '…', 'an Apprise URL, or in target a name of LISTENER_NOTIFICATION_CHANNELS'
            );
        end if;
    else
        perform job_scheduler.refuse_alert(named, 'kind', channel.kind, 'one of email, webhook, slack, discord, apprise');
    end if;
end
$$;

-- Checks a channel, and decides whether it has to be confirmed: what the service key writes needs no confirmation.
create or replace function job_scheduler.admit_channel()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    by_client constant boolean := row_security_active('public.job_alert_channels'::regclass);
begin
    if tg_op = 'UPDATE' and new.kind <> old.kind then
        perform job_scheduler.refuse_alert('job_alert_channels', 'kind', new.kind, format('%s, as it is', old.kind));
    end if;
    if new.kind in ('slack', 'discord') and new.target is distinct from (case when tg_op = 'UPDATE' then old.target end) then
        perform job_scheduler.refuse_alert(
            'job_alert_channels', 'target', '…', 'null; the URL of a chat is a secret, and is written as such'
        );
    end if;
    perform job_scheduler.check_channel(new, tg_op = 'INSERT', by_client);
    if tg_op = 'INSERT' or new.target is distinct from old.target then
        new.confirmed_at := case when not (by_client and new.kind = 'email') then now() end;
    end if;
    return new;
end
$$;

-- Moves the secret where nobody reads it, before the row is written.
create or replace function job_scheduler.take_secret()
returns trigger
language plpgsql
security definer -- nobody but the service may write there
set search_path = ''
as $$
begin
    insert into job_scheduler.channel_secrets as s (channel_id, secret) values (new.id, new.secret)
    on conflict (channel_id) do update set secret = excluded.secret;
    if new.kind in ('slack', 'discord') then
        new.target := split_part(new.secret, '/', 3) || '/…';
    elsif new.kind = 'apprise' then
        new.target := split_part(new.secret, '://', 1) || '://…';
    end if;
    new.secret := null;
    return new;
end
$$;

-- Refuses more requests that send something than a user may make in an hour, and more codes to one address than in a day.
create or replace function job_scheduler.note_alert_request(confirmed text default null)
returns void
language plpgsql
security definer -- users may not write there
set search_path = ''
as $$
declare
    me constant uuid := job_scheduler.caller();
    most constant numeric := job_scheduler.limit_of('max_alert_requests_per_hour');
    most_codes constant numeric := job_scheduler.limit_of('max_alert_confirmations_per_day');
    place constant text := lower(regexp_replace(confirmed, E'\\+[^@]*@', '@'));
    used bigint;
begin
    if me is null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler alert requests of ' || me, 0));
    delete from job_scheduler.alert_requests as r where r.requested_by = me and r.at < now() - interval '1 day';
    select count(*) into used from job_scheduler.alert_requests as r
    where r.requested_by = me and r.at > now() - interval '1 hour';
    if used >= most then
        perform job_scheduler.refuse_quota(
            'max_alert_requests_per_hour', 'one more test or confirmation in this hour is not allowed', most, used
        );
    end if;
    select count(*) into used from job_scheduler.alert_requests as r
    where r.requested_by = me and r.address = place and r.at > now() - interval '1 day';
    if used >= most_codes then
        perform job_scheduler.refuse_quota(
            'max_alert_confirmations_per_day', 'one more code to this address on this day is not allowed', most_codes, used
        );
    end if;
    insert into job_scheduler.alert_requests (requested_by, address) values (me, place);
end
$$;

-- Sends a message of a channel, a test or a confirmation, and answers the delivery.
create or replace function job_scheduler.send_to_channel(channel public.job_alert_channels, kind text)
returns uuid
language plpgsql
security definer -- users may write neither deliveries nor the service's jobs
set search_path = ''
as $$
declare
    delivery uuid;
begin
    perform job_scheduler.note_alert_request(case when kind = 'confirmation' then channel.target end);
    insert into public.job_alert_deliveries (channel_id, workspace_id, created_by, kind, channel_kind, target)
    values (
        channel.id, channel.workspace_id, coalesce(job_scheduler.caller(), channel.created_by), kind, channel.kind,
        channel.target
    )
    returning id into delivery;
    perform job_scheduler.queue_deliveries(array[delivery]);
    return delivery;
end
$$;

-- Sends the owner of an address a code, with which the address is confirmed.
create or replace function job_scheduler.ask_to_confirm()
returns trigger
language plpgsql
security definer -- see send_to_channel
set search_path = ''
as $$
begin
    delete from job_scheduler.channel_secrets as s where s.channel_id = new.id; -- the code of another address
    perform job_scheduler.send_to_channel(new, 'confirmation');
    return null;
end
$$;

revoke all on function
job_scheduler.admit_channel(), job_scheduler.take_secret(), job_scheduler.note_alert_request(text),
job_scheduler.send_to_channel(public.job_alert_channels, text), job_scheduler.ask_to_confirm(),
job_scheduler.refuse_alert(text, text, text, text, text),
job_scheduler.check_channel(public.job_alert_channels, boolean, boolean)
from public;
grant execute on function
job_scheduler.refuse_alert(text, text, text, text, text),
job_scheduler.check_channel(public.job_alert_channels, boolean, boolean)
to authenticated, service_role; -- their writes fire the triggers

-- The checks of a rule, the number that a tenant may have, and the statuses that users give alerts.

-- The threshold of a condition where a rule has none: seconds, or how many.
create or replace function job_scheduler.default_threshold(condition text)
returns numeric
language sql
immutable
set search_path = ''
as $$
    select case condition
        when 'failed' then 1
        when 'failing' then 3
        when 'long_running' then 300
        when 'late' then 60
        when 'missed' then 300
        when 'backlog' then 1000
        when 'no_listener' then 60
    end
$$;

-- Checks a rule; what it names belongs to the rule's tenant. A rule that is enabled or looks at something else looks from now on.
create or replace function job_scheduler.admit_rule()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    tenant constant uuid := coalesce(new.workspace_id, new.created_by, '00000000-0000-0000-0000-000000000000');
    stranger uuid;
begin
    if tg_op = 'INSERT' or (old.enabled, old.condition, old.scheduled_job_id, old.handler, old.threshold)
        is distinct from (new.enabled, new.condition, new.scheduled_job_id, new.handler, new.threshold) then
        new.active_since := now();
    end if;
    if job_scheduler.default_threshold(new.condition) is null then
        perform job_scheduler.refuse_alert(
            'job_alert_rules', 'condition', new.condition,
            'one of failed, failing, long_running, late, missed, backlog, no_listener'
        );
    end if;
    -- One too small for a double precision would end the evaluation of everybody's rules.
    new.threshold := trim_scale(round(coalesce(new.threshold, job_scheduler.default_threshold(new.condition)), 3));
    if new.condition = 'failing' and (new.threshold < 2 or new.threshold > 50 or new.threshold % 1 <> 0) then
        perform job_scheduler.refuse_alert(
            'job_alert_rules', 'threshold', new.threshold::text, '2 to 50 failures in a row, for the condition failing'
        );
    elsif new.condition = 'failed' and new.threshold <> 1 then
        perform job_scheduler.refuse_alert(
            'job_alert_rules', 'threshold', new.threshold::text, 'null, for the condition failed; failing counts failures'
        );
    elsif new.scheduled_job_id is not null and not exists (
        select from public.scheduled_jobs as j
        where
            j.id = new.scheduled_job_id and j.handler <> 'alert_delivery'
            and coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000') = tenant
    ) then
        perform job_scheduler.refuse_alert(
            'job_alert_rules', 'scheduled_job_id', new.scheduled_job_id::text, 'the id of a job of the rule''s tenant, and of no delivery of alerts'
        );
    end if;
    if new.handler = 'alert_delivery' then -- its messages would be about itself
        perform job_scheduler.refuse_alert(
            'job_alert_rules', 'handler', new.handler, 'another one, for no rule looks at deliveries of alerts'
        );
    end if;
    select c.id into stranger
    from unnest(new.channel_ids) as c (id)
    where
        not exists (select from public.job_alert_channels as a where a.id = c.id and a.tenant_id = tenant)
        and (tg_op = 'INSERT' or c.id <> all(old.channel_ids)) -- one that was deleted since does not stand in the way
    limit 1;
    if found then
        perform job_scheduler.refuse_alert('job_alert_rules', 'channel_ids', stranger::text, 'ids of channels of the rule''s tenant');
    end if;
    return new;
end
$$;

-- Refuses more than a user may have over all workspaces without a bound of their own, see check_active_quota_of: else each
-- workspace would be as many again.
create or replace function job_scheduler.bound_alerting_of(owner uuid, workspace uuid, table_name text, quota text)
returns void
language plpgsql
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.limit_of('quota_' || quota);
    used bigint;
begin
    if owner is null or workspace is null or exists (
        select from public.job_workspaces as w where w.id = workspace and w.settings ? quota
    ) then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler quota of user ' || owner, 0));
    select count(*) into used
    from (
        select c.workspace_id from public.job_alert_channels as c where c.created_by = owner and table_name = 'job_alert_channels'
        union all
        select r.workspace_id from public.job_alert_rules as r where r.created_by = owner and table_name = 'job_alert_rules'
    ) as o
    left join public.job_workspaces as w on o.workspace_id = w.id
    where not coalesce(w.settings ? quota, false);
    if used > most then
        perform job_scheduler.refuse_quota(quota, 'no more of this user in all workspaces together', most, used - 1);
    end if;
end
$$;
revoke all on function job_scheduler.bound_alerting_of(uuid, uuid, text, text) from public;

-- Refuses more channels or rules than a tenant may have: tg_argv names the quota.
create or replace function job_scheduler.bound_alerting()
returns trigger
language plpgsql
security definer -- it counts rows as they are, and quotas are the operator's to see
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.quota_of(new.workspace_id, tg_argv[0], true);
    used bigint;
begin
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler quota of ' || new.tenant_id, 0));
    if tg_table_name = 'job_alert_channels' then
        select count(*) into used from public.job_alert_channels as c where c.tenant_id = new.tenant_id;
    else
        select count(*) into used from public.job_alert_rules as r where r.tenant_id = new.tenant_id;
    end if;
    if used > most then
        perform job_scheduler.refuse_quota(tg_argv[0], 'one more is not allowed', most, used - 1);
    end if;
    perform job_scheduler.bound_alerting_of(new.created_by, new.workspace_id, tg_table_name, tg_argv[0]);
    return null;
end
$$;

-- Users acknowledge an alert, which stops its repetitions, or resolve it.
create or replace function job_scheduler.settle_alert()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if (old.status, new.status) not in (
        ('firing', 'acknowledged'), ('firing', 'resolved'), ('acknowledged', 'resolved'), ('acknowledged', 'firing')
    ) then
        perform job_scheduler.refuse_alert(
            'job_alerts', 'status', new.status, format('a status that may follow %s', old.status),
            'An alert is firing, acknowledged, resolved, in this order; another occurrence opens a new one.'
        );
    end if;
    new.acknowledged_at := case when new.status <> 'firing' then coalesce(old.acknowledged_at, now()) end;
    new.acknowledged_by := case when new.status <> 'firing' then coalesce(old.acknowledged_by, job_scheduler.caller()) end;
    if new.status = 'resolved' then
        new.resolved_at := now();
        new.is_announced := false; -- whoever resolved it knows
    end if;
    if new.status <> 'firing' then
        new.next_notification_at := null;
    end if;
    return new;
end
$$;

revoke all on function
job_scheduler.default_threshold(text), job_scheduler.admit_rule(), job_scheduler.bound_alerting(), job_scheduler.settle_alert()
from public;
grant execute on function job_scheduler.default_threshold(text) to authenticated, service_role;

-- Deliveries are jobs of the service, which no quota of users counts and no rule looks at: an alert of alerts would not end.

-- Makes the jobs of queued deliveries. Where no listener has their handler, they wait, and the next evaluation tries again.
-- Those to one URL of a user go one after the other: a receiver that never answers takes one connection, and not all.
create or replace function job_scheduler.queue_deliveries(deliveries uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
    stage constant text := coalesce(current_setting('job_scheduler.stage', true), '');
begin
    perform set_config('job_scheduler.stage', 'service', true);
    with made as (
        insert into public.scheduled_jobs (
            job_id, created_by, name, handler, metadata, max_attempts, retry_delay_seconds, timeout_seconds, priority,
            concurrency_key
        )
        select
            'alert-delivery:' || d.id, null, format('%s to %s', d.kind, d.channel_kind), 'alert_delivery',
            jsonb_build_object('delivery_id', d.id), 6, 5, 60, 100,
            case when d.channel_kind in ('webhook', 'slack', 'discord') then 'alert-channel:' || d.channel_id end
        from public.job_alert_deliveries as d
        where d.id = any(deliveries) and d.status = 'queued'
        order by d.created_at, d.id
        on conflict do nothing
        returning id, job_id
    )
    update public.job_alert_deliveries as d
    set scheduled_job_id = m.id, error = null
    from made as m
    where d.id = any(deliveries) and 'alert-delivery:' || d.id = m.job_id;
    perform set_config('job_scheduler.stage', stage, true);
exception
    when serialization_failure or deadlock_detected then
        raise;
    when others then
        update public.job_alert_deliveries as d
        set error = 'no job could be made: ' || sqlerrm
        where d.id = any(deliveries);
end
$$;
revoke all on function job_scheduler.queue_deliveries(uuid[]) from public;

-- Notes which deliveries will not be sent, because their jobs ended otherwise, and makes jobs of those that have none yet.
create or replace function job_scheduler.settle_deliveries()
returns void
language plpgsql
set search_path = ''
as $$
declare
    jobless constant uuid[] := array(
        select d.id from public.job_alert_deliveries as d
        where d.status = 'queued' and d.scheduled_job_id is null and d.created_at > now() - interval '1 day'
        order by d.created_at
        limit 500
    );
begin
    update public.job_alert_deliveries as d
    set status = 'failed', error = coalesce(j.error, d.error, 'its job was deleted')
    from public.job_alert_deliveries as o
    left join public.scheduled_jobs as j on o.scheduled_job_id = j.id
    where
        d.id = o.id and o.status = 'queued'
        and case
            when o.scheduled_job_id is null then o.created_at < now() - interval '1 day'
            else coalesce(j.status, 'failed') in ('completed', 'failed', 'cancelled')
        end;
    if cardinality(jobless) > 0 then
        perform job_scheduler.queue_deliveries(jobless);
    end if;
end
$$;
revoke all on function job_scheduler.settle_deliveries() from public;

-- Deletes old deliveries, and alerts that were resolved long ago, at most so many of each; answers how many.
create or replace function job_scheduler.clean_alerts(most integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
    alerts integer;
    deliveries integer;
begin
    delete from public.job_alerts
    where id = any(array(
        select a.id from public.job_alerts as a
        where a.status = 'resolved' and a.resolved_at < now() - interval '90 days'
        limit most for update skip locked
    ));
    get diagnostics alerts = row_count;
    delete from public.job_alert_deliveries
    where id = any(array(
        select d.id from public.job_alert_deliveries as d where d.created_at < now() - interval '90 days'
        limit most for update skip locked
    ));
    get diagnostics deliveries = row_count;
    return alerts + deliveries;
end
$$;
revoke all on function job_scheduler.clean_alerts(integer) from public;

-- The functions of the handler alert_delivery.

-- An alert as messages show it: its rule, its subject, and its last run.
create or replace function job_scheduler.shown_alert(alert uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select jsonb_build_object(
        'id', a.id, 'status', a.status, 'condition', a.condition, 'message', a.message, 'subject', a.subject,
        'occurrences', a.occurrences, 'first_at', a.first_at, 'last_at', a.last_at, 'resolved_at', a.resolved_at,
        'workspace_id', a.workspace_id, 'handler', a.handler,
        'first_execution_id', a.first_execution_id, 'last_execution_id', a.last_execution_id,
        'rule', jsonb_build_object('id', r.id, 'name', r.name, 'threshold', r.threshold),
        'job', case when j.id is not null then jsonb_build_object('id', j.id, 'job_id', j.job_id, 'name', j.name) end,
        'reason', e.reason, 'error', left(e.error, 500)
    )
    from public.job_alerts as a
    inner join public.job_alert_rules as r on a.rule_id = r.id
    left join public.job_executions as e on a.last_execution_id = e.id
    left join public.scheduled_jobs as j on coalesce(a.scheduled_job_id, e.scheduled_job_id) = j.id
    where a.id = alert
$$;
revoke all on function job_scheduler.shown_alert(uuid) from public;

-- The code that confirms a channel's address: the same for all attempts of a day, unless wrong ones used it up.
create or replace function job_scheduler.confirmation_code(channel uuid)
returns text
language sql
set search_path = ''
as $$
    insert into job_scheduler.channel_secrets as s (channel_id, code, code_expires_at)
    values (channel, upper(substr(replace(gen_random_uuid()::text, '-', ''), 1, 8)), now() + interval '1 day')
    on conflict (channel_id) do update
    set
        code = case when s.code_expires_at > now() and s.code_tries < 5 then s.code else excluded.code end,
        code_tries = case when s.code_expires_at > now() and s.code_tries < 5 then s.code_tries else 0 end,
        code_expires_at = case when s.code_expires_at > now() and s.code_tries < 5 then s.code_expires_at else excluded.code_expires_at end
    returning s.code
$$;
revoke all on function job_scheduler.confirmation_code(uuid) from public;

-- Answers the message to send: {delivery_id} -> {now, status, kind, channel_id, channel_kind, channel_name, target, secret, code,
-- alert}; the status is that of the delivery, or skipped where its channel is gone or no longer confirmed. A recovery that
-- overtakes its alert, and an alert that is resolved by now, are sent as they are.
create or replace function public.alert_delivery_v1(request jsonb)
returns json
language plpgsql
security definer -- secrets are nobody's to read
set search_path = ''
as $$
declare
    delivery public.job_alert_deliveries;
    channel public.job_alert_channels;
begin
    update public.job_alert_deliveries as d
    set attempts = d.attempts + 1
    where d.id = (request ->> 'delivery_id')::uuid and d.status = 'queued'
    returning * into delivery;
    if not found then
        return json_build_object('now', clock_timestamp(), 'status', coalesce((
            select d.status from public.job_alert_deliveries as d where d.id = (request ->> 'delivery_id')::uuid
        ), 'skipped'));
    end if;
    select c.* into channel from public.job_alert_channels as c
    where
        c.id = delivery.channel_id and c.target is not distinct from delivery.target
        and (c.confirmed_at is not null or delivery.kind = 'confirmation')
    for share; -- else a change of the address that is under way would let the old one have the new one's code
    if not found then
        update public.job_alert_deliveries as d
        set status = 'skipped', error = 'the channel was changed or deleted'
        where d.id = delivery.id;
        return json_build_object('now', clock_timestamp(), 'status', 'skipped');
    end if;
    return json_build_object(
        'now', clock_timestamp(), 'status', delivery.status, 'kind', delivery.kind, 'channel_id', channel.id,
        'channel_kind', channel.kind, 'channel_name', channel.name, 'target', channel.target,
        'secret', (select s.secret from job_scheduler.channel_secrets as s where s.channel_id = channel.id),
        'code', case when delivery.kind = 'confirmation' then job_scheduler.confirmation_code(channel.id) end,
        'alert', job_scheduler.shown_alert(delivery.alert_id)
    );
end
$$;
revoke all on function public.alert_delivery_v1(jsonb) from public, anon, authenticated;
grant execute on function public.alert_delivery_v1(jsonb) to service_role;

-- Notes how an attempt to send ended: {delivery_id, status: sent, failed, or queued for another attempt, error} -> {now}
create or replace function public.end_alert_delivery_v1(request jsonb)
returns json
language plpgsql
security definer -- nobody but the service writes deliveries
set search_path = ''
as $$
begin
    update public.job_alert_deliveries as d
    set
        status = request ->> 'status', error = left(request ->> 'error', 2000),
        sent_at = case when request ->> 'status' = 'sent' then clock_timestamp() end
    where d.id = (request ->> 'delivery_id')::uuid and d.status in ('queued', 'failed');
    return json_build_object('now', clock_timestamp());
end
$$;
revoke all on function public.end_alert_delivery_v1(jsonb) from public, anon, authenticated;
grant execute on function public.end_alert_delivery_v1(jsonb) to service_role;

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

-- The findings of the rules in the present evaluation.

-- Due jobs of a tenant that wait, by handler, 100,000 at most.
create or replace function job_scheduler.waiting_of(tenant uuid)
returns table (handler text, jobs bigint)
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select d.handler, count(*)
    from (
        (
            select j.handler from public.scheduled_jobs as j
            where
                tenant <> '00000000-0000-0000-0000-000000000000' and coalesce(j.workspace_id, j.created_by) = tenant
                and j.next_run_at <= now()
            limit 100000
        )
        union all
        (
            select j.handler from public.scheduled_jobs as j
            where
                tenant = '00000000-0000-0000-0000-000000000000' and coalesce(j.workspace_id, j.created_by) is null
                and j.next_run_at <= now()
            limit 100000
        )
    ) as d
    where d.handler <> 'alert_delivery'
    group by d.handler
$$;
revoke all on function job_scheduler.waiting_of(uuid) from public;

-- How many jobs wait of each rule about a backlog; of a rule of one job, how many runs of it. All rules of a tenant look once.
create or replace function job_scheduler.backlogs()
returns table (rule_id uuid, jobs bigint)
language sql
stable
set search_path = ''
as $$
    with waiting as materialized (
        select t.tenant_id, w.handler, w.jobs
        from (
            select distinct r.tenant_id from public.job_alert_rules as r
            where r.enabled and r.condition = 'backlog' and r.scheduled_job_id is null
        ) as t
        cross join lateral job_scheduler.waiting_of(t.tenant_id) as w
    )
    select
        r.id,
        case
            when r.scheduled_job_id is null then (
                select coalesce(sum(w.jobs), 0)::bigint from waiting as w
                where w.tenant_id = r.tenant_id and w.handler = coalesce(r.handler, w.handler)
            )
            else (
                select count(*) from public.job_executions as e
                where e.scheduled_job_id = r.scheduled_job_id and e.status = 'queued' and e.run_at <= now()
            ) + (
                select count(*) from public.scheduled_jobs as j
                where j.id = r.scheduled_job_id and j.due_at <= now() and j.status <> 'paused'
            )
        end
    from public.job_alert_rules as r
    where r.enabled and r.condition = 'backlog'
$$;
revoke all on function job_scheduler.backlogs() from public;

-- Handlers of a rule that no live listener has although jobs are due, and, with `gap`, that there was no listener for so long.
create or replace function job_scheduler.unheard_of(rule public.job_alert_rules, gap interval)
returns table (handler text, seconds double precision)
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select m.name, extract(epoch from now() - m.since)::double precision
    from job_scheduler.missing_handlers as m
    where
        m.since < now() - make_interval(secs => rule.threshold::double precision) and m.name = coalesce(rule.handler, m.name)
        and m.name <> 'alert_delivery'
        and (
            select j.id from public.scheduled_jobs as j -- not exists, for which the planner may read all jobs
            where
                j.handler = m.name and j.next_run_at < now()
                and coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000') = rule.tenant_id
                and j.id = coalesce(rule.scheduled_job_id, j.id)
            limit 1
        ) is not null
    union all
    select null, extract(epoch from gap)::double precision
    where gap > make_interval(secs => rule.threshold::double precision) and rule.active_since < now() - gap
$$;
revoke all on function job_scheduler.unheard_of(public.job_alert_rules, interval) from public;

-- The findings of each rule: by subject the jobs, the occurrences that are new, and whether a job was not in trouble before.
create or replace function job_scheduler.findings(gap interval)
returns table (
    rule_id uuid, subject text, scheduled_job_id bigint, handler text, jobs bigint, hits bigint, is_worse boolean,
    first_execution_id uuid, last_execution_id uuid, first_at timestamptz, last_at timestamptz, measure double precision
)
language sql
stable
set search_path = ''
as $$
    with troubled as materialized ( -- of what only goes on, one job of each handler: rules times jobs would be many
        select t.* from job_scheduler.troubled_jobs as t
        where t.hits > 0
        union all
        (
            select distinct on (t.kind, t.tenant_id, t.handler) t.* from job_scheduler.troubled_jobs as t
            where t.hits = 0 and t.kind in ('long_running', 'missed')
            order by t.kind, t.tenant_id, t.handler, t.measure desc
        )
        union all
        select t.* from job_scheduler.troubled_jobs as t
        where
            t.hits = 0 and t.kind in ('long_running', 'missed')
            and t.scheduled_job_id = any(array(
                select r.scheduled_job_id from public.job_alert_rules as r
                where r.enabled and r.condition in ('long_running', 'missed')
            ))
    )

    select
        r.id, coalesce('job:' || r.scheduled_job_id, 'handler:' || t.handler),
        r.scheduled_job_id, t.handler, count(*), sum(t.hits)::bigint, bool_or(t.is_new and t.hits > 0),
        (array_agg(t.first_execution_id order by t.first_at, t.first_execution_id))[1],
        (array_agg(t.last_execution_id order by t.last_at desc, t.last_execution_id desc))[1],
        min(t.first_at), max(t.last_at), max(t.measure)
    from public.job_alert_rules as r
    inner join troubled as t
        on
            r.tenant_id = t.tenant_id and t.kind = case r.condition when 'failing' then 'failed' else r.condition end
            and t.scheduled_job_id = coalesce(r.scheduled_job_id, t.scheduled_job_id)
            and t.handler = coalesce(r.handler, t.handler)
    where
        r.enabled and (t.hits > 0 or r.condition in ('long_running', 'missed')) and t.last_at >= r.active_since
        and (r.condition = 'failed' or t.measure >= r.threshold)
    group by r.id, 2, t.handler
    union all
    select
        r.id, coalesce('job:' || r.scheduled_job_id, 'handler:' || r.handler, 'all'),
        r.scheduled_job_id, r.handler, w.jobs, 0, false, null, null, now(), now(), w.jobs
    from public.job_alert_rules as r
    inner join job_scheduler.backlogs() as w on r.id = w.rule_id
    where w.jobs > r.threshold
    union all
    select
        r.id, coalesce('handler:' || u.handler, 'all'), r.scheduled_job_id, u.handler, 1, 0, false, null, null,
        now() - make_interval(secs => u.seconds), now(), u.seconds
    from public.job_alert_rules as r
    cross join lateral job_scheduler.unheard_of(r, gap) as u
    where r.enabled and r.condition = 'no_listener'
$$;
revoke all on function job_scheduler.findings(interval) from public;

-- A finding in words.
create or replace function job_scheduler.finding_text(condition text, occurrences bigint, measure double precision)
returns text
language sql
immutable
set search_path = ''
as $$
    select case condition
        when 'failed' then case when occurrences = 1 then 'a run failed' else format('%s runs failed', occurrences) end
        when 'failing' then format('a job failed %s times in a row', measure)
        when 'long_running' then format('a run has taken %s s', round(measure::numeric))
        when 'late' then format('a run began %s s late', round(measure::numeric, 1))
        when 'missed' then format('a due instant has had no run for %s s', round(measure::numeric))
        when 'backlog' then format('%s due jobs wait', measure)
        when 'no_listener' then format('no listener had it for %s s', round(measure::numeric))
    end
$$;
revoke all on function job_scheduler.finding_text(text, bigint, double precision) from public;

-- Opens an alert for a finding, or adds to the one that is open; one that was resolved within the cool-down is opened again, and
-- sent when that is over. Answers whether a new one was opened.
create or replace function job_scheduler.raise_alert(
    rule public.job_alert_rules, found_subject text, found_job bigint, found_handler text, jobs bigint, hits bigint,
    is_worse boolean, first_execution uuid, last_execution uuid, found_first timestamptz, found_last timestamptz,
    measure double precision
)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
    cooldown constant interval := make_interval(secs => rule.cooldown_seconds);
    alert public.job_alerts;
    is_state constant boolean := rule.condition in ('backlog', 'no_listener');
begin
    select a.* into alert from public.job_alerts as a
    where a.rule_id = rule.id and a.subject = found_subject
    order by (a.status <> 'resolved') desc, a.last_at desc
    limit 1
    for update;
    if alert.id is null or alert.status = 'resolved' and coalesce(alert.notified_at, '-infinity') + cooldown <= now() then
        insert into public.job_alerts (
            rule_id, workspace_id, created_by, condition, subject, scheduled_job_id, handler, message, occurrences,
            first_execution_id, last_execution_id, first_at, last_at, next_notification_at
        ) values (
            rule.id, rule.workspace_id, rule.created_by, rule.condition, found_subject, found_job, found_handler,
            job_scheduler.finding_text(rule.condition, greatest(hits, 1), measure),
            case when is_state then jobs else greatest(hits, 1) end, first_execution, last_execution, found_first, found_last,
            now()
        );
        return true;
    end if;
    update public.job_alerts as a
    set
        status = case when alert.status = 'acknowledged' then alert.status else 'firing' end,
        occurrences = case when is_state then greatest(a.occurrences, jobs) else a.occurrences + hits end,
        last_execution_id = coalesce(last_execution, a.last_execution_id), last_at = greatest(a.last_at, found_last),
        message = job_scheduler.finding_text(
            rule.condition, case when is_state then jobs else a.occurrences + hits end, measure
        ),
        resolved_at = null, acknowledged_at = case when alert.status = 'acknowledged' then a.acknowledged_at end,
        acknowledged_by = case when alert.status = 'acknowledged' then a.acknowledged_by end,
        next_notification_at = case
            when alert.status = 'resolved' then alert.notified_at + cooldown
            -- another job, long after the last notification, which did not name it
            when alert.status = 'firing' and is_worse and alert.notified_at + cooldown <= now() then now()
            else alert.next_notification_at
        end
    where a.id = alert.id;
    return false;
end
$$;
revoke all on function job_scheduler.raise_alert(
    public.job_alert_rules, text, bigint, text, bigint, bigint, boolean, uuid, uuid, timestamptz, timestamptz, double precision
) from public;

-- Alerts that are over.

-- Whether another job of an alert's handler completed after its last occurrence: of what ended since, the newest 1,000 are read.
create or replace function job_scheduler.completed_since(alert public.job_alerts, tenant uuid)
returns boolean
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select exists (
        select
        from (
            select e.scheduled_job_id, e.status, e.test_mode
            from public.job_executions as e
            where e.completed_at > alert.last_at
            order by e.completed_at desc
            limit 1000
        ) as n
        inner join public.scheduled_jobs as j on n.scheduled_job_id = j.id
        where
            n.status = 'completed' and not n.test_mode and j.handler = alert.handler
            and coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000') = tenant
    )
$$;
revoke all on function job_scheduler.completed_since(public.job_alerts, uuid) from public;

-- Whether what an alert is about goes on. Jobs that ended as failed do not come back by themselves: once others of their handler
-- complete, and none has failed for the cool-down, they count no longer.
create or replace function job_scheduler.goes_on(alert public.job_alerts, rule public.job_alert_rules)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
    troubled_kind constant text := case rule.condition when 'failing' then 'failed' else rule.condition end;
begin
    if rule.condition in ('backlog', 'no_listener') then
        return alert.last_at >= now(); -- found in this very transaction
    elsif rule.scheduled_job_id is not null then
        return exists (
            select from job_scheduler.troubled_jobs as t
            where
                t.kind = troubled_kind and t.scheduled_job_id = rule.scheduled_job_id
                and (rule.condition = 'failed' or t.measure >= rule.threshold)
        );
    end if;
    return exists (
        select
        from job_scheduler.troubled_jobs as t
        left join public.scheduled_jobs as j on t.scheduled_job_id = j.id
        where
            t.kind = troubled_kind and t.tenant_id = rule.tenant_id and t.handler = alert.handler
            and t.last_at >= alert.first_at
            and (rule.condition = 'failed' or t.measure >= rule.threshold)
            and (rule.condition not in ('failed', 'failing') or t.hits > 0 or j.status <> 'failed')
    ) or rule.condition in ('failed', 'failing') and exists (
        select from job_scheduler.troubled_jobs as t
        where
            t.kind = troubled_kind and t.tenant_id = rule.tenant_id and t.handler = alert.handler
            and t.last_at >= alert.first_at
            and (rule.condition = 'failed' or t.measure >= rule.threshold)
    ) and (
        alert.last_at > now() - make_interval(secs => rule.cooldown_seconds)
        or not job_scheduler.completed_since(alert, rule.tenant_id)
    );
end
$$;
revoke all on function job_scheduler.goes_on(public.job_alerts, public.job_alert_rules) from public;

-- Resolves alerts that are over, and those of rules that are disabled or look at something else by now, of which nothing is sent;
-- answers how many. Then forgets failed jobs that do not come back and that no alert is about.
create or replace function job_scheduler.resolve_alerts()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    resolved bigint;
begin
    update public.job_alerts as a
    set
        status = 'resolved', resolved_at = now(), next_notification_at = null,
        is_announced = a.is_announced and r.enabled and r.notify_recovery and r.active_since <= a.last_at
    from public.job_alert_rules as r
    where
        a.rule_id = r.id and a.status <> 'resolved'
        and not (r.enabled and r.active_since <= a.last_at and job_scheduler.goes_on(a, r));
    get diagnostics resolved = row_count;
    delete from job_scheduler.troubled_jobs as t
    where t.kind = 'failed' and t.hits = 0 and t.scheduled_job_id = any(array(
        select o.scheduled_job_id
        from job_scheduler.troubled_jobs as o
        inner join public.scheduled_jobs as j on o.scheduled_job_id = j.id
        where
            o.kind = 'failed' and j.status = 'failed' and not exists (
                select from public.job_alerts as a
                inner join public.job_alert_rules as r on a.rule_id = r.id
                where
                    a.status <> 'resolved' and r.tenant_id = o.tenant_id and a.condition in ('failed', 'failing')
                    and a.first_at <= o.last_at
            )
    ));
    return resolved;
end
$$;
revoke all on function job_scheduler.resolve_alerts() from public;

-- Notifications of alerts.

-- How many messages of a tenant's alerts were sent, or are to be, in the last hour.
create or replace function job_scheduler.alert_deliveries_of(tenant uuid)
returns bigint
language sql
stable
set search_path = ''
as $$
    select count(*) from public.job_alert_deliveries as d
    where
        coalesce(d.workspace_id, d.created_by, '00000000-0000-0000-0000-000000000000') = tenant
        and d.created_at > now() - interval '1 hour' and d.kind in ('firing', 'repeat', 'recovery') and d.status <> 'skipped'
$$;
revoke all on function job_scheduler.alert_deliveries_of(uuid) from public;

-- How many messages of a tenant's alerts were skipped in the last hour.
create or replace function job_scheduler.alert_skips_of(tenant uuid)
returns bigint
language sql
stable
set search_path = ''
as $$
    select count(*) from public.job_alert_deliveries as d
    where
        coalesce(d.workspace_id, d.created_by, '00000000-0000-0000-0000-000000000000') = tenant
        and d.created_at > now() - interval '1 hour' and d.status = 'skipped'
$$;
revoke all on function job_scheduler.alert_skips_of(uuid) from public;

-- Enters deliveries of alerts to the channels of their rules, or why not, and answers those to send; of a tenant's beyond its
-- quota in an hour none is sent, and no more than as many again are entered as skipped.
create or replace function job_scheduler.enter_deliveries(alerts uuid[], notification text)
returns uuid[]
language sql
set search_path = ''
as $$
    with wanted as (
        select
            a.id, a.workspace_id, a.created_by, a.is_announced, r.tenant_id, c.id as channel_id, c.kind as channel_kind, c.target,
            case
                when c.id is null then 'the rule has no channel'
                when not c.enabled then 'the channel is disabled'
                when c.confirmed_at is null then 'the address is not confirmed'
            end as fault
        from public.job_alerts as a
        inner join public.job_alert_rules as r on a.rule_id = r.id
        left join public.job_alert_channels as c
            on
                r.tenant_id = c.tenant_id
                and case when r.channel_ids = '{}' then c.enabled else c.id = any(r.channel_ids) end
        where a.id = any(alerts)
    ), used as (
        select
            t.tenant_id, job_scheduler.quota_of(t.workspace_id, 'max_alert_deliveries_per_hour', t.is_owned) as most,
            job_scheduler.alert_deliveries_of(t.tenant_id) as deliveries, job_scheduler.alert_skips_of(t.tenant_id) as skips
        from (
            select distinct w.tenant_id, w.workspace_id, coalesce(w.workspace_id, w.created_by) is not null as is_owned
            from wanted as w
        ) as t
    ), judged as (
        select
            w.*, u.skips, u.most,
            case
                when w.fault is not null then w.fault
                when
                    u.deliveries + row_number() over (partition by w.tenant_id, w.fault is null order by w.id, w.channel_id)
                    > u.most then format('quota max_alert_deliveries_per_hour: limit %s', u.most)
            end as why_not
        from wanted as w
        inner join used as u on w.tenant_id = u.tenant_id
    ), entered as (
        insert into public.job_alert_deliveries (
            alert_id, channel_id, workspace_id, created_by, kind, channel_kind, target, status, error
        )
        select
            j.id, j.channel_id, j.workspace_id, j.created_by,
            case when notification = 'firing' and j.is_announced then 'repeat' else notification end, j.channel_kind, j.target,
            case when j.why_not is null then 'queued' else 'skipped' end, j.why_not
        from (
            select o.*, row_number() over (partition by o.tenant_id, o.why_not is null order by o.id, o.channel_id) as place
            from judged as o
        ) as j
        where j.why_not is null or j.most is null or j.skips + j.place <= j.most
        returning id, status
    )
    select coalesce(array_agg(e.id) filter (where e.status = 'queued'), '{}') from entered as e
$$;
revoke all on function job_scheduler.enter_deliveries(uuid[], text) from public;

-- Notifies of alerts that fire, and of those that recovered; of a rule that is muted nothing is sent, and later what then
-- still fires. Answers how many deliveries there are to send.
create or replace function job_scheduler.notify_of_alerts()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    firing constant uuid[] := array(
        select a.id
        from public.job_alerts as a
        inner join public.job_alert_rules as r on a.rule_id = r.id
        where
            a.status = 'firing' and a.next_notification_at <= now() and r.enabled
            and coalesce(r.muted_until, '-infinity') <= now()
        order by a.id
    );
    recovered constant uuid[] := array(
        select a.id
        from public.job_alerts as a
        inner join public.job_alert_rules as r on a.rule_id = r.id
        where a.status = 'resolved' and a.is_announced and a.resolved_at = now()
    );
    deliveries uuid[];
begin
    deliveries := job_scheduler.enter_deliveries(firing, 'firing') || job_scheduler.enter_deliveries(array(
        select a.id
        from public.job_alerts as a
        inner join public.job_alert_rules as r on a.rule_id = r.id
        where a.id = any(recovered) and coalesce(r.muted_until, '-infinity') <= now()
        order by a.id
    ), 'recovery');
    update public.job_alerts as a
    set
        notified_at = now(), is_announced = true,
        next_notification_at = now() + make_interval(secs => r.repeat_seconds)
    from public.job_alert_rules as r
    where a.id = any(firing) and a.rule_id = r.id;
    update public.job_alerts as a
    set is_announced = false
    where a.id = any(recovered);
    if cardinality(deliveries) > 0 then
        perform job_scheduler.queue_deliveries(deliveries);
    end if;
    return cardinality(deliveries);
end
$$;
revoke all on function job_scheduler.notify_of_alerts() from public;

-- The evaluation of the rules, which a listener asks for while there are rules or deliveries to settle.

-- Whether there is anything to evaluate: a listener learns it with its heartbeats.
create or replace function job_scheduler.has_alerts()
returns boolean
language sql
stable
set search_path = ''
as $$
    select exists (select from public.job_alert_rules as r where r.enabled)
        or exists (select from public.job_alert_deliveries as d where d.status = 'queued')
        or exists (select from public.job_alerts as a where a.status <> 'resolved')
$$;
revoke all on function job_scheduler.has_alerts() from public;

-- Notes everything that rules ask for, of the ends between two horizons, see roll_up_activity_v1.
create or replace function job_scheduler.note_trouble(
    seen pg_snapshot, present pg_snapshot, horizon bigint, many bigint, since timestamptz
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    failing constant uuid[] := array(
        select distinct r.tenant_id from public.job_alert_rules as r
        where r.enabled and r.condition in ('failed', 'failing')
    );
    others constant uuid[] := array(
        select distinct r.tenant_id from public.job_alert_rules as r
        where r.enabled and r.condition in ('late', 'long_running', 'missed')
    );
    late double precision;
    long double precision;
    missed double precision;
begin
    select
        min(r.threshold) filter (where r.condition = 'late'), min(r.threshold) filter (where r.condition = 'long_running'),
        min(r.threshold) filter (where r.condition = 'missed')
    into late, long, missed
    from public.job_alert_rules as r
    where r.enabled;
    update job_scheduler.troubled_jobs as t
    set hits = 0, is_new = false
    where t.hits > 0;
    perform job_scheduler.note_failures(failing, seen, present, since);
    if late is not null or long is not null or missed is not null then
        perform job_scheduler.note_ended(others, horizon, many, since, late, long, missed is not null);
    end if;
    if long is not null or missed is not null then
        perform job_scheduler.note_states(others, long, missed);
    end if;
    perform job_scheduler.forget_states();
    delete from job_scheduler.late_ends_for_alerts as l
    where not exists (
        select from public.job_executions as e
        where e.id = l.execution_id and (horizon - 1 - e.xmin::text::bigint) & 4294967295 > 2147483648 -- not yet evaluated
    );
end
$$;
revoke all on function job_scheduler.note_trouble(pg_snapshot, pg_snapshot, bigint, bigint, timestamptz) from public;

-- Evaluates all rules, at most every ten seconds whatever the number of listeners, and one at a time; the others return at once.
-- {limit: transactions} -> {now, wait_seconds: until the next evaluation, opened, resolved, deliveries}
create or replace function public.evaluate_alerts_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    every constant interval := interval '10 seconds';
    present pg_snapshot;
    present_at timestamptz;
    horizon xid8;
    last job_scheduler.alert_cursor;
    gap interval;
    since timestamptz;
    finding record;
    opened bigint := 0;
    resolved bigint;
    is_more boolean := false;
begin
    select c.* into last from job_scheduler.alert_cursor as c for update skip locked;
    -- Taken once the cursor is locked: a snapshot from before another evaluation would let the next one count again what that
    -- one has counted.
    present := pg_current_snapshot();
    present_at := clock_timestamp();
    horizon := pg_snapshot_xmin(present);
    if last.seen is null or last.evaluated_at > present_at - every * 0.9 or job_scheduler.is_restored() then
        return json_build_object(
            'now', clock_timestamp(), 'opened', 0, 'resolved', 0, 'deliveries', 0, 'wait_seconds', extract(
                epoch from least(greatest(coalesce(last.evaluated_at + every - present_at, every), interval '1 second'), every)
            )
        );
    end if;
    perform set_config('job_scheduler.stage', 'service', true);
    if last.horizon > horizon then -- restored into another cluster, whose counter is behind
        last := row(true, horizon, present_at, pg_snapshot_xmax(present), present_at, present, present_at);
    end if;
    if job_scheduler.plus(last.horizon, (request ->> 'limit')::bigint) < horizon then
        horizon := job_scheduler.plus(last.horizon, (request ->> 'limit')::bigint);
        is_more := true;
    end if;
    delete from public.job_alert_rules as r
    where r.scheduled_job_id is not null
        and not exists (select from public.scheduled_jobs as j where j.id = r.scheduled_job_id);
    -- Before the first rule nobody evaluated; what ended before then is of no interest.
    since := greatest(
        last.since - interval '1 minute', (select min(r.active_since) from public.job_alert_rules as r where r.enabled)
    );
    gap := present_at - last.evaluated_at - every;
    perform job_scheduler.note_trouble(
        last.seen, present, horizon::text::bigint,
        least(horizon::text::bigint - last.horizon::text::bigint, 2147483647), since
    );
    for finding in
        select r as rule, f.*
        from job_scheduler.findings(gap) as f
        inner join public.job_alert_rules as r on f.rule_id = r.id
        order by f.rule_id, f.subject
    loop
        opened := opened + job_scheduler.raise_alert(
            finding.rule, finding.subject, finding.scheduled_job_id, finding.handler, finding.jobs, finding.hits,
            finding.is_worse, finding.first_execution_id, finding.last_execution_id, finding.first_at, finding.last_at,
            finding.measure
        )::integer;
    end loop;
    resolved := job_scheduler.resolve_alerts();
    last.horizon := horizon;
    if last.next_xid <= horizon then
        last.since := last.next_at;
        last.next_xid := pg_snapshot_xmax(present);
        last.next_at := present_at;
    end if;
    update job_scheduler.alert_cursor as c
    set
        horizon = last.horizon, since = last.since, next_xid = last.next_xid, next_at = last.next_at, seen = present,
        evaluated_at = case when is_more then c.evaluated_at else present_at end;
    perform job_scheduler.settle_deliveries();
    return json_build_object(
        'now', clock_timestamp(), 'opened', opened, 'resolved', resolved,
        'deliveries', job_scheduler.notify_of_alerts(), 'wait_seconds', case when is_more then 0.2 else extract(epoch from every) end
    );
end
$$;
revoke all on function public.evaluate_alerts_v1(jsonb) from public, anon, authenticated;
grant execute on function public.evaluate_alerts_v1(jsonb) to service_role;

-- The functions of clients. Row level security decides what they may; a row that they may not change is as unknown as one that
-- is not there.

create or replace function job_scheduler.refuse_unknown_alerting(what text, id uuid)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    raise exception 'no % % that you may change', what, coalesce(id::text, 'null') using errcode = 'PT404';
end
$$;
revoke all on function job_scheduler.refuse_unknown_alerting(text, uuid) from public;
grant execute on function job_scheduler.refuse_unknown_alerting(text, uuid) to authenticated, service_role;

-- Gives an alert a status, and answers it, also where it has that status already.
create or replace function job_scheduler.change_alert(alert uuid, wanted text)
returns public.job_alerts
language plpgsql
set search_path = ''
as $$
declare
    changed public.job_alerts;
begin
    update public.job_alerts as a set status = wanted where a.id = alert and a.status <> wanted returning a.* into changed;
    if not found then
        select a.* into changed from public.job_alerts as a where a.id = alert and a.status = wanted;
    end if;
    if changed.id is null then
        perform job_scheduler.refuse_unknown_alerting('alert', alert);
    end if;
    return changed;
end
$$;

revoke all on function job_scheduler.change_alert(uuid, text) from public;
grant execute on function job_scheduler.change_alert(uuid, text) to authenticated, service_role;

-- Acknowledges an alert: it is not sent again while it goes on.
create or replace function public.acknowledge_alert(alert uuid)
returns public.job_alerts
language sql
set search_path = ''
as $$
    select * from job_scheduler.change_alert(alert, 'acknowledged')
$$;

-- Resolves an alert; another occurrence opens a new one.
create or replace function public.resolve_alert(alert uuid)
returns public.job_alerts
language sql
set search_path = ''
as $$
    select * from job_scheduler.change_alert(alert, 'resolved')
$$;

-- Mutes a rule: for so many seconds nothing of it is sent; 0 ends that. Its alerts are opened and resolved all the same.
create or replace function public.mute_alert_rule(rule uuid, seconds integer default 3600)
returns public.job_alert_rules
language plpgsql
set search_path = ''
as $$
declare
    changed public.job_alert_rules;
begin
    update public.job_alert_rules as r
    set muted_until = case when seconds > 0 then now() + make_interval(secs => seconds) end
    where r.id = rule
    returning r.* into changed;
    if not found then
        perform job_scheduler.refuse_unknown_alerting('rule', rule);
    end if;
    return changed;
end
$$;

-- The channel under this id if the caller may change it.
create or replace function job_scheduler.own_channel(channel uuid)
returns public.job_alert_channels
language plpgsql
set search_path = ''
as $$
declare
    found_channel public.job_alert_channels;
begin
    select c.* into found_channel from public.job_alert_channels as c where c.id = channel for no key update;
    if not found then
        perform job_scheduler.refuse_unknown_alerting('channel', channel);
    end if;
    return found_channel;
end
$$;

-- Sends a test through a channel; answers the id of its row in job_alert_deliveries, which says what became of it.
create or replace function public.test_alert_channel(channel uuid)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
    tested constant public.job_alert_channels := job_scheduler.own_channel(channel);
begin
    if tested.confirmed_at is null then
        perform job_scheduler.refuse_alert(
            'job_alert_channels', 'confirmed_at', null, 'a confirmed address',
            'Call confirm_alert_channel with the code that was sent to it, or request_alert_confirmation for another code.'
        );
    end if;
    return job_scheduler.send_to_channel_of(tested.id, 'test');
end
$$;

-- Sends the code that confirms a channel's address once more.
create or replace function public.request_alert_confirmation(channel uuid)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
    unconfirmed constant public.job_alert_channels := job_scheduler.own_channel(channel);
begin
    if unconfirmed.confirmed_at is not null then
        return null;
    end if;
    return job_scheduler.send_to_channel_of(unconfirmed.id, 'confirmation');
end
$$;

-- The same for whoever may change the channel, which the caller of this has seen to.
create or replace function job_scheduler.send_to_channel_of(channel uuid, kind text)
returns uuid
language plpgsql
security definer -- see send_to_channel
set search_path = ''
as $$
declare
    known public.job_alert_channels;
begin
    select c.* into known from public.job_alert_channels as c where c.id = channel;
    if known.id is null or kind not in ('test', 'confirmation') or not job_scheduler.administers(known) then
        perform job_scheduler.refuse_unknown_alerting('channel', channel);
    end if;
    return job_scheduler.send_to_channel(known, kind);
end
$$;

-- Whether the caller may change a channel: also where functions run with other rights.
create or replace function job_scheduler.administers(channel public.job_alert_channels)
returns boolean
language sql
stable
set search_path = ''
as $$
    select coalesce(
        channel.workspace_id is null and channel.created_by = job_scheduler.caller()
        or channel.workspace_id = any(job_scheduler.administered_workspaces()) or (
            select r.rolbypassrls or r.rolsuper from pg_catalog.pg_roles as r
            where r.rolname = coalesce(nullif(current_setting('role'), 'none'), session_user)
        ),
        false
    )
$$;

-- Confirms an e-mail address by the code that was sent to it; answers whether it is confirmed. Five wrong codes use a code up.
create or replace function public.confirm_alert_channel(channel uuid, code text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return job_scheduler.confirm_channel((job_scheduler.own_channel(channel)).id, code);
end
$$;

create or replace function job_scheduler.confirm_channel(channel uuid, given text)
returns boolean
language plpgsql
security definer -- nobody reads the code
set search_path = ''
as $$
declare
    is_right boolean;
begin
    update job_scheduler.channel_secrets as s
    set code_tries = s.code_tries + 1
    where s.channel_id = channel and s.code_expires_at > now() and s.code_tries < 5
        and exists (select from public.job_alert_channels as c where c.id = channel and job_scheduler.administers(c))
    returning s.code = upper(btrim(given)) into is_right;
    if is_right then
        update public.job_alert_channels as c set confirmed_at = now() where c.id = channel;
        delete from job_scheduler.channel_secrets as s where s.channel_id = channel;
    end if;
    return coalesce(is_right, false)
        or exists (select from public.job_alert_channels as c where c.id = channel and c.confirmed_at is not null);
end
$$;

-- One click for "notify me when anything fails": makes the rule for all jobs of a workspace, or of the caller, unless there is
-- one, and answers it. With an address, or, where there is no channel yet, with that of the caller's token, mail
-- is sent there once it is confirmed.
create or replace function public.alert_on_failure(workspace uuid default null, email text default null)
returns public.job_alert_rules
language plpgsql
set search_path = ''
as $$
declare
    rule public.job_alert_rules;
    changed public.job_alert_rules;
    tenant constant uuid := coalesce(workspace, job_scheduler.caller(), '00000000-0000-0000-0000-000000000000');
    has_channel constant boolean := exists (select from public.job_alert_channels as c where c.tenant_id = tenant);
    address constant text := coalesce(email, case when not has_channel then nullif(auth.jwt() ->> 'email', '') end);
begin
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler alert rule of ' || tenant, 0));
    if address is not null and not exists (
        select from public.job_alert_channels as c where c.tenant_id = tenant and c.kind = 'email' and c.target = address
    ) and (
        email is not null or workspace is null or workspace = any(job_scheduler.administered_workspaces())
    ) then
        insert into public.job_alert_channels (workspace_id, kind, target) values (workspace, 'email', address);
    end if;
    select r.* into rule from public.job_alert_rules as r
    where
        r.tenant_id = tenant and r.condition = 'failed' and r.scheduled_job_id is null and r.handler is null
        and r.channel_ids = '{}'
    order by r.created_at
    limit 1;
    if found then
        update public.job_alert_rules as r set enabled = true, muted_until = null where r.id = rule.id returning r.* into changed;
        if not found then
            perform job_scheduler.refuse_unknown_alerting('rule', rule.id);
        end if;
        return changed;
    end if;
    insert into public.job_alert_rules (workspace_id, name, condition) values (workspace, 'Anything fails', 'failed')
    returning * into rule;
    return rule;
end
$$;

revoke all on function
public.acknowledge_alert(uuid), public.resolve_alert(uuid), public.mute_alert_rule(uuid, integer),
public.test_alert_channel(uuid), public.request_alert_confirmation(uuid), public.confirm_alert_channel(uuid, text),
public.alert_on_failure(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function
public.acknowledge_alert(uuid), public.resolve_alert(uuid), public.mute_alert_rule(uuid, integer),
public.test_alert_channel(uuid), public.request_alert_confirmation(uuid), public.confirm_alert_channel(uuid, text),
public.alert_on_failure(uuid, text)
to authenticated, service_role;
revoke all on function
job_scheduler.own_channel(uuid), job_scheduler.send_to_channel_of(uuid, text),
job_scheduler.administers(public.job_alert_channels), job_scheduler.confirm_channel(uuid, text)
from public;
grant execute on function
job_scheduler.own_channel(uuid), job_scheduler.send_to_channel_of(uuid, text), job_scheduler.confirm_channel(uuid, text)
to authenticated, service_role; -- the functions above call them

-- "Would have fired": what a rule would have found in the ledger as it is kept.

-- Runs of a tenant's ledger that ended after an instant, of those that the caller sees: others' runs are not read.
create or replace function job_scheduler.past_runs(tenant uuid, since timestamptz)
returns setof public.job_executions
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_custom_plan -- by a plan for any tenant at all, those of others are read
as $$
begin
    return query
    select e.* from public.job_executions as e
    where e.created_by = tenant and e.workspace_id is null and e.completed_at > since
    union all
    select e.* from public.job_executions as e
    where e.workspace_id = tenant and e.completed_at > since
    union all
    select e.* from public.job_executions as e
    where
        tenant = '00000000-0000-0000-0000-000000000000' and e.workspace_id is null and e.created_by is null
        and e.completed_at > since;
end
$$;
revoke all on function job_scheduler.past_runs(uuid, timestamptz) from public;
grant execute on function job_scheduler.past_runs(uuid, timestamptz) to authenticated, service_role;

-- The runs of the caller's ledger that meet a condition, of so many days, the newest 10,000. For failing: each run that failed as
-- the n-th in a row or later. For missed: instants that were skipped, or began later than the threshold.
create or replace function job_scheduler.past_hits(
    tenant uuid, condition text, job bigint, handler text, threshold double precision, days integer
)
returns table (at timestamptz, scheduled_job_id bigint, handler_name text, execution_id uuid)
language sql
stable
set search_path = ''
as $$
    with runs as materialized (
        select
            coalesce(e.completed_at, e.scheduled_for) as at, e.scheduled_job_id, j.handler as handler_name, e.id, e.status,
            e.reason, e.duration_ms, e.lateness_ms, e.scheduled_for, e.cause
        from job_scheduler.past_runs(past_hits.tenant, now() - make_interval(days => days)) as e
        inner join public.scheduled_jobs as j on e.scheduled_job_id = j.id
        where
            not e.test_mode
            and e.scheduled_job_id = coalesce(job, e.scheduled_job_id) and j.handler = coalesce(past_hits.handler, j.handler)
            and j.handler <> 'alert_delivery'
            and e.status in ('completed', 'failed', 'skipped')
            and (
                e.status <> 'failed' or (
                    select n.id from public.job_executions as n
                    where
                        n.scheduled_job_id = e.scheduled_job_id and n.scheduled_for = e.scheduled_for and n.cause = e.cause
                        and n.attempt = e.attempt + 1
                ) is null
            )
        order by e.completed_at desc
        limit 100000
    ), counted as (
        select
            r.*, count(*) filter (where r.status = 'completed') over (
                partition by r.scheduled_job_id order by r.at, r.id
            ) as streak
        from runs as r
        where r.status <> 'skipped'
    ), in_a_row as (
        select
            c.*, count(*) filter (where c.status = 'failed') over (
                partition by c.scheduled_job_id, c.streak order by c.at, c.id
            ) as failures
        from counted as c
    )
    select h.at, h.scheduled_job_id, h.handler_name, h.id
    from (
        select r.at, r.scheduled_job_id, r.handler_name, r.id from runs as r
        where
            case condition
                when 'failed' then r.status = 'failed'
                when 'long_running' then r.duration_ms > threshold * 1000
                when 'late' then r.lateness_ms > threshold * 1000
                when 'missed' then
                    r.status = 'skipped' and r.reason = 'misfire' or r.lateness_ms > threshold * 1000
                else false
            end
        union all
        select i.at, i.scheduled_job_id, i.handler_name, i.id from in_a_row as i
        where condition = 'failing' and i.status = 'failed' and i.failures >= threshold
    ) as h
    order by h.at desc
    limit 10000
$$;
revoke all on function job_scheduler.past_hits(uuid, text, bigint, text, double precision, integer) from public;
grant execute on function job_scheduler.past_hits(uuid, text, bigint, text, double precision, integer)
to authenticated, service_role;

-- How often a rule would have fired in the last days: {alerts, occurrences, first_at, last_at, by_day: [{day, alerts,
-- occurrences}], days, more, replayable}. Occurrences of one subject that the cool-down or less lies between are one alert.
-- `rule` has the columns of a row of job_alert_rules, saved or not. What waited, and whether there was a listener, is in no
-- ledger: backlog and no_listener are not replayable.
create or replace function public.preview_alert_rule(rule jsonb, days integer default 7)
returns jsonb
language sql
stable
set search_path = ''
as $$
    with asked as (
        select
            coalesce(r.workspace_id, r.created_by, job_scheduler.caller(), '00000000-0000-0000-0000-000000000000') as tenant,
            r.condition, r.scheduled_job_id, r.handler, coalesce(r.cooldown_seconds, 900) as cooldown_seconds,
            coalesce(r.threshold, job_scheduler.default_threshold(r.condition))::double precision as threshold,
            least(greatest(days, 1), 90) as days
        from jsonb_to_record(rule) as r (
            workspace_id uuid, created_by uuid, condition text, scheduled_job_id bigint, handler text, threshold numeric,
            cooldown_seconds integer
        )
    ), hits as (
        select
            h.at,
            h.at - lag(h.at) over (
                partition by case when a.scheduled_job_id is null then h.handler_name end order by h.at
            ) <= make_interval(secs => a.cooldown_seconds) as is_same
        from asked as a
        cross join lateral job_scheduler.past_hits(
            a.tenant, a.condition, a.scheduled_job_id, a.handler, a.threshold, a.days
        ) as h
    ), by_day as (
        select
            date_trunc('day', h.at, 'UTC') as day, count(*) filter (where h.is_same is not true) as alerts,
            count(*) as occurrences
        from hits as h
        group by 1
    )
    select jsonb_build_object(
        'alerts', count(*) filter (where h.is_same is not true), 'occurrences', count(*), 'first_at', min(h.at),
        'last_at', max(h.at), 'more', count(*) >= 10000, 'days', (select a.days from asked as a),
        'replayable', (select coalesce(a.condition not in ('backlog', 'no_listener'), false) from asked as a),
        'by_day', (
            select coalesce(
                jsonb_agg(jsonb_build_object('day', d.day, 'alerts', d.alerts, 'occurrences', d.occurrences) order by d.day), '[]'
            )
            from by_day as d
        )
    )
    from hits as h
$$;
revoke all on function public.preview_alert_rule(jsonb, integer) from public, anon, authenticated, service_role;
grant execute on function public.preview_alert_rule(jsonb, integer) to authenticated, service_role;

-- The triggers of alerts, in firing order as in 90_triggers.sql.

create or replace trigger t10_keep_workspace
before update on public.job_alert_channels
for each row when ((old.workspace_id, old.created_by) is distinct from (new.workspace_id, new.created_by))
execute function job_scheduler.keep_workspace();

create or replace trigger t20_admit_channel
before insert or update on public.job_alert_channels
for each row execute function job_scheduler.admit_channel();

create or replace trigger t30_take_secret
before insert or update on public.job_alert_channels
for each row when (new.secret is not null)
execute function job_scheduler.take_secret();

create or replace trigger t40_bound_channels
after insert on public.job_alert_channels
for each row when (row_security_active('public.job_alert_channels'::regclass))
execute function job_scheduler.bound_alerting('max_alert_channels');

create or replace trigger t50_ask_to_confirm
after insert on public.job_alert_channels
for each row when (new.confirmed_at is null)
execute function job_scheduler.ask_to_confirm();

create or replace trigger t50_ask_to_confirm_changed
after update of target on public.job_alert_channels
for each row when (new.confirmed_at is null and old.target is distinct from new.target)
execute function job_scheduler.ask_to_confirm();

create or replace trigger t10_keep_workspace
before update on public.job_alert_rules
for each row when ((old.workspace_id, old.created_by) is distinct from (new.workspace_id, new.created_by))
execute function job_scheduler.keep_workspace();

create or replace trigger t20_admit_rule
before insert or update on public.job_alert_rules
for each row execute function job_scheduler.admit_rule();

create or replace trigger t30_bound_rules
after insert on public.job_alert_rules
for each row when (row_security_active('public.job_alert_rules'::regclass))
execute function job_scheduler.bound_alerting('max_alert_rules');

create or replace trigger t10_settle_alert
before update of status on public.job_alerts
for each row when (
    old.status <> new.status and (
        coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
        or current_user in ('authenticated', 'service_role')
    )
)
execute function job_scheduler.settle_alert();
$file$;
    left_alone constant text := null;
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090560') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090560', 'add_alerts', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
