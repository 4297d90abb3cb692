-- Jobs that a source made change by their source only: a user cancels, pauses, resumes and runs them, and nothing else.

create or replace function job_scheduler.is_of_source(handler text, job_id text)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select handler = 'meeting_status' and job_id like 'meeting-status:%'
$$;
revoke all on function job_scheduler.is_of_source(text, text) from public;
grant execute on function job_scheduler.is_of_source(text, text) to authenticated, service_role; -- their writes fire triggers

create or replace function job_scheduler.keep_to_source()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    changed record;
begin
    if tg_op = 'DELETE' then
        raise exception 'scheduled_jobs.job_id: "%" follows its source and is not to be deleted', old.job_id
        using errcode = '42501', hint = 'Cancel the job, or delete the row that it follows.';
    end if;
    select n.key, n.value into changed
    from jsonb_each(to_jsonb(new)) as n
    where n.key <> 'status' and n.value is distinct from to_jsonb(old) -> n.key
    order by n.key
    limit 1;
    if found then
        raise exception 'scheduled_jobs.%: % is not allowed in job "%", which follows its source; expected %', changed.key,
            left(changed.value::text, 120), old.job_id, left((to_jsonb(old) -> changed.key)::text, 120)
        using errcode = '42501', hint = 'Cancel, pause, resume or run the job; all else follows the row that it was made of.';
    end if;
    return new;
end
$$;
revoke all on function job_scheduler.keep_to_source() from public;

-- What a change of a meeting tells the listeners.

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

-- The three channels: up to a hundred ids, else null for "look yourself".
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

-- Meetings: what their jobs are made of, and how a poll finds those that changed.

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

-- Makes the jobs of these meetings right and answers what it wrote. `restart` also runs a job again that ended
-- although its meeting is still upcoming; otherwise that needs a change of the meeting newer than the job, because
-- a poll may show the same meeting many times, and a failing job must not run once a poll.
create or replace function job_scheduler.settle_meetings(
    meetings uuid[], restart boolean,
    out upcoming bigint, out scheduled bigint, out moved bigint, out cancelled bigint, out taken uuid[]
)
language plpgsql
set search_path = ''
as $$
begin
    -- A job follows its meeting to a new owner as a new row: Realtime would show the old row to the new owner.
    delete from public.scheduled_jobs as job
    using public.meetings as meeting
    where meeting.id = any(meetings) and job.handler = 'meeting_status' and job.job_id = 'meeting-status:' || meeting.id
        and (job.workspace_id, job.created_by) is distinct from (meeting.workspace_id, meeting.created_by);

    -- A running job is what has just set its meeting to done; let it end.
    update public.scheduled_jobs as job set status = 'cancelled'
    from unnest(meetings) as asked (id)
    left join public.meetings as meeting on asked.id = meeting.id
    where job.handler = 'meeting_status' and job.job_id = 'meeting-status:' || asked.id
        and (
            job.status in ('scheduled', 'paused')
            or (job.status = 'running' and meeting.status::text is distinct from 'done')
        )
        and (meeting.status = 'upcoming' and meeting.end_time is not null) is not true;
    get diagnostics cancelled = row_count;

    update public.scheduled_jobs as job set
        name = job_scheduler.name_for(meeting.title),
        run_date = meeting.end_time,
        trigger_type = 'once',
        schedule = '{}',
        metadata = jsonb_build_object('meeting_id', meeting.id),
        status = case when job.status in ('completed', 'failed', 'cancelled') then 'scheduled' else job.status end
    from public.meetings as meeting
    where meeting.id = any(meetings) and meeting.status = 'upcoming'
        and job.handler = 'meeting_status' and job.job_id = 'meeting-status:' || meeting.id
        and (
            job.run_date <> meeting.end_time
            or job.name is distinct from job_scheduler.name_for(meeting.title)
            or job.trigger_type <> 'once'
            or job.metadata <> jsonb_build_object('meeting_id', meeting.id)
            or job.status = 'cancelled'
            or (job.status in ('completed', 'failed') and (restart or meeting.revision > job.revision))
        );
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
        )
    order by meeting.id
    on conflict do nothing;
    get diagnostics scheduled = row_count;

    select count(*), coalesce(array_agg(meeting.id) filter (where job.id is null), '{}') into upcoming, taken
    from public.meetings as meeting
    left join public.scheduled_jobs as job
        on job.handler = 'meeting_status' and job.job_id = 'meeting-status:' || meeting.id
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
    where job.handler = 'meeting_status' and job.job_id like 'meeting-status:%' and job.status in ('scheduled', 'paused')
        and not exists (
            select from public.meetings as meeting
            where 'meeting-status:' || meeting.id = job.job_id
                and meeting.status = 'upcoming' and meeting.end_time is not null
        );
    get diagnostics cancelled = row_count;
    return cancelled;
end
$$;
revoke all on function job_scheduler.cancel_orphans() from public;

-- The meetings that a request chooses, at most `limit` of them in the order of id.
create or replace function job_scheduler.choose_meetings(request jsonb)
returns uuid[]
language sql
stable
set search_path = ''
as $$
    select case
        when jsonb_typeof(request -> 'ids') = 'array' then array(
            select id::uuid from jsonb_array_elements_text(request -> 'ids') as id
        )
        else array(
            select meeting.id
            from public.meetings as meeting
            where meeting.id > coalesce((request ->> 'after')::uuid, '00000000-0000-0000-0000-000000000000')
                and case
                    when request ->> 'cursor' is not null then meeting.revision >= (request ->> 'cursor')::bigint
                    else meeting.status = 'upcoming'
                end
            order by meeting.id
            limit (request ->> 'limit')::integer
        )
    end
$$;
revoke all on function job_scheduler.choose_meetings(jsonb) from public;

-- Makes the jobs of the chosen meetings right; writes nothing where they are.
-- {cursor: bigint | null, ids: [uuid] | null, after: uuid | null, limit: int}: the meetings changed since the cursor,
-- or these ids (a deleted one included), or else a page of all that are upcoming.
-- -> {total_meetings, jobs_scheduled, jobs_already_exist, jobs_moved, jobs_cancelled, errors, failures, cursor, after}
-- Where `after` is not null there is a next page; the cursor to poll from is the one of the first page.
create or replace function public.sync_meetings_v1(request jsonb)
returns jsonb
language plpgsql
security definer -- it writes jobs in the name of the meeting's owner, which no client may
set search_path = ''
as $$
declare
    horizon bigint;
    chosen uuid[];
    meeting uuid;
    done record;
    one record;
    restart boolean := request ->> 'cursor' is null and jsonb_typeof(request -> 'ids') is distinct from 'array';
    orphans bigint := 0;
    failures jsonb := '[]';
begin
    perform set_config('job_scheduler.actor', 'service', true); -- nobody did what is done here: the audit leaves it out
    -- One at a time over all replicas, so that none waits for rows in another's order.
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler.sync_meetings', 0));
    horizon := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    chosen := job_scheduler.choose_meetings(request);
    select 0::bigint as upcoming, 0::bigint as scheduled, 0::bigint as moved, 0::bigint as cancelled, '{}'::uuid[] as taken
    into done;
    begin
        if cardinality(chosen) > 0 then -- else every poll would notify the channels for nothing
            select * into done from job_scheduler.settle_meetings(chosen, restart);
        end if;
    exception
        when serialization_failure or deadlock_detected or lock_not_available then
            raise;
        when others then
            -- One bad row must not stop the others: the slow way says which it is.
            foreach meeting in array chosen loop
                begin
                    select * into one from job_scheduler.settle_meetings(array[meeting], restart);
                    done.upcoming := done.upcoming + one.upcoming;
                    done.scheduled := done.scheduled + one.scheduled;
                    done.moved := done.moved + one.moved;
                    done.cancelled := done.cancelled + one.cancelled;
                    done.taken := done.taken || one.taken;
                exception when others then
                    done.upcoming := done.upcoming + 1;
                    failures := failures || jsonb_build_object('meeting_id', meeting, 'error', sqlerrm);
                end;
            end loop;
    end;
    select failures || coalesce(jsonb_agg(jsonb_build_object(
        'meeting_id', id, 'error', 'job_id "meeting-status:' || id || '" is taken by a job of another handler'
    )), '[]') into failures
    from unnest(done.taken) as id;
    if restart and request ->> 'after' is null then
        orphans := job_scheduler.cancel_orphans();
    end if;
    return jsonb_build_object(
        'total_meetings', done.upcoming,
        'jobs_scheduled', done.scheduled,
        'jobs_already_exist', done.upcoming - done.scheduled - jsonb_array_length(failures),
        'jobs_moved', done.moved,
        'jobs_cancelled', done.cancelled + orphans,
        'errors', jsonb_array_length(failures),
        'failures', failures,
        'cursor', horizon,
        'after', case
            when jsonb_typeof(request -> 'ids') is distinct from 'array'
                and cardinality(chosen) = (request ->> 'limit')::integer then chosen[cardinality(chosen)]
        end
    );
end
$$;
revoke all on function public.sync_meetings_v1(jsonb) from public, anon, authenticated;
grant execute on function public.sync_meetings_v1(jsonb) to service_role;
