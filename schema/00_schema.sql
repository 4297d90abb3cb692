-- `schema/` defines the database, one subject a file; `migrations/` has what was released.
-- `make migration NAME=verb_object` writes the difference. Files are read in the order of their names.

revoke all on schema job_scheduler from public;
-- Triggers run with the rights of the row's writer, so clients need access to the schema of the functions.
grant usage on schema job_scheduler to authenticated, service_role;

do $$
begin
    if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
        comment on publication supabase_realtime is 'Made by the job scheduler.';
    end if;
end
$$;

-- Rights: a signed-in user sees and writes their own private rows and those of their workspaces (viewers only see),
-- anon nothing, service_role everything (it bypasses RLS).
--
-- A policy must never raise: Realtime evaluates the policies of all subscribers of a table, and one that raises
-- silences all of them. So nothing here casts a claim without checking its form first.

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

-- The policies' functions are declared before the tables that they read.
set check_function_bodies = off;

-- The workspaces that the caller belongs to, and the role there. All policies rest on it: a project with teams of its own
-- replaces it by one select over its own tables, and it must not raise. A migration never overwrites it.
do $do$
begin
    if to_regprocedure('job_scheduler.memberships()') is null then
        -- Security definer: the policy of job_workspace_members calls it, so that it cannot be subject to that policy.
        execute $create$
            create function job_scheduler.memberships()
            returns table (workspace_id uuid, role text)
            language sql
            stable
            security definer
            set search_path = ''
            as $body$
                select m.workspace_id, m.role::text
                from public.job_workspace_members as m
                where m.user_id = job_scheduler.caller()
            $body$
        $create$;
        revoke all on function job_scheduler.memberships() from public;
        grant execute on function job_scheduler.memberships() to authenticated, service_role;
    end if;
end
$do$;

-- The workspaces whose rows the caller may see. A policy calls it once a statement, in a select of its own.
create or replace function job_scheduler.readable_workspaces()
returns uuid[]
language sql
stable
set search_path = ''
as $$
    select coalesce(array_agg(m.workspace_id), '{}') from job_scheduler.memberships() as m
$$;

-- The workspaces whose jobs and meetings the caller may write.
create or replace function job_scheduler.writable_workspaces()
returns uuid[]
language sql
stable
set search_path = ''
as $$
    select coalesce(array_agg(m.workspace_id), '{}')
    from job_scheduler.memberships() as m
    where m.role in ('editor', 'admin')
$$;

-- The workspaces whose name and members the caller may write.
create or replace function job_scheduler.administered_workspaces()
returns uuid[]
language sql
stable
set search_path = ''
as $$
    select coalesce(array_agg(m.workspace_id), '{}') from job_scheduler.memberships() as m where m.role = 'admin'
$$;

reset check_function_bodies;

revoke all on function
job_scheduler.caller(), job_scheduler.readable_workspaces(), job_scheduler.writable_workspaces(),
job_scheduler.administered_workspaces()
from public;
grant execute on function
job_scheduler.caller(), job_scheduler.readable_workspaces(), job_scheduler.writable_workspaces(),
job_scheduler.administered_workspaces()
to authenticated, service_role;
