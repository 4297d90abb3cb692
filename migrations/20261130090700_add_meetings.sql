do $migration$
declare
    body constant text := $file$
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

-- Checks on a client's meeting; for a table that we made only.

-- Gives the id. A key that a client chose could be that of a meeting which is gone and whose traces are somebody else's; an
-- upsert may name a row that the client sees.
create or replace function job_scheduler.choose_meeting_id()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if coalesce(new.id, '00000000-0000-0000-0000-000000000000') = '00000000-0000-0000-0000-000000000000' then
        new.id := gen_random_uuid();
    elsif row_security_active('public.meetings'::regclass)
        and not exists (select from public.meetings as m where m.id = new.id) then
        raise exception 'meetings.id: % is not allowed; the database chooses the id', new.id
        using errcode = '42501', hint = 'Leave the id out, and read it from the answer.';
    end if;
    return new;
end
$$;
revoke all on function job_scheduler.choose_meeting_id() from public;

create or replace function job_scheduler.keep_meeting_id()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception 'meetings.id is settled when the row is created; it cannot be changed' using errcode = '42501';
end
$$;
revoke all on function job_scheduler.keep_meeting_id() from public;

-- Refuses more meetings than a tenant may have active jobs, counting its other active jobs too; `added` of them were
-- written by this statement.
create or replace function job_scheduler.check_meeting_quota(
    workspace uuid, owner uuid, added bigint, by_client boolean
)
returns void
language plpgsql
security definer -- see check_shape_quotas
set search_path = ''
as $$
declare
    tenant constant uuid := coalesce(workspace, owner);
    most constant numeric := job_scheduler.quota_of(workspace, 'max_active_jobs', by_client);
    used bigint;
begin
    if most is null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler quota of ' || tenant, 0));
    select count(*) into used
    from public.meetings as m
    where coalesce(m.workspace_id, m.created_by) = tenant and m.status = 'upcoming';
    if used <= most then
        -- The jobs of meetings are counted with them: a meeting of just now has none yet.
        used := used + job_scheduler.active_jobs(tenant) - (
            select count(*) from public.scheduled_jobs as j
            where coalesce(j.workspace_id, j.created_by) = tenant and j.handler = 'meeting_status'
                and j.status in ('scheduled', 'running', 'paused')
                and (j.next_run_at is not null or j.queued_runs > 0 or j.due_at is not null or not j.is_planned)
        );
    end if;
    if used > most then
        perform job_scheduler.refuse_quota(
            'max_active_jobs',
            format(
                case when added = 1 then '%s more upcoming meeting is not allowed, since it'
                    else '%s more upcoming meetings are not allowed, since each' end || ' has an active job', added
            ),
            most, used - added
        );
    end if;
end
$$;
revoke all on function job_scheduler.check_meeting_quota(uuid, uuid, bigint, boolean) from public;
grant execute on function job_scheduler.check_meeting_quota(uuid, uuid, bigint, boolean)
to authenticated, service_role; -- their writes fire the trigger

-- Refuses more meetings than a user may have active jobs, with its other active jobs: see check_active_quota_of_user. This
-- statement added one in each of `workspaces`, or private ones.
create or replace function job_scheduler.check_meeting_quota_of_user(workspaces uuid[])
returns void
language plpgsql
security definer -- see check_shape_quotas
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.limit_of('quota_max_active_jobs');
    owner constant uuid := job_scheduler.caller();
    bounded constant uuid[] := array(select w.id from public.job_workspaces as w where w.settings ? 'max_active_jobs');
    added constant bigint := (select count(*) from unnest(workspaces) as a (id) where a.id is null or a.id <> all(bounded));
    used bigint;
begin
    if owner is null or added = 0 then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler quota of user ' || owner, 0));
    select count(*) into used
    from public.meetings as m
    where m.created_by = owner and m.status = 'upcoming' and (m.workspace_id is null or m.workspace_id <> all(bounded));
    if used <= most then -- as in check_meeting_quota
        used := used + job_scheduler.active_jobs_in_workspaces(owner) + job_scheduler.active_jobs(owner) - (
            select count(*) from public.scheduled_jobs as j
            where j.created_by = owner and (j.workspace_id is null or j.workspace_id <> all(bounded))
                and j.handler = 'meeting_status' and j.status in ('scheduled', 'running', 'paused')
                and (j.next_run_at is not null or j.queued_runs > 0 or j.due_at is not null or not j.is_planned)
        );
    end if;
    if used > most then
        perform job_scheduler.refuse_quota(
            'max_active_jobs', 'no more upcoming meetings of this user in all workspaces together', most, used - added
        );
    end if;
end
$$;
revoke all on function job_scheduler.check_meeting_quota_of_user(uuid[]) from public;
grant execute on function job_scheduler.check_meeting_quota_of_user(uuid[]) to authenticated, service_role; -- as above

-- All of a statement's meetings that are upcoming and were not before, tenants in order: see admit_to_quotas.
create or replace function job_scheduler.admit_meetings()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    by_client constant boolean := row_security_active('public.meetings'::regclass);
    opened uuid[];
    one record;
begin
    if tg_op = 'INSERT' then
        opened := array(select n.id from new_rows as n where n.status = 'upcoming');
    else
        opened := array(
            select n.id from new_rows as n
            inner join old_rows as o on n.id = o.id
            where n.status = 'upcoming' and o.status <> 'upcoming'
        );
    end if;
    for one in
        select
            n.workspace_id, case when n.workspace_id is null then n.created_by end as owner, count(*) as added
        from unnest(opened) as u (id)
        inner join new_rows as n on u.id = n.id
        where coalesce(n.workspace_id, n.created_by) is not null
            and (by_client or job_scheduler.any_limits_service(array[n.workspace_id]))
        group by 1, 2
        order by 1, 2
    loop
        perform job_scheduler.check_meeting_quota(one.workspace_id, one.owner, one.added, by_client);
    end loop;
    if by_client then
        perform job_scheduler.check_meeting_quota_of_user(
            array(select n.workspace_id from new_rows as n where n.id = any(opened))
        );
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.admit_meetings() from public;

-- The ends of meetings, many at a time.

-- Sets those of these meetings to done that are upcoming and have ended; answers which. A row that somebody else holds is
-- passed over: it is requested for again.
create or replace function job_scheduler.end_meetings(requested jsonb)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
    ended uuid[];
begin
    with free as (
        select m.id
        from (
            select (a ->> 'id')::uuid as id, max((a ->> 'ended_by')::timestamptz) as ended_by
            from jsonb_array_elements(requested) as a
            where a -> 'test_mode' is distinct from 'true'
            group by 1
        ) as wanted
        inner join public.meetings as m on wanted.id = m.id
        where m.status = 'upcoming' and m.end_time <= wanted.ended_by
        for update of m skip locked
    ), done as (
        update public.meetings as m set status = 'done'
        where m.id in (select f.id from free as f)
        returning m.id
    )
    select coalesce(array_agg(d.id), '{}') into ended from done as d;
    return ended;
end
$$;
revoke all on function job_scheduler.end_meetings(jsonb) from public;
grant execute on function job_scheduler.end_meetings(jsonb) to service_role;

-- {meetings: [{id, ended_by, test_mode}]} -> {now, meetings: [{id, updated, status, end_time, error}]}, one for each requested,
-- in any order; status is null where there is no such meeting. One that cannot be written stops no other.
create or replace function public.end_meetings_v1(request jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    ended uuid[] := '{}';
    errors jsonb := '{}';
    one jsonb;
begin
    begin
        ended := job_scheduler.end_meetings(request -> 'meetings');
    exception when others then -- a trigger of the project's own, perhaps: the slow way says which it is
        for one in select a from jsonb_array_elements(request -> 'meetings') as a loop
            begin
                ended := ended || job_scheduler.end_meetings(jsonb_build_array(one));
            exception when others then
                errors := errors || jsonb_build_object(one ->> 'id', sqlerrm);
            end;
        end loop;
    end;
    return jsonb_build_object('now', clock_timestamp(), 'meetings', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'id', a.id, 'updated', a.id = any(ended), 'status', m.status, 'end_time', m.end_time,
            'error', errors ->> a.id::text
        )), '[]')
        from (select distinct (e ->> 'id')::uuid as id from jsonb_array_elements(request -> 'meetings') as e) as a
        left join public.meetings as m on a.id = m.id
    ));
end
$$;
revoke all on function public.end_meetings_v1(jsonb) from public, anon, authenticated;
grant execute on function public.end_meetings_v1(jsonb) to service_role;

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

-- Meetings are a source: an upcoming one has a job, and it is set to done while the job runs.
select job_scheduler.compile_source(
    'meeting-status', 'public.meetings', 'meeting_status',
    jsonb_build_object(
        'due_at', 'end_time', 'condition', $$status = 'upcoming'$$, 'finished', $$status = 'done'$$,
        'metadata', $$jsonb_build_object('meeting_id', id)$$, 'owner', 'created_by', 'workspace', 'workspace_id',
        'title', 'title', 'revision', 'revision'
    ),
    'UTC', '', false -- the quotas hold at the insert of a meeting
);
-- Each start of a listener checks them.
update job_scheduler.sources
set is_checked = true
where name = 'meeting-status';

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
