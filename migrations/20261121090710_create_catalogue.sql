-- The catalogue of handlers: what the listeners can run, and which of it a signed-in user may schedule.

create table if not exists public.job_handlers (
    name text primary key,
    description text not null default '',
    payload_schema jsonb not null default '{}',
    exposed boolean not null default false,
    updated_at timestamptz not null default now()
);

comment on table public.job_handlers is
    'The handlers that listeners have; each publishes its own at its start and from time to time.';
comment on column public.job_handlers.payload_schema is 'The JSON schema of scheduled_jobs.metadata for this handler.';
comment on column public.job_handlers.exposed is
    'Whether signed-in users may schedule it; a handler acts with the powers of the service, so it must say so itself.';
comment on column public.job_handlers.updated_at is
    'When a listener last published it; seven days later it is forgotten.';

revoke all on table public.job_handlers from public, anon, authenticated, service_role;
grant select on table public.job_handlers to authenticated, service_role;
alter table public.job_handlers enable row level security;

drop policy if exists job_handlers_select on public.job_handlers;
create policy job_handlers_select on public.job_handlers
for select to authenticated
using ((select job_scheduler.caller()) is not null);

-- Enters what a listener can run, and forgets what no listener has published for a week.
-- {listener, handlers: [{name, description, payload_schema, exposed}]} -> {now, published}
create or replace function public.publish_handlers_v1(request jsonb)
returns json
language plpgsql
security definer -- the catalogue decides what users may schedule, so it is nobody's to write
set search_path = ''
as $$
declare
    published integer;
begin
    insert into public.job_handlers as h (name, description, payload_schema, exposed)
    select distinct on (p.name)
        p.name, coalesce(p.description, ''), coalesce(p.payload_schema, '{}'), coalesce(p.exposed, false)
    from jsonb_to_recordset(request -> 'handlers')
        as p (name text, description text, payload_schema jsonb, exposed boolean)
    order by p.name -- two listeners that start together take the rows in the same order
    on conflict (name) do update
    set
        description = excluded.description, payload_schema = excluded.payload_schema, exposed = excluded.exposed,
        updated_at = now();
    get diagnostics published = row_count;
    delete from public.job_handlers where updated_at < now() - interval '7 days';
    return json_build_object('now', clock_timestamp(), 'published', published);
end
$$;
revoke all on function public.publish_handlers_v1(jsonb) from public, anon, authenticated;
grant execute on function public.publish_handlers_v1(jsonb) to service_role;
