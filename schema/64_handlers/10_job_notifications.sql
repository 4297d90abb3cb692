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
