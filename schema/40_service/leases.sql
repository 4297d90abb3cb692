-- Extends the claims on these runs, each named with its fence. A claim that is no longer held is answered as lost; one
-- whose row somebody else has locked just now is neither lost nor extended.
create or replace function job_scheduler.extend_claims(
    executions jsonb, me uuid, lease interval, out lost json, out unsure json
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan -- these as in claim_runs_v1
set enable_seqscan = off
set enable_nestloop = off -- thousands of claims at a time would be compared with one another
set enable_mergejoin = off
as $$
declare
    ids constant uuid[] := array(select (x ->> 0)::uuid from jsonb_array_elements(executions) as x);
    fences constant integer[] := array(select (x ->> 1)::integer from jsonb_array_elements(executions) as x);
    extended uuid[];
    jobs bigint[];
begin
    with mine as (
        select e.id
        from unnest(ids, fences) as x (id, fence)
        inner join public.job_executions as e on x.id = e.id
        where e.id = any(ids) and e.status = 'running' and e.listener_id = me and e.fence = x.fence
        for no key update of e skip locked
    ), written as (
        update public.job_executions as e
        set lease_expires_at = clock_timestamp() + lease
        where e.id = any(array(select m.id from mine as m))
        returning e.id, e.scheduled_job_id
    )
    select coalesce(array_agg(w.id), '{}'), array_agg(w.scheduled_job_id) into extended, jobs from written as w;

    update public.job_executions as e
    set stopped_at = now() -- its job was cancelled while this row was locked, by an end that was not written then
    where
        e.id = any(extended) and e.stopped_at is null and e.cause = 'schedule'
        and e.scheduled_job_id = any(
            array(select j.id from public.scheduled_jobs as j where j.id = any(jobs) and j.status = 'cancelled')
        );

    update public.scheduled_jobs as j
    set lease_expires_at = clock_timestamp() + lease
    where j.id = any(array(
        select s.id
        from public.scheduled_jobs as s
        where s.id = any(jobs) and s.claimed_by = me
        for no key update skip locked -- it is only for display; the ledger decides
    ));

    select
        coalesce(json_agg(json_build_array(x.id, x.fence)) filter (where e.id is null), '[]'),
        coalesce(json_agg(json_build_array(x.id, x.fence)) filter (where e.id is not null), '[]')
    into lost, unsure
    from unnest(ids, fences) as x (id, fence)
    left join unnest(extended) as w (id) on x.id = w.id
    left join public.job_executions as e
        on e.id = any(ids) and x.id = e.id and e.status = 'running' and e.listener_id = me and e.fence = x.fence
    where w.id is null or e.id is null;
end
$$;
revoke all on function job_scheduler.extend_claims(jsonb, uuid, interval) from public;

-- Notes a heartbeat; answers whether the listener is new. A row that somebody has locked is not waited for: leases matter more.
create or replace function job_scheduler.note_heartbeat(
    me uuid, name text, handlers text[], version text, capacity integer, lease interval, receives_notify boolean
)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    update public.job_listeners as l
    set heartbeat_at = clock_timestamp(), receives_notify = note_heartbeat.receives_notify
    where l.id = any(array(select o.id from public.job_listeners as o where o.id = me for no key update skip locked));
    if found or exists (select from public.job_listeners as l where l.id = me) then
        return false;
    end if;
    insert into public.job_listeners (id, name, handlers, version, capacity, lease_seconds, receives_notify)
    values (me, name, handlers, version, capacity, extract(epoch from lease)::double precision, receives_notify)
    on conflict do nothing;
    return true;
end
$$;
revoke all on function job_scheduler.note_heartbeat(uuid, text, text[], text, integer, interval, boolean) from public;

-- Whether every live listener receives NOTIFY; no, if none is alive.
create or replace function job_scheduler.all_receive_notify()
returns boolean
language sql
set search_path = ''
as $$
    select coalesce(bool_and(l.receives_notify), false)
    from public.job_listeners as l
    where l.heartbeat_at > clock_timestamp() - make_interval(secs => l.lease_seconds / 2)
$$;
revoke all on function job_scheduler.all_receive_notify() from public;

-- Has statements notify by NOTIFY alone, for so long, if every live listener receives it; else through Realtime again, and ends a
-- mute of NOTIFY, which lasts no longer. The one that holds the row sees what those before it have written, so that no heartbeat
-- overlooks a listener that has just come; and a listener learns by its polls that Realtime is spared.
create or replace function job_scheduler.spare_realtime(lease interval)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if job_scheduler.all_receive_notify() then
        perform from job_scheduler.listening as l
        where coalesce(l.spared_until < clock_timestamp() + lease * 0.7, true)
        for no key update skip locked;
        if found and job_scheduler.all_receive_notify() then
            update job_scheduler.listening as l set spared_until = clock_timestamp() + lease where l.is_only;
        end if;
        return;
    end if;
    update job_scheduler.listening as l set spared_until = clock_timestamp() where l.spared_until > clock_timestamp();
    if found then
        update job_scheduler.mute as m
        set notify_until = clock_timestamp()
        where m.notify_until > clock_timestamp() and m.until <= clock_timestamp();
    end if;
exception when lock_not_available then
    raise warning 'job_scheduler.spare_realtime: %', sqlerrm; -- leases matter more
end
$$;
revoke all on function job_scheduler.spare_realtime(interval) from public;

-- A listener's heartbeat, and the extension of its claims.
-- {listener, name, version, capacity, handlers: [name], lease_seconds, executions: [[id, fence]], shares, receives_notify} ->
--   {now, lost: [[id, fence]], unsure: [[id, fence]], listeners: {id: its last heartbeat}, handlers: {id: [name]} of those that
--   have other handlers, has_alerts: whether to call evaluate_alerts_v1}
-- A listener that starts or stops sends no heartbeat. A listener that missed at most one heartbeat is alive.
create or replace function public.extend_leases_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set lock_timeout = '2s'
as $$
declare
    me constant uuid := (request ->> 'listener')::uuid;
    lease constant interval := make_interval(secs => (request ->> 'lease_seconds')::double precision);
    mine constant text[] := coalesce(job_scheduler.handlers_of(request), '{}');
    shares constant boolean := coalesce((request ->> 'shares')::boolean, true);
    claims record;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    if
        shares and job_scheduler.note_heartbeat(
            me, request ->> 'name', mine, request ->> 'version', (request ->> 'capacity')::integer, lease,
            coalesce((request ->> 'receives_notify')::boolean, false)
        ) then
        perform job_scheduler.notify('job_listeners', null);
    end if;
    delete from public.job_listeners
    where id = any(array(
        select l.id from public.job_listeners as l
        where l.heartbeat_at < now() - greatest(lease * 10, interval '10 minutes')
        for update skip locked
    ));

    select * into claims from job_scheduler.extend_claims(request -> 'executions', me, lease);
    if shares then
        perform job_scheduler.spare_realtime(lease); -- last, since other heartbeats wait for its row
    end if;
    return json_build_object(
        'now', clock_timestamp(),
        'lost', claims.lost,
        'unsure', claims.unsure,
        'has_alerts', job_scheduler.has_alerts(),
        'listeners', (
            select json_object_agg(l.id, l.heartbeat_at)
            from public.job_listeners as l
            where l.heartbeat_at > now() - lease / 2
        ),
        'handlers', (
            select json_object_agg(l.id, l.handlers)
            from public.job_listeners as l
            where l.heartbeat_at > now() - lease / 2 and l.handlers <> mine
        )
    );
end
$$;
revoke all on function public.extend_leases_v1(jsonb) from public, anon, authenticated;
grant execute on function public.extend_leases_v1(jsonb) to service_role;

-- A listener announces that it leaves, so that its share passes on at once.
create or replace function public.leave_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set lock_timeout = '2s'
as $$
begin
    delete from public.job_listeners where id = (request ->> 'listener')::uuid;
    if found then
        perform job_scheduler.notify('job_listeners', null);
        if not job_scheduler.all_receive_notify() then
            perform job_scheduler.spare_realtime('0');
        end if;
    end if;
    return json_build_object('now', clock_timestamp());
end
$$;
revoke all on function public.leave_v1(jsonb) from public, anon, authenticated;
grant execute on function public.leave_v1(jsonb) to service_role;
