-- Workspaces: who belongs together, and who of them may do what. A viewer reads, an editor also writes jobs and meetings,
-- an admin also names the workspace, invites and removes members, and deletes it.

-- The caller's id, or null where the token's subject is no uuid (auth.uid() would raise for it).
create or replace function job_scheduler.caller()
returns uuid
language sql
stable
set search_path = ''
as $$
    select case
        when claims.sub ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then claims.sub::uuid
    end
    from (select auth.jwt() ->> 'sub' as sub) as claims
$$;

create table if not exists public.workspaces (
    id uuid primary key default gen_random_uuid(),
    name text not null check (char_length(btrim(name)) between 1 and 200),
    settings jsonb not null default '{}',
    created_by uuid default job_scheduler.caller(),
    created_at timestamptz not null default now()
);

comment on table public.workspaces is 'A tenant: its members see and write the same jobs and meetings.';
comment on column public.workspaces.settings is
    'Quotas and what else the operator says of the workspace; written with the service key only.';

create table if not exists public.workspace_members (
    workspace_id uuid not null references public.workspaces (id) on delete cascade,
    user_id uuid not null,
    role text not null default 'viewer' check (role in ('viewer', 'editor', 'admin')),
    created_at timestamptz not null default now(),
    primary key (workspace_id, user_id)
);

comment on table public.workspace_members is 'Who belongs to a workspace, and as what: viewer, editor or admin.';

create index if not exists workspaces_created_by_idx on public.workspaces (created_by) where created_by is not null;
create index if not exists workspace_members_user_id_idx on public.workspace_members (user_id);

-- The workspaces whose rows the caller may see. Security definer, here and below: the policy of workspace_members asks
-- it, so that it cannot be subject to that policy. A policy calls it once a statement, in a select of its own.
create or replace function job_scheduler.readable_workspaces()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
    select coalesce(array_agg(m.workspace_id), '{}')
    from public.workspace_members as m
    where m.user_id = job_scheduler.caller()
$$;

-- The workspaces whose jobs and meetings the caller may write.
create or replace function job_scheduler.writable_workspaces()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
    select coalesce(array_agg(m.workspace_id), '{}')
    from public.workspace_members as m
    where m.user_id = job_scheduler.caller() and m.role in ('editor', 'admin')
$$;

-- The workspaces whose name and members the caller may write.
create or replace function job_scheduler.administered_workspaces()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
    select coalesce(array_agg(m.workspace_id), '{}')
    from public.workspace_members as m
    where m.user_id = job_scheduler.caller() and m.role = 'admin'
$$;

revoke all on function
job_scheduler.caller(), job_scheduler.readable_workspaces(), job_scheduler.writable_workspaces(),
job_scheduler.administered_workspaces()
from public;
grant execute on function
job_scheduler.caller(), job_scheduler.readable_workspaces(), job_scheduler.writable_workspaces(),
job_scheduler.administered_workspaces()
to authenticated, service_role;

revoke all on table public.workspaces, public.workspace_members from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.workspaces, public.workspace_members to service_role;
grant select, delete on table public.workspaces, public.workspace_members to authenticated;
-- Not the id: a workspace with the id of a user would share the keys of that user's private jobs. Not the settings:
-- they hold the quotas.
grant insert (name), update (name) on table public.workspaces to authenticated;
grant insert (workspace_id, user_id, role), update (role) on table public.workspace_members to authenticated;

alter table public.workspaces enable row level security;
alter table public.workspace_members enable row level security;

-- Who creates a workspace is entered as its admin after the statement, which may have to answer the row before that.
drop policy if exists workspaces_select on public.workspaces;
create policy workspaces_select on public.workspaces
for select to authenticated
using (
    id = any((select job_scheduler.readable_workspaces())::uuid[])
    or (created_by = (select job_scheduler.caller()) and created_at = now())
);

drop policy if exists workspaces_insert on public.workspaces;
create policy workspaces_insert on public.workspaces
for insert to authenticated
with check (created_by = (select job_scheduler.caller()));

drop policy if exists workspaces_update on public.workspaces;
create policy workspaces_update on public.workspaces
for update to authenticated
using (id = any((select job_scheduler.administered_workspaces())::uuid[]))
with check (id = any((select job_scheduler.administered_workspaces())::uuid[]));

drop policy if exists workspaces_delete on public.workspaces;
create policy workspaces_delete on public.workspaces
for delete to authenticated
using (id = any((select job_scheduler.administered_workspaces())::uuid[]));

drop policy if exists workspace_members_select on public.workspace_members;
create policy workspace_members_select on public.workspace_members
for select to authenticated
using (workspace_id = any((select job_scheduler.readable_workspaces())::uuid[]));

drop policy if exists workspace_members_insert on public.workspace_members;
create policy workspace_members_insert on public.workspace_members
for insert to authenticated
with check (workspace_id = any((select job_scheduler.administered_workspaces())::uuid[]));

drop policy if exists workspace_members_update on public.workspace_members;
create policy workspace_members_update on public.workspace_members
for update to authenticated
using (workspace_id = any((select job_scheduler.administered_workspaces())::uuid[]))
with check (workspace_id = any((select job_scheduler.administered_workspaces())::uuid[]));

-- Whoever is a member may also leave.
drop policy if exists workspace_members_delete on public.workspace_members;
create policy workspace_members_delete on public.workspace_members
for delete to authenticated
using (
    user_id = (select job_scheduler.caller())
    or workspace_id = any((select job_scheduler.administered_workspaces())::uuid[])
);

insert into job_scheduler.limits (name, value, description) values
('max_workspaces', 20, 'workspaces that a signed-in user has created')
on conflict (name) do nothing;

-- A user's new workspace has that user as its admin. Their number is bounded, because quotas count by workspace.
create or replace function job_scheduler.enter_first_admin()
returns trigger
language plpgsql
security definer -- nobody is an admin who could enter the first one
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.limit_of('max_workspaces');
    used bigint;
begin
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler workspaces of ' || new.created_by, 0));
    select count(*) into used from public.workspaces as w where w.created_by = new.created_by and w.id <> new.id;
    if used >= most then
        raise exception 'quota max_workspaces: one more is not allowed; limit %, used %, left 0', most, used
        using errcode = 'PT403', hint = 'Delete a workspace that you created, or ask the operator.';
    end if;
    insert into public.workspace_members (workspace_id, user_id, role) values (new.id, new.created_by, 'admin');
    return null;
end
$$;
revoke all on function job_scheduler.enter_first_admin() from public;

create or replace trigger a_enter_first_admin
after insert on public.workspaces
for each row when (row_security_active('public.workspaces'::regclass))
execute function job_scheduler.enter_first_admin();

-- Deleting a workspace deletes what is in it; else its jobs would run on, seen by nobody.
create or replace function job_scheduler.empty_workspace()
returns trigger
language plpgsql
security definer -- the membership that let the caller delete the workspace is gone by now
set search_path = ''
as $$
declare
    actor constant text := coalesce(current_setting('job_scheduler.actor', true), '');
begin
    perform set_config('job_scheduler.actor', 'service', true); -- with the workspace goes whoever might read the audit
    delete from public.meetings where workspace_id = old.id;
    delete from public.scheduled_jobs where workspace_id = old.id;
    perform set_config('job_scheduler.actor', actor, true);
    return null;
end
$$;
revoke all on function job_scheduler.empty_workspace() from public;

create or replace trigger a_empty_workspace
after delete on public.workspaces
for each row execute function job_scheduler.empty_workspace();

-- A workspace keeps an admin while it lasts, whatever its admins do to each other at the same moment.
create or replace function job_scheduler.keep_an_admin()
returns trigger
language plpgsql
security definer -- a member who leaves cannot see who remains
set search_path = ''
as $$
begin
    perform from public.workspaces as w where w.id = old.workspace_id for update;
    if found and not exists (
        select from public.workspace_members as m where m.workspace_id = old.workspace_id and m.role = 'admin'
    ) then
        raise exception 'workspace_members.role: a workspace keeps at least one admin'
        using errcode = '22023', hint = 'Make somebody else an admin first, or delete the workspace.';
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.keep_an_admin() from public;

create or replace trigger a_keep_an_admin
after update of role on public.workspace_members
for each row when (old.role = 'admin' and new.role <> 'admin' and row_security_active('public.workspaces'::regclass))
execute function job_scheduler.keep_an_admin();

create or replace trigger a_keep_an_admin_left
after delete on public.workspace_members
for each row when (old.role = 'admin' and row_security_active('public.workspaces'::regclass))
execute function job_scheduler.keep_an_admin();

-- Refuses settings whose quotas are no numbers: every later write of the workspace reads them.
create or replace function job_scheduler.check_settings()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    quota text;
begin
    if jsonb_typeof(new.settings) <> 'object' then
        raise exception 'workspaces.settings: % is not allowed; expected an object', left(new.settings::text, 120)
        using errcode = '22023';
    end if;
    foreach quota in array array[
        'max_active_jobs', 'min_interval_seconds', 'max_payload_bytes', 'max_queued_runs'
    ] loop
        if jsonb_typeof(new.settings -> quota) not in ('number', 'null') or (new.settings ->> quota)::numeric < 0 then
            raise exception 'workspaces.settings: "%": % is not allowed; expected a number of at least 0', quota,
                left((new.settings -> quota)::text, 120)
            using errcode = '22023';
        end if;
    end loop;
    if jsonb_typeof(new.settings -> 'limit_service') not in ('boolean', 'null') then
        raise exception 'workspaces.settings: "limit_service": % is not allowed; expected true or false',
            left((new.settings -> 'limit_service')::text, 120)
        using errcode = '22023';
    end if;
    return new;
end
$$;
revoke all on function job_scheduler.check_settings() from public;

create or replace trigger b_check_settings
before insert or update of settings on public.workspaces
for each row when (new.settings <> '{}')
execute function job_scheduler.check_settings();
