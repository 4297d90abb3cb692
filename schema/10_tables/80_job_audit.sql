create table if not exists public.job_audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    scheduled_job_id bigint not null, -- no reference: the entry outlives its job
    job_id text,
    workspace_id uuid,
    created_by uuid,
    actor uuid,
    role text not null,
    action text not null
    check (action in ('insert', 'update', 'cancel', 'pause', 'resume', 'retry', 'run_now', 'delete')),
    changes jsonb not null default '{}'
);

comment on table public.job_audit is
    'Who did what to a job; append only. Readable as the job is, also when that is gone.';
comment on column public.job_audit.actor is 'The signed-in user of the change; null for the service key and for SQL.';
comment on column public.job_audit.role is 'The role of the API, else that of the database connection.';
comment on column public.job_audit.changes is 'The columns that changed, each with [old, new]; a long value as its size.';

create index if not exists job_audit_job_idx on public.job_audit (scheduled_job_id, id);
create index if not exists job_audit_created_by_idx on public.job_audit (created_by) where created_by is not null;
create index if not exists job_audit_workspace_id_idx on public.job_audit (workspace_id) where workspace_id is not null;
create index if not exists job_audit_at_idx on public.job_audit using brin (at) with (autosummarize = on);

revoke all on table public.job_audit from public, anon, authenticated, service_role;
grant select on table public.job_audit to authenticated, service_role;

alter table public.job_audit enable row level security;

drop policy if exists job_audit_select on public.job_audit;
create policy job_audit_select on public.job_audit
for select to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
);
