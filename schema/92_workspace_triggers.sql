-- The triggers of workspaces, members and invitations, in firing order as in 90_triggers.sql.

create or replace trigger t10_check_settings
before insert or update of settings on public.job_workspaces
for each row when (new.settings <> '{}')
execute function job_scheduler.check_settings();

create or replace trigger t20_enter_first_admin
after insert on public.job_workspaces
for each row when (row_security_active('public.job_workspaces'::regclass))
execute function job_scheduler.enter_first_admin();

create or replace trigger t30_empty_workspace
after delete on public.job_workspaces
for each row execute function job_scheduler.empty_workspace();

create or replace trigger t10_name_invitation
before insert on public.job_workspace_invitations
for each row execute function job_scheduler.name_invitation();

create or replace trigger t20_bound_invitations
after insert on public.job_workspace_invitations
referencing new table as new_rows
for each statement when (row_security_active('public.job_workspace_invitations'::regclass))
execute function job_scheduler.bound_invitations();

create or replace trigger t10_keep_an_admin
after update of role on public.job_workspace_members
for each row when (old.role = 'admin' and new.role <> 'admin' and row_security_active('public.job_workspaces'::regclass))
execute function job_scheduler.keep_an_admin();

create or replace trigger t10_keep_an_admin_left
after delete on public.job_workspace_members
for each row when (old.role = 'admin' and row_security_active('public.job_workspaces'::regclass))
execute function job_scheduler.keep_an_admin();

create or replace trigger t20_use_invitation
after insert on public.job_workspace_members
for each row execute function job_scheduler.use_invitation();
