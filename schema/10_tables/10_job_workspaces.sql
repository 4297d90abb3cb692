create table if not exists public.job_workspaces (
    id uuid primary key default gen_random_uuid(),
    name text not null check (char_length(btrim(name)) between 1 and 200),
    settings jsonb not null default '{}',
    created_by uuid default job_scheduler.caller(),
    created_at timestamptz not null default now()
);

comment on table public.job_workspaces is 'A tenant: its members see and write the same jobs and meetings.';
comment on column public.job_workspaces.settings is
    'Quotas and what else the operator says of the workspace; written with the service key only.';

create index if not exists job_workspaces_created_by_idx on public.job_workspaces (created_by) where created_by is not null;

revoke all on table public.job_workspaces from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.job_workspaces to service_role;
grant select, delete on table public.job_workspaces to authenticated;

-- Not the id: a workspace with the id of a user would share the keys of that user's private jobs. Not the settings:
-- they hold the quotas.
grant insert (name), update (name) on table public.job_workspaces to authenticated;

alter table public.job_workspaces enable row level security;

-- A trigger makes the creator an admin after the statement, which may have to return the row before that.
drop policy if exists workspaces_select on public.job_workspaces;
create policy workspaces_select on public.job_workspaces
for select to authenticated
using (
    id = any((select job_scheduler.readable_workspaces())::uuid[])
    or (created_by = (select job_scheduler.caller()) and created_at = now())
);

drop policy if exists workspaces_insert on public.job_workspaces;
create policy workspaces_insert on public.job_workspaces
for insert to authenticated
with check (created_by = (select job_scheduler.caller()));

drop policy if exists workspaces_update on public.job_workspaces;
create policy workspaces_update on public.job_workspaces
for update to authenticated
using (id = any((select job_scheduler.administered_workspaces())::uuid[]))
with check (id = any((select job_scheduler.administered_workspaces())::uuid[]));

drop policy if exists workspaces_delete on public.job_workspaces;
create policy workspaces_delete on public.job_workspaces
for delete to authenticated
using (id = any((select job_scheduler.administered_workspaces())::uuid[]));
