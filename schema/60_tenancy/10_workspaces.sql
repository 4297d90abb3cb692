-- Workspaces and the rights of their members. A viewer reads, an editor also writes jobs and meetings,
-- an admin also names the workspace, invites and removes members, and deletes it.

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
    select count(*) into used from public.job_workspaces as w where w.created_by = new.created_by and w.id <> new.id;
    if used >= most then
        raise exception 'quota max_workspaces: one more is not allowed; limit %, used %, left 0', most, used
        using errcode = 'PT403', hint = 'Delete a workspace that you created, or ask the operator.';
    end if;
    insert into public.job_workspace_members (workspace_id, user_id, role) values (new.id, new.created_by, 'admin');
    return null;
end
$$;
revoke all on function job_scheduler.enter_first_admin() from public;

-- Removes the jobs of a deleted workspace, which would run on, seen by nobody. A project with teams of its own calls it.
create or replace function job_scheduler.forget_workspace(id uuid)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
declare
    actor constant text := coalesce(current_setting('job_scheduler.actor', true), '');
begin
    perform set_config('job_scheduler.actor', 'service', true); -- no reader of the audit is left
    if job_scheduler.has_meetings() then
        delete from public.meetings as m where m.workspace_id = forget_workspace.id;
    end if;
    delete from public.scheduled_jobs as j where j.workspace_id = forget_workspace.id;
    delete from public.job_alert_channels as c where c.workspace_id = forget_workspace.id;
    delete from public.job_alert_rules as r where r.workspace_id = forget_workspace.id; -- and with them their alerts
    perform set_config('job_scheduler.actor', actor, true);
end
$$;
revoke all on function job_scheduler.forget_workspace(uuid) from public;
grant execute on function job_scheduler.forget_workspace(uuid) to service_role;

-- Deleting a workspace deletes what is in it.
create or replace function job_scheduler.empty_workspace()
returns trigger
language plpgsql
security definer -- the membership that let the caller delete the workspace is gone by now
set search_path = ''
as $$
begin
    perform job_scheduler.forget_workspace(old.id);
    return null;
end
$$;
revoke all on function job_scheduler.empty_workspace() from public;

-- A workspace keeps an admin while it lasts, whatever its admins do to each other at the same moment.
create or replace function job_scheduler.keep_an_admin()
returns trigger
language plpgsql
security definer -- a member who leaves cannot see who remains
set search_path = ''
as $$
begin
    perform from public.job_workspaces as w where w.id = old.workspace_id for update;
    if found and not exists (
        select from public.job_workspace_members as m where m.workspace_id = old.workspace_id and m.role = 'admin'
    ) then
        raise exception 'job_workspace_members.role: a workspace keeps at least one admin'
        using errcode = '22023', hint = 'Make somebody else an admin first, or delete the workspace.';
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.keep_an_admin() from public;

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
        raise exception 'job_workspaces.settings: % is not allowed; expected an object', left(new.settings::text, 120)
        using errcode = '22023';
    end if;
    foreach quota in array array[
        'max_active_jobs', 'min_interval_seconds', 'max_payload_bytes', 'max_queued_runs', 'max_manual_runs_per_minute',
        'max_running', 'max_runs_per_minute', 'max_stored_bytes', 'max_timeout_seconds', 'max_past_seconds',
        'max_alert_channels', 'max_alert_rules', 'max_alert_deliveries_per_hour'
    ] loop
        if jsonb_typeof(new.settings -> quota) not in ('number', 'null') or (new.settings ->> quota)::numeric < 0 then
            raise exception 'job_workspaces.settings: "%": % is not allowed; expected a number of at least 0', quota,
                left((new.settings -> quota)::text, 120)
            using errcode = '22023';
        end if;
    end loop;
    if jsonb_typeof(new.settings -> 'limit_service') not in ('boolean', 'null') then
        raise exception 'job_workspaces.settings: "limit_service": % is not allowed; expected true or false',
            left((new.settings -> 'limit_service')::text, 120)
        using errcode = '22023';
    end if;
    return new;
end
$$;
revoke all on function job_scheduler.check_settings() from public;

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
