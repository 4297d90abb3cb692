-- Which meetings the service looks at next, and the looking.

-- Takes changed meetings off the list, at most about `most`: of each tenant its share, the longest waiting first, tenants in
-- turn after `after`. `turn` is the tenant to go on after, null at the end of the round.
create or replace function job_scheduler.take_changed_meetings(
    after uuid, most integer, out meetings uuid[], out turn uuid
)
language plpgsql
set search_path = ''
as $$
declare
    tenants uuid[];
begin
    with recursive turns as (
        (
            select c.tenant from job_scheduler.changed_meetings as c
            where c.tenant > coalesce(after, '00000000-0000-0000-0000-000000000000')
            order by c.tenant limit 1
        )
        union all
        select (
            select c.tenant from job_scheduler.changed_meetings as c
            where c.tenant > t.tenant
            order by c.tenant limit 1
        )
        from turns as t
        where t.tenant is not null
    )
    select array_agg(t.tenant) into tenants
    from (select turns.tenant from turns where turns.tenant is not null limit most) as t;
    turn := case when cardinality(tenants) = most then tenants[most] end;
    meetings := array(
        select distinct c.meeting_id
        from unnest(tenants) as t (tenant)
        cross join lateral (
            select q.meeting_id from job_scheduler.changed_meetings as q
            where q.tenant = t.tenant
            order by q.id
            limit greatest(1, most / cardinality(tenants))
        ) as c
    );
    -- What is read after this has seen all of these changes.
    delete from job_scheduler.changed_meetings as c where c.meeting_id = any(meetings);
end
$$;
revoke all on function job_scheduler.take_changed_meetings(uuid, integer) from public;

-- Settles meetings, also where one of them makes it fail: that one is named in `failures`. Those that have to wait for a
-- lock are put on the list again, behind the others of their tenant.
create or replace function job_scheduler.settle_each(chosen uuid[], restart boolean)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    done record;
    one record;
    meeting uuid;
    patience integer := 3; -- locks that are waited for: each costs a lock_timeout
    failures jsonb := '[]';
begin
    select 0::bigint as upcoming, 0::bigint as scheduled, 0::bigint as moved, 0::bigint as cancelled,
        '{}'::uuid[] as taken, '{}'::uuid[] as busy
    into done;
    begin
        if cardinality(chosen) > 0 then -- else every look would notify the channels for nothing
            select * into done from job_scheduler.settle_meetings(chosen, restart);
        end if;
    exception
        when serialization_failure or deadlock_detected then
            raise;
        when others then
            foreach meeting in array chosen loop
                begin
                    if patience = 0 then
                        done.busy := done.busy || meeting;
                        continue;
                    end if;
                    select * into one from job_scheduler.settle_meetings(array[meeting], restart);
                    done.upcoming := done.upcoming + one.upcoming;
                    done.scheduled := done.scheduled + one.scheduled;
                    done.moved := done.moved + one.moved;
                    done.cancelled := done.cancelled + one.cancelled;
                    done.taken := done.taken || one.taken;
                    done.busy := done.busy || one.busy;
                exception
                    when lock_not_available then
                        patience := patience - 1;
                        done.busy := done.busy || meeting;
                    when others then
                        done.upcoming := done.upcoming + 1;
                        failures := failures || jsonb_build_object('meeting_id', meeting, 'error', sqlerrm);
                end;
            end loop;
    end;
    insert into job_scheduler.changed_meetings (tenant, meeting_id)
    select job_scheduler.turn_of(m.created_by, m.workspace_id), b.id
    from unnest(done.busy) as b (id)
    left join public.meetings as m on b.id = m.id;
    select failures || coalesce(jsonb_agg(jsonb_build_object(
        'meeting_id', id, 'error', 'job_id "meeting-status:' || id || '" is taken by a job of another handler'
    )), '[]') into failures
    from unnest(done.taken) as id;
    return jsonb_build_object(
        'total_meetings', done.upcoming,
        'jobs_scheduled', done.scheduled,
        'jobs_already_exist', done.upcoming - done.scheduled - jsonb_array_length(failures),
        'jobs_moved', done.moved,
        'jobs_cancelled', done.cancelled,
        'jobs_locked', cardinality(done.busy),
        'errors', jsonb_array_length(failures),
        'failures', failures
    );
end
$$;
revoke all on function job_scheduler.settle_each(uuid[], boolean) from public;

-- Makes the jobs of some meetings right; writes nothing where they are.
-- {changed: true, after: uuid | null, limit: int}: meetings that changed, tenants in turn; `after` continues the round.
-- {ids: [uuid]}: these meetings, a deleted one included. {after: uuid | null, limit: int}: a page of all that are upcoming.
-- -> {total_meetings, jobs_scheduled, jobs_already_exist, jobs_moved, jobs_cancelled, jobs_locked, errors, failures, after,
--   more}
-- Where `after` is not null the page or the round goes on there; `more` says that changed meetings are left, and not for a
-- lock alone.
create or replace function public.sync_meetings_v1(request jsonb)
returns jsonb
language plpgsql
security definer -- it writes jobs in the name of the meeting's owner, which no client may
set search_path = ''
as $$
declare
    after constant uuid := request ->> 'after';
    most constant integer := coalesce((request ->> 'limit')::integer, 500);
    chosen uuid[];
    next uuid;
    orphans bigint := 0;
    settled jsonb;
begin
    perform set_config('job_scheduler.actor', 'service', true); -- nobody did what is done here: the audit leaves it out
    -- One at a time over all replicas, so that none waits for rows in another's order.
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler.sync_meetings', 0));
    perform set_config('lock_timeout', '300', true); -- a client's transaction may stay open
    if request -> 'changed' = 'true' then
        select t.meetings, t.turn into chosen, next from job_scheduler.take_changed_meetings(after, most) as t;
    elsif jsonb_typeof(request -> 'ids') = 'array' then
        chosen := array(select id::uuid from jsonb_array_elements_text(request -> 'ids') as id);
    else
        chosen := array(
            select meeting.id
            from public.meetings as meeting
            where meeting.id > coalesce(after, '00000000-0000-0000-0000-000000000000') and meeting.status = 'upcoming'
            order by meeting.id
            limit most
        );
        next := case when cardinality(chosen) = most then chosen[most] end;
        orphans := case when after is null then job_scheduler.cancel_orphans() else 0 end;
    end if;
    settled := job_scheduler.settle_each(
        chosen, request -> 'changed' is distinct from 'true' and jsonb_typeof(request -> 'ids') is distinct from 'array'
    );
    return settled || jsonb_build_object(
        'jobs_cancelled', (settled ->> 'jobs_cancelled')::bigint + orphans,
        'after', next,
        'more', request -> 'changed' = 'true' and cardinality(chosen) > (settled ->> 'jobs_locked')::integer
        and exists (select from job_scheduler.changed_meetings)
    );
end
$$;
revoke all on function public.sync_meetings_v1(jsonb) from public, anon, authenticated;
grant execute on function public.sync_meetings_v1(jsonb) to service_role;
