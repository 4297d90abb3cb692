-- Notes changed meetings for the service, and notifies the listeners.

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

-- Notes the meetings that a statement changed, and notifies the listeners.
create or replace function job_scheduler.note_changed_meetings()
returns trigger
language plpgsql
security definer -- a client may neither note nor notify by itself
set search_path = ''
as $$
begin
    if tg_op = 'INSERT' then
        insert into job_scheduler.changed_rows (source, tenant, key)
        select 'meeting-status', job_scheduler.turn_of(n.created_by, n.workspace_id), n.id::text from new_rows as n;
    elsif tg_op = 'UPDATE' then
        insert into job_scheduler.changed_rows (source, tenant, key)
        select 'meeting-status', job_scheduler.turn_of(n.created_by, n.workspace_id), n.id::text
        from new_rows as n
        left join old_rows as o on n.id = o.id
        where n.revision is distinct from o.revision;
    else
        insert into job_scheduler.changed_rows (source, tenant, key)
        select 'meeting-status', job_scheduler.turn_of(o.created_by, o.workspace_id), o.id::text from old_rows as o;
    end if;
    if found then
        perform job_scheduler.notify('sources', null);
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.note_changed_meetings() from public;
