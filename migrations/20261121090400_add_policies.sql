-- Who sees and writes what: a signed-in user their own private rows and those of their workspaces (viewers only see),
-- anon nothing, service_role everything (it bypasses RLS).
--
-- A policy must never raise: Realtime evaluates the policies of all subscribers of a table, and one that raises
-- silences every one of them. So nothing here casts a claim without having looked at its shape.

-- Projects made before new tables lost their default grants would otherwise leave them open to anon.
revoke all on table
public.scheduled_jobs, public.job_executions, public.job_execution_logs, public.job_listeners
from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.scheduled_jobs to authenticated, service_role;
grant select, insert, update, delete on table public.job_executions to service_role;
grant select on table public.job_executions to authenticated;
grant insert (scheduled_job_id, test_mode) on table public.job_executions to authenticated; -- what run_job_now writes
grant select on table public.job_execution_logs to authenticated;
grant select, insert, delete on table public.job_execution_logs to service_role;
grant select on table public.job_listeners to service_role;

alter table public.scheduled_jobs enable row level security;
alter table public.job_executions enable row level security;
alter table public.job_execution_logs enable row level security;
alter table public.job_listeners enable row level security;

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

-- The policy of job_executions holds inside of the subquery.
drop policy if exists job_execution_logs_select on public.job_execution_logs;
create policy job_execution_logs_select on public.job_execution_logs
for select to authenticated
using (
    exists (
        select 1 from public.job_executions as run
        where run.id = job_execution_logs.execution_id
    )
);

-- Refuses to move a row to another workspace: Realtime does not check the old row, so its readers would leak.
create or replace function job_scheduler.keep_workspace()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception '%.workspace_id is settled when the row is created; it cannot be changed', tg_table_name
    using errcode = '42501', hint = 'Insert a new row into the other workspace and delete this one.';
end
$$;
revoke all on function job_scheduler.keep_workspace() from public;

create or replace trigger a_keep_workspace
before update on public.scheduled_jobs
for each row when (old.workspace_id is distinct from new.workspace_id)
execute function job_scheduler.keep_workspace();

-- Refuses to give a row to somebody else: in a workspace, the policies alone would let any editor do it.
create or replace function job_scheduler.keep_owner()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception '%.created_by is settled when the row is created; it cannot be changed', tg_table_name
    using errcode = '42501';
end
$$;
revoke all on function job_scheduler.keep_owner() from public;
