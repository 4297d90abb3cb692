-- Notifies the listeners of changed meetings.

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

-- The three channels: up to a hundred ids, else null, which means: poll now.
create or replace function job_scheduler.notify_new_meetings()
returns trigger
language plpgsql
security definer -- a client may not notify by itself
set search_path = ''
as $$
begin
    perform job_scheduler.notify('meetings', (
        select case when count(*) <= 100 then jsonb_agg(fresh.id) end
        from (select new_rows.id from new_rows limit 101) as fresh
    ))
    where exists (select from new_rows);
    return null;
end
$$;
revoke all on function job_scheduler.notify_new_meetings() from public;

create or replace function job_scheduler.notify_changed_meetings()
returns trigger
language plpgsql
security definer -- a client may not notify by itself
set search_path = ''
as $$
declare
    changed uuid[] := array(
        select new_rows.id
        from new_rows
        left join old_rows on new_rows.id = old_rows.id
        where new_rows.revision is distinct from old_rows.revision
        limit 101
    );
begin
    if cardinality(changed) > 0 then
        perform job_scheduler.notify('meetings', case when cardinality(changed) <= 100 then to_jsonb(changed) end);
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.notify_changed_meetings() from public;

create or replace function job_scheduler.notify_deleted_meetings()
returns trigger
language plpgsql
security definer -- a client may not notify by itself
set search_path = ''
as $$
begin
    perform job_scheduler.notify('meetings', (
        select case when count(*) <= 100 then jsonb_agg(gone.id) end
        from (select old_rows.id from old_rows limit 101) as gone
    ))
    where exists (select from old_rows);
    return null;
end
$$;
revoke all on function job_scheduler.notify_deleted_meetings() from public;
