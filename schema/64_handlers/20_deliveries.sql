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
