-- Invitations: an admin writes one, and the invited user accepts or declines it.

-- Notes the name of the workspace, which the invited user sees.
create or replace function job_scheduler.name_invitation()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    select w.name into new.workspace_name from public.job_workspaces as w where w.id = new.workspace_id;
    return new;
end
$$;

-- Refuses more invitations than may wait for an answer: one of a workspace can be written for any user id.
create or replace function job_scheduler.bound_invitations()
returns trigger
language plpgsql
security definer -- it counts the invitations as they are, not as the caller sees them
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.limit_of('max_invitations');
    one record;
    used bigint;
begin
    for one in
        select n.workspace_id as id, count(*) as added from new_rows as n group by n.workspace_id order by n.workspace_id
    loop
        perform pg_advisory_xact_lock(hashtextextended('job_scheduler invitations of ' || one.id, 0));
        select count(*) into used from public.job_workspace_invitations as i where i.workspace_id = one.id;
        if used > most then
            perform job_scheduler.refuse_quota(
                'max_invitations', format('%s more of this workspace must not wait', one.added), most, used - one.added
            );
        end if;
    end loop;
    return null;
end
$$;

-- A user who became a member has used the invitation up. One that was taken back meanwhile makes nobody a member.
create or replace function job_scheduler.use_invitation()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    delete from public.job_workspace_invitations as i
    where i.workspace_id = new.workspace_id and i.user_id = new.user_id;
    if not found and row_security_active('public.job_workspace_members'::regclass) then
        perform job_scheduler.refuse_unknown_invitation(new.workspace_id);
    end if;
    return null;
end
$$;

-- Refuses because the caller has no such invitation; PostgREST answers PT404 with HTTP 404.
create or replace function job_scheduler.refuse_unknown_invitation(workspace uuid)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    raise exception 'no invitation to workspace %', coalesce(workspace::text, 'null')
    using errcode = 'PT404', hint = 'It was accepted, declined or taken back, or is for somebody else.';
end
$$;

-- Makes the caller a member, as what the invitation says; a member stays what they are.
create or replace function public.accept_invitation(workspace uuid)
returns public.job_workspace_members
language plpgsql
set search_path = ''
as $$
declare
    member public.job_workspace_members;
begin
    insert into public.job_workspace_members (workspace_id, user_id, role)
    select i.workspace_id, i.user_id, i.role
    from public.job_workspace_invitations as i
    where i.workspace_id = workspace and i.user_id = job_scheduler.caller()
    on conflict do nothing;
    if not found then -- a member already, or not invited
        perform public.decline_invitation(workspace);
    end if;
    select m.* into member
    from public.job_workspace_members as m
    where m.workspace_id = workspace and m.user_id = job_scheduler.caller();
    return member;
end
$$;

-- Deletes the invitation.
create or replace function public.decline_invitation(workspace uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
    delete from public.job_workspace_invitations as i
    where i.workspace_id = workspace and i.user_id = job_scheduler.caller();
    if not found then
        perform job_scheduler.refuse_unknown_invitation(workspace);
    end if;
end
$$;

revoke all on function
job_scheduler.name_invitation(), job_scheduler.bound_invitations(), job_scheduler.use_invitation(),
job_scheduler.refuse_unknown_invitation(uuid)
from public;
grant execute on function job_scheduler.refuse_unknown_invitation(uuid) to authenticated, service_role;
revoke all on function public.accept_invitation(uuid), public.decline_invitation(uuid) from public, anon, authenticated;
grant execute on function public.accept_invitation(uuid), public.decline_invitation(uuid) to authenticated;
