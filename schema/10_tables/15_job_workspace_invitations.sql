-- Invitations into workspaces that are not answered: a table apart, so that nothing that reads the members sees them.

create table if not exists public.job_workspace_invitations (
    workspace_id uuid not null references public.job_workspaces (id) on delete cascade,
    user_id uuid not null,
    role text not null default 'viewer' check (role in ('viewer', 'editor', 'admin')),
    workspace_name text,
    invited_by uuid default job_scheduler.caller(),
    created_at timestamptz not null default now(),
    primary key (workspace_id, user_id)
);

comment on table public.job_workspace_invitations is
    'Who may become a member of a workspace by accepting; declining, accepting and taking it back delete the row.';
comment on column public.job_workspace_invitations.workspace_name is
    'The name when the invitation was written: the invited user cannot see the workspace.';

create index if not exists job_workspace_invitations_user_id_idx on public.job_workspace_invitations (user_id);

revoke all on table public.job_workspace_invitations from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.job_workspace_invitations to service_role;
grant select, delete on table public.job_workspace_invitations to authenticated;
grant insert (workspace_id, user_id, role) on table public.job_workspace_invitations to authenticated;

alter table public.job_workspace_invitations enable row level security;

drop policy if exists workspace_invitations_select on public.job_workspace_invitations;
create policy workspace_invitations_select on public.job_workspace_invitations
for select to authenticated
using (
    user_id = (select job_scheduler.caller())
    or workspace_id = any((select job_scheduler.administered_workspaces())::uuid[])
);

-- `user_id` refers to nothing, so that the answer does not reveal whether there is such a user.
drop policy if exists workspace_invitations_insert on public.job_workspace_invitations;
create policy workspace_invitations_insert on public.job_workspace_invitations
for insert to authenticated
with check (workspace_id = any((select job_scheduler.administered_workspaces())::uuid[]));

drop policy if exists workspace_invitations_delete on public.job_workspace_invitations;
create policy workspace_invitations_delete on public.job_workspace_invitations
for delete to authenticated
using (
    user_id = (select job_scheduler.caller())
    or workspace_id = any((select job_scheduler.administered_workspaces())::uuid[])
);
