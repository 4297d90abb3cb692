-- One row is one job: columns that clients write, columns that the service writes, and columns that only it reads.

-- Whether a text has the form of a W3C trace context. A bounded repetition in the expression would cost ten times as much.
create or replace function job_scheduler.is_trace(text)
returns boolean
language plpgsql
immutable
strict
set search_path = ''
as $$
begin
    return $1 like '__-________________________________-________________-__' and $1 ~ '^[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$';
end
$$;

-- The trace context of the request's header; null where it is malformed. The column's default calls it only where there is one.
create or replace function job_scheduler.sent_trace()
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
    sent constant text := current_setting('request.headers', true)::json ->> 'traceparent';
begin
    return case when job_scheduler.is_trace(sent) then sent end;
end
$$;
revoke all on function job_scheduler.is_trace(text), job_scheduler.sent_trace() from public;
grant execute on function
job_scheduler.is_trace(text), job_scheduler.sent_trace()
to authenticated, service_role; -- their inserts call them

create table if not exists public.scheduled_jobs (
    id bigint generated always as identity primary key,
    -- columns that clients write
    job_id text not null default ( -- as the id of job_executions
        lpad(to_hex((date_part('epoch', clock_timestamp()) * 1000)::bigint), 12, '0')
        || to_hex(28672 + (random() * 4095)::integer) -- 7000 to 7fff
        || to_hex('-9223372036854775808'::bigint + (random() * 4611686018427387000)::bigint) -- 8000… to bfff…
    )::uuid::text,
    workspace_id uuid,
    name text,
    description text,
    handler text not null,
    job_type text,
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
    test_mode boolean not null default false,
    concurrency_key text,
    cleanup_after_days numeric check (cleanup_after_days between 0.00001 and 36500),
    store_result boolean not null default true,
    traceparent text default case
        when strpos(current_setting('request.headers', true), '"traceparent"') > 0 then job_scheduler.sent_trace()
    end,
    -- columns that the service writes
    source text,
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
    progress double precision check (progress between 0 and 1),
    step text,
    claimed_by uuid,
    lease_expires_at timestamptz,
    revision bigint not null default 0,
    changed_in bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- columns that only the service reads
    due_at timestamptz,
    is_planned boolean not null default false,
    defined_at timestamptz not null default now(),
    queued_runs integer not null default 0,
    scheduled_runs bigint not null default 0,
    exposed_only boolean not null default false
) with (fillfactor = 70); -- free space for the end of a run beside its start, so that no index is updated

comment on table public.scheduled_jobs is 'One row is one job: insert it, it runs on time, watch its status.';
comment on column public.scheduled_jobs.next_run_at is
    'When the service next acts on the job: the earlier of its next due instant and its earliest queued run.';
comment on column public.scheduled_jobs.cleanup_after_days is
    'How long the job''s ledger, and the job itself once it ended, are kept; null: as long as the listener''s setting says.';
comment on column public.scheduled_jobs.job_type is
    'The kind of job, for people and programs; null: the one with the name of the handler. The service does not read it.';
comment on column public.scheduled_jobs.progress is
    'How far the present or the last run is or was, from 0 to 1: what its handler reported, 1 once it completed.';
comment on column public.scheduled_jobs.step is
    'What the present or the last run was at: the message that its handler last reported with its progress while it ran.';
comment on column public.scheduled_jobs.store_result is
    'Whether what the handler returns is kept, here and in the ledger; false: a run says that it completed, and no more.';
comment on column public.scheduled_jobs.test_mode is
    'Whether the runs of its schedule rehearse: the handler reports what it would do. Manual runs say so themselves.';
comment on column public.scheduled_jobs.traceparent is
    'The W3C trace context in which the job was made, of the request''s header unless it is written: its runs belong to it.';
comment on column public.scheduled_jobs.revision is
    'Grows with each change of what the job is: at least to the transaction of it, and beyond what it was.';
comment on column public.scheduled_jobs.changed_in is
    'The transaction (xid8) of the last change of what the job is; the service polls by it.';
comment on column public.scheduled_jobs.due_at is
    'The next due instant of the schedule; null when none is to come, and until the service has planned it.';
comment on column public.scheduled_jobs.is_planned is 'Whether due_at is known: without an instant, that none is to come.';
comment on column public.scheduled_jobs.defined_at is
    'When the schedule was last written or resumed; due instants before it belong to nobody.';
comment on column public.scheduled_jobs.queued_runs is 'How many runs of the job wait in the ledger.';
comment on column public.scheduled_jobs.source is
'The source whose row the job follows (job_scheduler.add_source); null for all other jobs.';
comment on column public.scheduled_jobs.exposed_only is
'Whether a signed-in user wrote the handler or its payload, so that it may only run a handler that is exposed.';
comment on column public.scheduled_jobs.scheduled_runs is
    'How many of total_runs the schedule asked for; only these use up max_runs.';

-- A job's key is its own within its workspace, or within its owner's private rows.
create unique index if not exists scheduled_jobs_job_id_key
on public.scheduled_jobs (coalesce(workspace_id, created_by), job_id) nulls not distinct;
create index if not exists scheduled_jobs_next_run_at_idx
on public.scheduled_jobs (next_run_at, id) where next_run_at is not null;

-- Finds the handlers of due jobs, a step for each: see job_scheduler.missing_handlers.
create index if not exists scheduled_jobs_handler_idx
on public.scheduled_jobs (handler, next_run_at) where next_run_at is not null;

-- No index mentions status: the end of a run changes it.
create index if not exists scheduled_jobs_unplanned_idx
on public.scheduled_jobs (id) where not is_planned;
create index if not exists scheduled_jobs_changed_in_idx on public.scheduled_jobs (changed_in, id);

-- Each party's jobs when more are near than a listener holds in memory, see job_scheduler.shared_out; of due jobs the most
-- urgent goes first.
create index if not exists scheduled_jobs_party_idx
on public.scheduled_jobs (coalesce(created_by, workspace_id, '00000000-0000-0000-0000-000000000000'), next_run_at, id)
where next_run_at is not null;
create index if not exists scheduled_jobs_urgent_idx
on public.scheduled_jobs (
    coalesce(created_by, workspace_id, '00000000-0000-0000-0000-000000000000'), priority desc, next_run_at, id
) where priority <> 0 and next_run_at is not null;
create index if not exists scheduled_jobs_concurrency_key_idx
on public.scheduled_jobs (concurrency_key) where concurrency_key is not null;
create index if not exists scheduled_jobs_cleanup_idx
on public.scheduled_jobs (cleanup_after_days) where cleanup_after_days is not null;
create index if not exists scheduled_jobs_created_by_idx
on public.scheduled_jobs (created_by, id) where created_by is not null;
create index if not exists scheduled_jobs_workspace_id_idx
on public.scheduled_jobs (workspace_id, id) where workspace_id is not null;

-- Jobs that a tenant's quota counts at each insert, except for jobs whose last run is under way; and what a tenant has due.
create index if not exists scheduled_jobs_active_idx
on public.scheduled_jobs (coalesce(workspace_id, created_by), next_run_at)
where
    coalesce(workspace_id, created_by) is not null
    and (next_run_at is not null or queued_runs > 0 or due_at is not null or not is_planned);

-- The same of a user in workspaces; a workspace without bounds of its own has those of its users.
create index if not exists scheduled_jobs_active_user_idx
on public.scheduled_jobs (created_by)
where
    created_by is not null and workspace_id is not null
    and (next_run_at is not null or queued_runs > 0 or due_at is not null or not is_planned);

alter table public.scheduled_jobs replica identity full;

-- Projects made before new tables lost their default grants would otherwise leave it open to anon.
revoke all on table public.scheduled_jobs from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.scheduled_jobs to authenticated, service_role;

alter table public.scheduled_jobs enable row level security;

drop policy if exists scheduled_jobs_select on public.scheduled_jobs;
create policy scheduled_jobs_select on public.scheduled_jobs
for select to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
);

drop policy if exists scheduled_jobs_insert on public.scheduled_jobs;
create policy scheduled_jobs_insert on public.scheduled_jobs
for insert to authenticated
with check (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
);

drop policy if exists scheduled_jobs_update on public.scheduled_jobs;
create policy scheduled_jobs_update on public.scheduled_jobs
for update to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
)
with check (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
);

drop policy if exists scheduled_jobs_delete on public.scheduled_jobs;
create policy scheduled_jobs_delete on public.scheduled_jobs
for delete to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
);

-- Finds the job of a row, also when the row and with it the owner is gone.
create index if not exists scheduled_jobs_source_idx
on public.scheduled_jobs (source, job_id) where source is not null;

-- Every client watches its jobs through Realtime; adding the table twice is no error.
do $$
begin
    if not exists (
        select from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'scheduled_jobs'
    ) then
        alter publication supabase_realtime add table public.scheduled_jobs;
    end if;
end
$$;
