do $migration$
declare
    body constant text := $file$
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
set check_function_bodies = off; -- public.meetings may be a project's own, in another shape
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
reset check_function_bodies;
revoke all on function job_scheduler.choose_meetings(jsonb) from public;

-- Makes the jobs of the chosen meetings right; writes nothing where they are.
-- {cursor: bigint | null, ids: [uuid] | null, after: uuid | null, limit: int}: the meetings changed since the cursor,
-- or these ids (a deleted one included), or else a page of all that are upcoming.
-- -> {total_meetings, jobs_scheduled, jobs_already_exist, jobs_moved, jobs_cancelled, errors, failures, cursor, after}
-- Where public.meetings is a project's own table, there are none.
-- Where `after` is not null there is a next page; the cursor to poll from is the one of the first page.
create or replace function public.sync_meetings_v1(request jsonb)
returns jsonb
language plpgsql
security definer -- it writes jobs in the name of the meeting's owner, which no client may
set search_path = ''
as $$
declare
    horizon bigint;
    ours constant boolean := job_scheduler.has_meetings();
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
    chosen := case when ours then job_scheduler.choose_meetings(request) else '{}' end;
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
    if ours and restart and request ->> 'after' is null then
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

-- A project's own public.meetings is left alone, whatever its shape.

-- Whether public.meetings is the table of these migrations.
create or replace function job_scheduler.has_meetings()
returns boolean
language sql
stable
set search_path = ''
as $$
    select coalesce(
        obj_description(to_regclass('public.meetings'), 'pg_class')
        = 'A meeting that is upcoming has one job, meeting-status:<id>, due at end_time.',
        false
    )
$$;
revoke all on function job_scheduler.has_meetings() from public;
grant execute on function job_scheduler.has_meetings() to service_role;

-- Why the migration of meetings is not applied: null where it may be. Where add_source is there, the message has the
-- statement that gives the project's table jobs, made of its columns.
create or replace function job_scheduler.meetings_left_alone()
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
    relation constant regclass := to_regclass('public.meetings');
    message text := 'public.meetings is a table of this project and is left alone; its rows get no jobs';
    key name;
    due name;
    owner name;
begin
    if relation is null or job_scheduler.has_meetings() then
        return null;
    end if;
    select a.attname into key
    from pg_index as i
    inner join pg_attribute as a on i.indrelid = a.attrelid and a.attnum = i.indkey[0]
    where i.indrelid = relation and i.indisprimary and i.indnatts = 1;
    select a.attname into due
    from pg_attribute as a
    where a.attrelid = relation and not a.attisdropped and a.atttypid = 'timestamptz'::regtype
    order by array_position('{end_time,ends_at,end_at,due_at,starts_at,start_time,start_at}'::name[], a.attname), a.attnum
    limit 1;
    select a.attname into owner
    from pg_attribute as a
    where a.attrelid = relation and a.atttypid = 'uuid'::regtype
        and a.attname in ('created_by', 'user_id', 'owner_id', 'organizer_id')
    order by a.attnum
    limit 1;
    if to_regproc('job_scheduler.add_source') is null or key is null or due is null then
        return message;
    end if;
    return message || format(
        '. This statement gives them some: select job_scheduler.add_source(name => %L, source => %L, due_at => %L, '
        'handler => %L, metadata => %L%s);',
        'meeting', 'public.meetings', quote_ident(due), 'your_handler',
        format('jsonb_build_object(''meeting_id'', %I)', key), format(', owner => %L', quote_ident(owner))
    );
end
$$;
revoke all on function job_scheduler.meetings_left_alone() from public;
$file$;
    left_alone constant text := null;
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090500') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090500', 'add_sources', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
