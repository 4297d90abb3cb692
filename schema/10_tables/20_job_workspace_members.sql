create table if not exists public.job_workspace_members (
    workspace_id uuid not null references public.job_workspaces (id) on delete cascade,
    user_id uuid not null,
    role text not null default 'viewer' check (role in ('viewer', 'editor', 'admin')),
    created_at timestamptz not null default now(),
    primary key (workspace_id, user_id)
);

comment on table public.job_workspace_members is 'Who belongs to a workspace, and as what: viewer, editor or admin.';

create index if not exists job_workspace_members_user_id_idx on public.job_workspace_members (user_id);

revoke all on table public.job_workspace_members from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.job_workspace_members to service_role;
grant select, delete on table public.job_workspace_members to authenticated;
grant insert (workspace_id, user_id, role), update (role) on table public.job_workspace_members to authenticated;

alter table public.job_workspace_members enable row level security;

drop policy if exists workspace_members_select on public.job_workspace_members;
create policy workspace_members_select on public.job_workspace_members
for select to authenticated
using (workspace_id = any((select job_scheduler.readable_workspaces())::uuid[]));

-- Nobody becomes a member without consent: users enter themselves, as what their invitation says, which that uses up.
drop policy if exists workspace_members_insert on public.job_workspace_members;
create policy workspace_members_insert on public.job_workspace_members
for insert to authenticated
with check (
    user_id = (select job_scheduler.caller())
    and exists (
        select from public.job_workspace_invitations as i
        where
            i.workspace_id = job_workspace_members.workspace_id and i.user_id = job_workspace_members.user_id
            and i.role = job_workspace_members.role
    )
);

drop policy if exists workspace_members_update on public.job_workspace_members;
create policy workspace_members_update on public.job_workspace_members
for update to authenticated
using (workspace_id = any((select job_scheduler.administered_workspaces())::uuid[]))
with check (workspace_id = any((select job_scheduler.administered_workspaces())::uuid[]));

-- Every member may also leave.
drop policy if exists workspace_members_delete on public.job_workspace_members;
create policy workspace_members_delete on public.job_workspace_members
for delete to authenticated
using (
    user_id = (select job_scheduler.caller())
    or workspace_id = any((select job_scheduler.administered_workspaces())::uuid[])
);
