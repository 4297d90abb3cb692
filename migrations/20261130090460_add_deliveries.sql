do $migration$
declare
    body constant text := $file$
create table if not exists public.job_notifications (
    id bigint generated always as identity primary key,
    recipient_id uuid not null, -- no reference: a project's users may live elsewhere
    title text,
    message text not null,
    data jsonb not null default '{}',
    created_at timestamptz not null default now(),
    read_at timestamptz,
    scheduled_job_id bigint, -- no reference: the notification outlives its job
    idempotency_key text unique
);

comment on table public.job_notifications is
    'Messages of the handler notification; each recipient watches theirs in Realtime, marks them as read, and may delete them.';
comment on column public.job_notifications.idempotency_key is 'Of the run that made it: another attempt makes no second one.';

create index if not exists job_notifications_recipient_id_idx on public.job_notifications (recipient_id, id desc);
create index if not exists job_notifications_created_at_idx on public.job_notifications
using brin (created_at) with (autosummarize = on);

revoke all on table public.job_notifications from public, anon, authenticated, service_role;
grant select, delete, update (read_at) on table public.job_notifications to authenticated;
grant select, insert, update, delete on table public.job_notifications to service_role;

alter table public.job_notifications enable row level security;

drop policy if exists job_notifications_select on public.job_notifications;
create policy job_notifications_select on public.job_notifications
for select to authenticated
using (recipient_id = (select job_scheduler.caller()));
drop policy if exists job_notifications_update on public.job_notifications;
create policy job_notifications_update on public.job_notifications
for update to authenticated
using (recipient_id = (select job_scheduler.caller()))
with check (recipient_id = (select job_scheduler.caller()));
drop policy if exists job_notifications_delete on public.job_notifications;
create policy job_notifications_delete on public.job_notifications
for delete to authenticated
using (recipient_id = (select job_scheduler.caller()));

do $$
begin
    if not exists (
        select from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'job_notifications'
    ) then
        alter publication supabase_realtime add table public.job_notifications;
    end if;
end
$$;

-- Messages that attempts at a due instant have sent already, so that the next attempt does not send them again.
create table if not exists job_scheduler.deliveries (
    idempotency_key text not null,
    part text not null,
    receipt jsonb not null,
    sent_at timestamptz not null default now(),
    primary key (idempotency_key, part)
);

comment on table job_scheduler.deliveries is 'What runs have sent: an e-mail, a text message; another attempt looks here first.';

create index if not exists deliveries_sent_at_idx on job_scheduler.deliveries using brin (sent_at) with (autosummarize = on);

alter table job_scheduler.deliveries enable row level security;

-- Stores what a part of a run has sent, if a receipt is given, and answers what is stored, or null.
-- {idempotency_key, part, receipt?} -> {receipt}
create or replace function public.delivery_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    stored jsonb;
begin
    if request ? 'receipt' then
        insert into job_scheduler.deliveries (idempotency_key, part, receipt)
        values (request ->> 'idempotency_key', request ->> 'part', request -> 'receipt')
        on conflict do nothing;
    end if;
    select d.receipt into stored from job_scheduler.deliveries as d
    where d.idempotency_key = request ->> 'idempotency_key' and d.part = request ->> 'part';
    return json_build_object('receipt', stored);
end
$$;
revoke all on function public.delivery_v1(jsonb) from public, anon, authenticated;
grant execute on function public.delivery_v1(jsonb) to service_role;

-- Deletes old notifications and deliveries, at most so many of each; answers how many.
create or replace function job_scheduler.clean_deliveries(most integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
    notifications integer;
    deliveries integer;
begin
    delete from public.job_notifications
    where id = any(array(
        select n.id from public.job_notifications as n where n.created_at < now() - interval '90 days'
        limit most for update skip locked
    ));
    get diagnostics notifications = row_count;
    delete from job_scheduler.deliveries as d
    where d.ctid = any(array(
        select o.ctid from job_scheduler.deliveries as o where o.sent_at < now() - interval '30 days'
        limit most for update skip locked
    ));
    get diagnostics deliveries = row_count;
    return notifications + deliveries;
end
$$;
revoke all on function job_scheduler.clean_deliveries(integer) from public;

-- Sends a message to a queue of Supabase Queues (the extension pgmq), where that is installed. Versions of pgmq that keep headers
-- get the run's idempotency key there, by which the reader of the queue recognises a repetition.
-- {queue, message, delay_seconds, idempotency_key} -> {message_id}
create or replace function public.send_queue_message_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    message_id bigint;
begin
    if to_regprocedure('pgmq.send(text, jsonb, integer)') is null then
        raise exception 'handler: queue_message needs Supabase Queues, and this database has no function pgmq.send(text, jsonb, integer)'
        using errcode = '0A000', hint = 'Enable Queues in the dashboard under Integrations, or: create extension pgmq;';
    elsif not exists (select from pg_catalog.pg_tables where schemaname = 'pgmq' and tablename = 'q_' || lower(request ->> 'queue')) then
        raise exception 'metadata.queue: there is no queue %', quote_nullable(request ->> 'queue')
        using errcode = '22023', hint = 'Create it: select pgmq.create(''its_name'');';
    end if;
    if to_regprocedure('pgmq.send(text, jsonb, jsonb, integer)') is not null then
        execute 'select pgmq.send($1, $2, $3, $4)' into message_id
        using
            request ->> 'queue', request -> 'message', jsonb_build_object('idempotency_key', request ->> 'idempotency_key'),
            (request ->> 'delay_seconds')::integer;
    else
        execute 'select pgmq.send($1, $2, $3)' into message_id
        using request ->> 'queue', request -> 'message', (request ->> 'delay_seconds')::integer;
    end if;
    return json_build_object('message_id', message_id);
end
$$;
revoke all on function public.send_queue_message_v1(jsonb) from public, anon, authenticated;
grant execute on function public.send_queue_message_v1(jsonb) to service_role;
$file$;
    left_alone constant text := null;
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090460') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090460', 'add_deliveries', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
