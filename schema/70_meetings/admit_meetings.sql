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
