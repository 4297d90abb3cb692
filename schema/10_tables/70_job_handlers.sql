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
