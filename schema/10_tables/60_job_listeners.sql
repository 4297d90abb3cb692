create table if not exists public.job_listeners (
    id uuid primary key,
    name text not null,
    started_at timestamptz not null default now(),
    heartbeat_at timestamptz not null default now(),
    handlers text[] not null default '{}',
    version text,
    capacity integer,
    lease_seconds double precision not null default 30,
    receives_notify boolean not null default false
);

comment on table public.job_listeners is 'The listeners that are alive; each shares the due jobs with the others.';
comment on column public.job_listeners.handlers is 'The names of its handlers; it claims only jobs that have one of them.';
comment on column public.job_listeners.capacity is 'How many runs it may have at a time.';
comment on column public.job_listeners.lease_seconds is 'It sends three heartbeats in that time; without any it is not alive.';
comment on column public.job_listeners.receives_notify is 'Whether it received NOTIFY at its last heartbeat: see spare_realtime.';

-- Projects made before new tables lost their default grants would otherwise leave it open to anon.
revoke all on table public.job_listeners from public, anon, authenticated, service_role;
grant select on table public.job_listeners to service_role;

alter table public.job_listeners enable row level security;
