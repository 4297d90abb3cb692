do $migration$
declare
    body constant text := $file$
-- Meetings: an upcoming one has exactly one job, due at its end, that sets it to done.
--
-- A project's own public.meetings is left alone: the migration that is made of this folder is not applied there.

do $$
begin
    if to_regclass('public.meetings') is not null then
        return;
    end if;

    create table public.meetings (
        id uuid primary key default gen_random_uuid(),
        title text,
        start_time timestamptz,
        end_time timestamptz not null check (end_time >= '1970-01-01 00:00:00+00' and end_time < '3000-01-01 00:00:00+00'),
        status text not null default 'upcoming' check (status in ('upcoming', 'done', 'cancelled')),
        created_by uuid default auth.uid(),
        workspace_id uuid,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        check (end_time > start_time)
    );
    comment on table public.meetings is 'A meeting that is upcoming has one job, meeting-status:<id>, due at end_time.';
    create index meetings_created_by_idx on public.meetings (created_by) where created_by is not null;
    create index meetings_workspace_id_idx on public.meetings (workspace_id) where workspace_id is not null;

    revoke all on table public.meetings from public, anon, authenticated, service_role;
    grant select, insert, update, delete on table public.meetings to authenticated, service_role;
    alter table public.meetings enable row level security;

    create policy meetings_select on public.meetings
    for select to authenticated
    using (
        (created_by = (select job_scheduler.caller()) and workspace_id is null)
        or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
    );
    create policy meetings_insert on public.meetings
    for insert to authenticated
    with check (
        created_by = (select job_scheduler.caller())
        and (workspace_id is null or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[]))
    );
    create policy meetings_update on public.meetings
    for update to authenticated
    using (
        (created_by = (select job_scheduler.caller()) and workspace_id is null)
        or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
    )
    with check (
        (created_by = (select job_scheduler.caller()) and workspace_id is null)
        or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
    );
    create policy meetings_delete on public.meetings
    for delete to authenticated
    using (
        (created_by = (select job_scheduler.caller()) and workspace_id is null)
        or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
    );
end
$$;

alter table public.meetings add column if not exists revision bigint;

comment on column public.meetings.revision is
'The transaction (xid8) of the last change that concerns its job; the service polls by it.';

create index if not exists meetings_revision_idx on public.meetings (revision);
create index if not exists meetings_status_end_time_idx on public.meetings (status, end_time);

grant select, update on table public.meetings to service_role;

do $$
begin
    if not exists (
        select from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'meetings'
    ) then
        alter publication supabase_realtime add table public.meetings;
    end if;
end
$$;

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

-- Last among the before triggers by its name, so that it sees what a project's own triggers made of the row.
create or replace trigger zz_job_scheduler_stamp
before insert or update on public.meetings
for each row execute function job_scheduler.stamp_meeting();

create or replace trigger zz_job_scheduler_notify_changed
after update on public.meetings
referencing old table as old_rows new table as new_rows
for each statement execute function job_scheduler.notify_changed_meetings();

create or replace trigger zz_job_scheduler_notify_deleted
after delete on public.meetings
referencing old table as old_rows
for each statement execute function job_scheduler.notify_deleted_meetings();

create or replace trigger zz_job_scheduler_notify_new
after insert on public.meetings
referencing new table as new_rows
for each statement execute function job_scheduler.notify_new_meetings();
$file$;
    left_alone constant text := job_scheduler.meetings_left_alone();
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090700') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090700', 'add_meetings', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
