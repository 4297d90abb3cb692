-- What a change of a meeting leaves for the service, and tells the listeners.

-- The revision is the service's: it follows what concerns the job, whatever a client writes into it.
create or replace function job_scheduler.stamp_meeting()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if tg_op = 'INSERT' then
        new.revision := pg_current_xact_id()::text::bigint;
    elsif (new.title, new.end_time, new.status, new.created_by, new.workspace_id)
        is distinct from (old.title, old.end_time, old.status, old.created_by, old.workspace_id) then
        new.revision := pg_current_xact_id()::text::bigint;
    else
        new.revision := old.revision;
    end if;
    if to_jsonb(new) ? 'updated_at' and tg_op = 'UPDATE' then
        new.updated_at := now();
    end if;
    return new;
end
$$;
revoke all on function job_scheduler.stamp_meeting() from public;

-- In whose turn the service looks at a meeting: the user's who created it, else its workspace's, else one for all others.
create or replace function job_scheduler.turn_of(created_by uuid, workspace_id uuid)
returns uuid
language sql
immutable
set search_path = ''
as $$
    select coalesce(created_by, workspace_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
$$;
revoke all on function job_scheduler.turn_of(uuid, uuid) from public;

-- Notes the meetings that a statement changed, and tells the listeners to look at them.
create or replace function job_scheduler.note_changed_meetings()
returns trigger
language plpgsql
security definer -- a client may neither note nor notify by itself
set search_path = ''
as $$
begin
    if tg_op = 'INSERT' then
        insert into job_scheduler.changed_meetings (tenant, meeting_id)
        select job_scheduler.turn_of(n.created_by, n.workspace_id), n.id from new_rows as n;
    elsif tg_op = 'UPDATE' then
        insert into job_scheduler.changed_meetings (tenant, meeting_id)
        select job_scheduler.turn_of(n.created_by, n.workspace_id), n.id
        from new_rows as n
        left join old_rows as o on n.id = o.id
        where n.revision is distinct from o.revision;
    else
        insert into job_scheduler.changed_meetings (tenant, meeting_id)
        select job_scheduler.turn_of(o.created_by, o.workspace_id), o.id from old_rows as o;
    end if;
    if found then
        perform job_scheduler.notify('meetings', null);
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.note_changed_meetings() from public;
