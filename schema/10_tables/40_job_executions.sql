-- The ledger: the outcome of each due instant.

create table if not exists public.job_executions (
    -- A UUID of version 7: in the order of time, so that new rows share pages of the index. By random ones a run of a long ledger
    -- wrote 5 kB more WAL and cost half as much again. Its bits need not be secret: with those of gen_random_uuid() or uuidv7()
    -- it cost a third of the row.
    id uuid primary key default (
        lpad(to_hex((date_part('epoch', clock_timestamp()) * 1000)::bigint), 12, '0')
        || to_hex(28672 + (random() * 4095)::integer) -- 7000 to 7fff
        || to_hex('-9223372036854775808'::bigint + (random() * 4611686018427387000)::bigint) -- 8000… to bfff…
    )::uuid,
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
    -- columns that only the service reads
    run_at timestamptz default now(),
    lease_expires_at timestamptz,
    fence integer not null default 1,
    stopped_at timestamptz,
    blocked_since timestamptz,
    unique (scheduled_job_id, scheduled_for, cause, attempt)
);

comment on table public.job_executions is
    'The ledger: every due instant ends in one final row, also when nothing ran; reason says why.';
comment on column public.job_executions.run_at is
    'When a queued run may start: its due instant or the time of its retry; null while its key is taken.';
comment on column public.job_executions.fence is
    'Which claim of this run is the present one: it grows when a run that waited is claimed, and when one is taken over.';
comment on column public.job_executions.stopped_at is
    'When the job was cancelled while this ran: how it ends says nothing of the job any more.';
comment on column public.job_executions.blocked_since is
    'From when a run that found its key taken could have started; null again once it starts.';
comment on column public.job_executions.lease_expires_at is 'The end of the claim of listener_id unless it is extended.';

-- Not "where status = 'running'": the ends of runs would be looked up through it, past the dead entries of all others.
-- It begins with the job, so that a job's other running runs are found without reading its whole ledger.
create index if not exists job_executions_lease_idx
on public.job_executions (scheduled_job_id, lease_expires_at) where lease_expires_at is not null;
create index if not exists job_executions_running_idx
on public.job_executions (created_by, workspace_id) where lease_expires_at is not null and created_by is not null;
create index if not exists job_executions_manual_idx
on public.job_executions (coalesce(workspace_id, created_by), scheduled_for)
where cause = 'manual' and coalesce(workspace_id, created_by) is not null;
create index if not exists job_executions_manual_user_idx
on public.job_executions (created_by, scheduled_for)
where cause = 'manual' and created_by is not null and workspace_id is not null;
create index if not exists job_executions_queued_idx
on public.job_executions (scheduled_job_id, run_at) where status = 'queued';
create index if not exists job_executions_blocked_idx
on public.job_executions (scheduled_for) where status = 'queued' and run_at is null;
create index if not exists job_executions_given_key_idx
on public.job_executions (run_at) where status = 'queued' and blocked_since is not null and run_at is not null;
create index if not exists job_executions_created_by_idx
on public.job_executions (created_by, scheduled_for desc, id desc) where created_by is not null and workspace_id is null;
create index if not exists job_executions_workspace_id_idx
on public.job_executions (workspace_id, scheduled_for desc, id desc) where workspace_id is not null;

-- Projects made before new tables lost their default grants would otherwise leave it open to anon.
revoke all on table public.job_executions from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.job_executions to service_role;
grant select on table public.job_executions to authenticated;
grant insert (scheduled_job_id, test_mode) on table public.job_executions to authenticated; -- run_job_now writes these

alter table public.job_executions enable row level security;

drop policy if exists job_executions_select on public.job_executions;
create policy job_executions_select on public.job_executions
for select to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
);

-- A trigger has by now copied the owner of the job, so a run of somebody else's job is refused here.
drop policy if exists job_executions_insert on public.job_executions;
create policy job_executions_insert on public.job_executions
for insert to authenticated
with check (
    cause = 'manual' and status = 'queued' and (
        (created_by = (select job_scheduler.caller()) and workspace_id is null)
        or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
    )
);
