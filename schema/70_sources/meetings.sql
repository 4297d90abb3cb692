-- Meetings: what their jobs are made of, and how those that changed are found.

-- A meeting's title as the name of its job, whatever its length: a job's name has bounds, a meeting has a job.
create or replace function job_scheduler.name_for(title text)
returns text
language sql
immutable
set search_path = ''
as $$
    select case when btrim(left(title, 500), E' \t\r\n') <> '' or title = '' then left(title, 500) end
$$;
revoke all on function job_scheduler.name_for(text) from public;

-- Whether a job is of this meeting's tenant: the key alone proves nothing, because that of a meeting that is gone may be
-- used again by another tenant.
create or replace function job_scheduler.is_of_tenant(job public.scheduled_jobs, meeting public.meetings)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select job.workspace_id is not distinct from meeting.workspace_id
        and (meeting.workspace_id is not null or job.created_by is not distinct from meeting.created_by)
$$;
revoke all on function job_scheduler.is_of_tenant(public.scheduled_jobs, public.meetings) from public;

-- What is to be done about a job, given what stands under its meeting's id: cancel, write, or nothing (null). `restart` also
-- runs a job again that ended although its meeting is still upcoming; otherwise that needs a change of the meeting newer
-- than the job, because a failing job must not run again at each look.
create or replace function job_scheduler.meeting_job_act(
    job public.scheduled_jobs, meeting public.meetings, restart boolean
)
returns text
language sql
immutable
set search_path = ''
as $$
    select case
        when (
            meeting.status = 'upcoming' and meeting.end_time is not null and job_scheduler.is_of_tenant(job, meeting)
        ) is not true then
            -- A running job is what has just set its meeting to done; let it end.
            case
                when
                    job.status in ('scheduled', 'paused')
                    or job.status = 'running' and (
                        meeting.status::text is distinct from 'done' or not job_scheduler.is_of_tenant(job, meeting)
                    ) then 'cancel'
            end
        when
            job.run_date <> meeting.end_time
            or job.name is distinct from job_scheduler.name_for(meeting.title)
            or job.trigger_type <> 'once'
            or job.metadata <> jsonb_build_object('meeting_id', meeting.id)
            or job.status = 'cancelled'
            or (job.status in ('completed', 'failed') and (restart or meeting.revision > job.revision)) then 'write'
    end
$$;
revoke all on function job_scheduler.meeting_job_act(public.scheduled_jobs, public.meetings, boolean) from public;

-- Makes the jobs of these meetings right and answers what it wrote. A job whose row somebody holds stays as it is: `busy`
-- names its meeting. Nothing is deleted: the ledger stays with the tenant whose it is.
create or replace function job_scheduler.settle_meetings(
    meetings uuid[], restart boolean,
    out upcoming bigint, out scheduled bigint, out moved bigint, out cancelled bigint, out taken uuid[], out busy uuid[]
)
language plpgsql
set search_path = ''
as $$
declare
    wrong bigint[];
    free bigint[];
begin
    wrong := array(
        select job.id
        from unnest(meetings) as asked (id)
        inner join public.scheduled_jobs as job
            on job.handler = 'meeting_status' and job.job_id = 'meeting-status:' || asked.id
        left join public.meetings as meeting on asked.id = meeting.id
        where job_scheduler.meeting_job_act(job, meeting, restart) is not null
    );
    free := array(select job.id from public.scheduled_jobs as job where job.id = any(wrong) for update skip locked);
    busy := array(
        select substr(job.job_id, 16)::uuid from public.scheduled_jobs as job
        where job.id = any(wrong) and job.id <> all(free)
    );

    update public.scheduled_jobs as job set status = 'cancelled'
    from unnest(meetings) as asked (id)
    left join public.meetings as meeting on asked.id = meeting.id
    where job.id = any(free) and job.job_id = 'meeting-status:' || asked.id
        and job_scheduler.meeting_job_act(job, meeting, restart) = 'cancel';
    get diagnostics cancelled = row_count;

    update public.scheduled_jobs as job set
        name = job_scheduler.name_for(meeting.title),
        run_date = meeting.end_time,
        trigger_type = 'once',
        schedule = '{}',
        metadata = jsonb_build_object('meeting_id', meeting.id),
        status = case when job.status in ('completed', 'failed', 'cancelled') then 'scheduled' else job.status end
    from public.meetings as meeting
    where job.id = any(free) and meeting.id = any(meetings) and job.job_id = 'meeting-status:' || meeting.id
        and job_scheduler.meeting_job_act(job, meeting, restart) = 'write';
    get diagnostics moved = row_count;

    insert into public.scheduled_jobs (job_id, workspace_id, created_by, name, handler, metadata, run_date)
    select
        'meeting-status:' || meeting.id, meeting.workspace_id, meeting.created_by,
        job_scheduler.name_for(meeting.title), 'meeting_status',
        jsonb_build_object('meeting_id', meeting.id), meeting.end_time
    from public.meetings as meeting
    where meeting.id = any(meetings) and meeting.status = 'upcoming' and meeting.end_time is not null
        and not exists (
            select from public.scheduled_jobs as job
            where job.handler = 'meeting_status' and job.job_id = 'meeting-status:' || meeting.id
                and job_scheduler.is_of_tenant(job, meeting)
        )
    order by meeting.id
    on conflict do nothing;
    get diagnostics scheduled = row_count;

    select count(*), coalesce(array_agg(meeting.id) filter (where job.id is null), '{}') into upcoming, taken
    from public.meetings as meeting
    left join public.scheduled_jobs as job
        on job.handler = 'meeting_status' and job.job_id = 'meeting-status:' || meeting.id
            and job_scheduler.is_of_tenant(job, meeting)
    where meeting.id = any(meetings) and meeting.status = 'upcoming' and meeting.end_time is not null;
end
$$;
revoke all on function job_scheduler.settle_meetings(uuid[], boolean) from public;

-- Cancels the jobs of meetings that are no longer there, or no longer upcoming; answers how many.
create or replace function job_scheduler.cancel_orphans()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    cancelled bigint;
begin
    update public.scheduled_jobs as job set status = 'cancelled'
    where job.id in (
        select orphan.id from public.scheduled_jobs as orphan
        where orphan.handler = 'meeting_status' and orphan.job_id like 'meeting-status:%'
            and orphan.status in ('scheduled', 'paused')
            and not exists (
                select from public.meetings as meeting
                where 'meeting-status:' || meeting.id = orphan.job_id and job_scheduler.is_of_tenant(orphan, meeting)
                    and meeting.status = 'upcoming' and meeting.end_time is not null
            )
        for update skip locked
    );
    get diagnostics cancelled = row_count;
    return cancelled;
end
$$;
revoke all on function job_scheduler.cancel_orphans() from public;
