-- The triggers of meetings, in firing order; docs/sql.md has them as a table.

create or replace trigger t10_keep_owner
before update on public.meetings
for each row when (
    old.created_by is distinct from new.created_by and row_security_active('public.meetings'::regclass)
)
execute function job_scheduler.keep_owner();

create or replace trigger t20_keep_workspace
before update on public.meetings
for each row when (old.workspace_id is distinct from new.workspace_id)
execute function job_scheduler.keep_workspace();

create or replace trigger t30_choose_id
before insert on public.meetings
for each row execute function job_scheduler.choose_meeting_id();

create or replace trigger t30_keep_id
before update of id on public.meetings
for each row when (old.id <> new.id and row_security_active('public.meetings'::regclass))
execute function job_scheduler.keep_meeting_id();

create or replace trigger t40_admit_new
after insert on public.meetings
referencing new table as new_rows
for each statement execute function job_scheduler.admit_meetings();

create or replace trigger t40_admit_reopened
after update on public.meetings
referencing old table as old_rows new table as new_rows
for each statement execute function job_scheduler.admit_meetings();

-- Last among the before triggers by its name, so that it sees what a project's own triggers made of the row.
create or replace trigger zz_job_scheduler_stamp
before insert or update on public.meetings
for each row execute function job_scheduler.stamp_meeting();

create or replace trigger zz_job_scheduler_notify_changed
after update on public.meetings
referencing old table as old_rows new table as new_rows
for each statement execute function job_scheduler.note_changed_meetings();

create or replace trigger zz_job_scheduler_notify_deleted
after delete on public.meetings
referencing old table as old_rows
for each statement execute function job_scheduler.note_changed_meetings();

create or replace trigger zz_job_scheduler_notify_new
after insert on public.meetings
referencing new table as new_rows
for each statement execute function job_scheduler.note_changed_meetings();
