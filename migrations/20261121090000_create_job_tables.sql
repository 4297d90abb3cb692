-- One row of scheduled_jobs is one job; job_executions is the ledger of what became of each due instant.

create schema if not exists job_scheduler;
comment on schema job_scheduler is 'Internals of the job scheduler; not exposed through the API.';
revoke all on schema job_scheduler from public;

create table if not exists public.scheduled_jobs (
    id bigint generated always as identity primary key,
    -- what a client writes
    job_id text not null default gen_random_uuid()::text,
    workspace_id uuid,
    name text,
    description text,
    handler text not null,
    metadata jsonb not null default '{}',
    trigger_type text not null default 'once',
    run_date timestamptz not null default now(),
    schedule jsonb not null default '{}',
    timezone text not null default 'UTC',
    ends_at timestamptz,
    max_runs integer,
    status text not null default 'scheduled',
    max_attempts integer not null default 4,
    retry_delay_seconds numeric not null default 5,
    retry_backoff numeric not null default 2.0,
    timeout_seconds numeric not null default 300,
    priority smallint not null default 0,
    overlap text not null default 'skip',
    misfire text not null default 'run_once',
    misfire_grace_seconds integer not null default 60,
    dst_gap text not null default 'run_after',
    dst_fold text not null default 'first',
    concurrency_key text,
    cleanup_after_days numeric check (cleanup_after_days between 0.00001 and 36500),
    store_result boolean not null default true,
    -- what the service writes
    created_by uuid default auth.uid(),
    next_run_at timestamptz,
    attempt integer not null default 0,
    last_run_at timestamptz,
    last_run_status text,
    last_run_duration_ms double precision,
    total_runs bigint not null default 0,
    successful_runs bigint not null default 0,
    failed_runs bigint not null default 0,
    result jsonb,
    error text,
    claimed_by uuid,
    lease_expires_at timestamptz,
    revision bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- what only the service reads
    due_at timestamptz,
    defined_at timestamptz not null default now(),
    queued_runs integer not null default 0,
    scheduled_runs bigint not null default 0,
    exposed_only boolean not null default false
) with (fillfactor = 70); -- room for the end of a run to be written beside its start, without touching an index

comment on table public.scheduled_jobs is 'One row is one job: insert it, it runs on time, watch its status.';
comment on column public.scheduled_jobs.next_run_at is
    'When the service next acts on the job: the earlier of its next due instant and its earliest queued run.';
comment on column public.scheduled_jobs.cleanup_after_days is
    'How long the job''s ledger, and the job itself once it ended, are kept; null: as long as the listener''s setting says.';
comment on column public.scheduled_jobs.store_result is
    'Whether what the handler returns is kept, here and in the ledger; false: a run says that it completed, and no more.';
comment on column public.scheduled_jobs.revision is
    'The transaction (xid8) of the last change of what the job is; the service polls by it.';
comment on column public.scheduled_jobs.due_at is
    'The next due instant of the schedule; null until the service has planned it, 9999-01-01 when none is to come.';
comment on column public.scheduled_jobs.defined_at is
    'When the schedule was last written or resumed; due instants before it belong to nobody.';
comment on column public.scheduled_jobs.queued_runs is 'How many runs of the job wait in the ledger.';
comment on column public.scheduled_jobs.exposed_only is
'Whether a signed-in user wrote the handler or its payload, so that it may only run a handler that is exposed.';
comment on column public.scheduled_jobs.scheduled_runs is
    'How many of total_runs the schedule asked for; only these use up max_runs.';

-- A job's key is its own within its workspace, or within its owner's private rows.
create unique index if not exists scheduled_jobs_job_id_key
on public.scheduled_jobs (coalesce(workspace_id, created_by), job_id) nulls not distinct;
create index if not exists scheduled_jobs_next_run_at_idx
on public.scheduled_jobs (next_run_at, id) where next_run_at is not null;
-- No index mentions status: the end of a run changes it.
create index if not exists scheduled_jobs_unplanned_idx
on public.scheduled_jobs (id) where due_at is null;
create index if not exists scheduled_jobs_revision_idx on public.scheduled_jobs (revision, id);
-- What goes first when more is overdue than a listener keeps in memory.
create index if not exists scheduled_jobs_urgent_idx
on public.scheduled_jobs (priority desc, next_run_at, id) where priority > 0 and next_run_at is not null;
create index if not exists scheduled_jobs_concurrency_key_idx
on public.scheduled_jobs (concurrency_key) where concurrency_key is not null;
create index if not exists scheduled_jobs_cleanup_idx
on public.scheduled_jobs (cleanup_after_days) where cleanup_after_days is not null;
create index if not exists scheduled_jobs_created_by_idx
on public.scheduled_jobs (created_by) where created_by is not null;
create index if not exists scheduled_jobs_workspace_id_idx
on public.scheduled_jobs (workspace_id) where workspace_id is not null;
-- What a tenant's quota counts at each insert, except for jobs whose last run is under way.
create index if not exists scheduled_jobs_active_idx
on public.scheduled_jobs (coalesce(workspace_id, created_by))
where
    coalesce(workspace_id, created_by) is not null
    and (next_run_at is not null or queued_runs > 0 or due_at is distinct from '9999-01-01Z');

create table if not exists public.job_executions (
    id uuid primary key default gen_random_uuid(),
    scheduled_job_id bigint not null references public.scheduled_jobs (id) on delete cascade,
    workspace_id uuid,
    created_by uuid,
    scheduled_for timestamptz not null default now(),
    cause text not null default 'manual' check (cause in ('schedule', 'manual')),
    attempt integer not null default 1,
    status text not null default 'queued'
    check (status in ('queued', 'running', 'completed', 'failed', 'cancelled', 'skipped')),
    reason text,
    test_mode boolean not null default false,
    started_at timestamptz,
    completed_at timestamptz,
    duration_ms double precision,
    lateness_ms double precision,
    progress double precision check (progress between 0 and 1),
    result jsonb,
    error text,
    error_details jsonb,
    listener_id uuid,
    -- what only the service reads
    run_at timestamptz not null default now(),
    lease_expires_at timestamptz,
    fence integer not null default 1,
    stopped_at timestamptz,
    blocked_since timestamptz,
    unique (scheduled_job_id, scheduled_for, cause, attempt)
);

comment on table public.job_executions is
    'The ledger: every due instant ends in one final row, also when nothing ran; reason says why.';
comment on column public.job_executions.run_at is
    'When a queued run may start: its due instant, the time of its retry, or 9999-01-01 while its key is taken.';
comment on column public.job_executions.fence is
    'Which claim of this run is the present one: it grows when a run that waited is claimed, and when one is taken over.';
comment on column public.job_executions.stopped_at is
    'When the job was cancelled while this ran: how it ends says nothing of the job any more.';
comment on column public.job_executions.blocked_since is
    'From when a run that found its key taken could have started; null again once it starts.';
comment on column public.job_executions.lease_expires_at is 'Until when the claim of listener_id is good without an extension.';

-- Not "where status = 'running'": the ends of runs would be looked up through it, past the dead entries of all others.
-- It begins with the job, so that what else runs of a job is found without reading the job's whole ledger.
create index if not exists job_executions_lease_idx
on public.job_executions (scheduled_job_id, lease_expires_at) where lease_expires_at is not null;
create index if not exists job_executions_queued_idx
on public.job_executions (scheduled_job_id, run_at) where status = 'queued';
create index if not exists job_executions_completed_at_idx
on public.job_executions using brin (completed_at) with (autosummarize = on);
create index if not exists job_executions_blocked_idx
on public.job_executions (scheduled_for) where status = 'queued' and run_at = '9999-01-01Z';
create index if not exists job_executions_given_key_idx
on public.job_executions (run_at) where status = 'queued' and blocked_since is not null and run_at < '9999-01-01Z';
create index if not exists job_executions_created_by_idx
on public.job_executions (created_by) where created_by is not null;
create index if not exists job_executions_workspace_id_idx
on public.job_executions (workspace_id) where workspace_id is not null;

create table if not exists public.job_execution_logs (
    id bigint generated always as identity primary key,
    execution_id uuid not null references public.job_executions (id) on delete cascade,
    at timestamptz not null default now(),
    level text not null default 'info',
    message text not null,
    fields jsonb not null default '{}'
);

comment on table public.job_execution_logs is 'What a handler logged during one execution; append only.';

create index if not exists job_execution_logs_execution_id_idx on public.job_execution_logs (execution_id, id);

create table if not exists public.job_listeners (
    id uuid primary key,
    name text not null,
    started_at timestamptz not null default now(),
    heartbeat_at timestamptz not null default now()
);

comment on table public.job_listeners is 'The listeners that are alive; each shares the due jobs with the others.';

-- One row for each statement that a listener should hear of, however many rows it changed: Realtime limits events per
-- second, so listening to the jobs themselves would lose events whenever many change at once.
create table if not exists job_scheduler.signals (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    message jsonb not null
);

comment on table job_scheduler.signals is 'What the listeners hear through postgres_changes; forgotten after an hour.';

-- What stops runs is read by the polls too: a doorbell may be deaf.
create index if not exists signals_stops_idx on job_scheduler.signals (((message ->> 'xid')::bigint))
where message ->> 'table' in ('cancelled_runs', 'stopped_runs', 'deleted_jobs');

alter table job_scheduler.signals enable row level security;
grant usage on schema job_scheduler to service_role;
grant select on job_scheduler.signals to service_role;

alter table public.scheduled_jobs replica identity full;

-- Every client watches its jobs through Realtime; adding the table twice is no error.
do $$
begin
    if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
    end if;
    if not exists (
        select from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'scheduled_jobs'
    ) then
        alter publication supabase_realtime add table public.scheduled_jobs;
    end if;
    if not exists (
        select from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'job_scheduler' and tablename = 'signals'
    ) then
        alter publication supabase_realtime add table job_scheduler.signals;
    end if;
end
$$;
