-- The migrations that this database has applied. Each file of migrations/ writes its own row, whatever program applies it, and
-- does nothing where it finds one: `listener migrate` and `supabase db push` continue where the other stopped.

create schema if not exists job_scheduler;
comment on schema job_scheduler is 'Internals of the job scheduler; not exposed through the API.';

create table if not exists job_scheduler.migrations (
    version text primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
);

comment on table job_scheduler.migrations is 'The migrations of the job scheduler that this database has applied.';
comment on column job_scheduler.migrations.checksum is 'SHA-256 of what the file executed, without carriage returns.';
