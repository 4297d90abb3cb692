-- Meetings: an upcoming one has exactly one job, due at its end, that sets it to done.
--
-- A project's own public.meetings is left alone: the migration that is made of this file is not applied there.

do $$
begin
    if to_regclass('public.meetings') is not null then
        return;
    end if;

    create table public.meetings (
        -- stands for "none chosen": a trigger gives the id, so that it can recognise and refuse one that a user chose
        id uuid primary key default '00000000-0000-0000-0000-000000000000',
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
    create index meetings_quota_idx on public.meetings (coalesce(workspace_id, created_by)) where status = 'upcoming';
    create index meetings_quota_of_user_idx on public.meetings (created_by) where status = 'upcoming';

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
