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
