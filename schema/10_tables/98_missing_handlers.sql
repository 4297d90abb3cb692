create table if not exists job_scheduler.missing_handlers (
    name text primary key,
    since timestamptz not null default now(),
    seen_at timestamptz not null default now()
);

comment on table job_scheduler.missing_handlers is 'The handlers of due jobs that no live listener has.';
comment on column job_scheduler.missing_handlers.since is 'From when on every look at the live listeners found none that has it.';

alter table job_scheduler.missing_handlers enable row level security;
