-- The workspaces of the caller, with the strongest role in each. A workspace of a project with teams of its own, which is in
-- no table of ours, has no name.
create or replace function public.list_workspaces()
returns table (id uuid, name text, role text)
language sql
stable
set search_path = ''
as $$
    select
        m.workspace_id,
        max(w.name),
        (array_agg(m.role order by array_position(array['admin', 'editor', 'viewer'], m.role)))[1]
    from job_scheduler.memberships() as m
    left join public.job_workspaces as w on m.workspace_id = w.id
    group by m.workspace_id
    order by max(w.name), m.workspace_id
$$;
revoke all on function public.list_workspaces() from public, anon, authenticated, service_role;
grant execute on function public.list_workspaces() to authenticated, service_role;

-- The addresses of a workspace's members, for its members alone. An address that nobody has confirmed may be another's.
create or replace function job_scheduler.emails_of_members(workspace uuid)
returns table (user_id uuid, email text)
language plpgsql
stable
security definer -- users read no table of Supabase Auth, of which this shows no more than the address
set search_path = ''
as $$
begin
    if
        job_scheduler.sees_tenant(workspace)
        and coalesce(has_table_privilege(to_regclass('auth.users')::oid, 'select'), false)
    then
        return query
        select m.user_id, u.email::text
        from public.job_workspace_members as m
        inner join auth.users as u on m.user_id = u.id
        where
            m.workspace_id = emails_of_members.workspace and u.email <> ''
            and to_jsonb(u) ->> 'email_confirmed_at' is not null;
    end if;
end
$$;
revoke all on function job_scheduler.emails_of_members(uuid) from public;
grant execute on function job_scheduler.emails_of_members(uuid) to authenticated, service_role;

create or replace function public.list_member_emails(workspace uuid)
returns table (user_id uuid, email text)
language sql
stable
set search_path = ''
as $$
    select m.user_id, m.email from job_scheduler.emails_of_members(workspace) as m
$$;
revoke all on function public.list_member_emails(uuid) from public, anon, authenticated, service_role;
grant execute on function public.list_member_emails(uuid) to authenticated, service_role;
