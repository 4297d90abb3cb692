-- Mutes notifications for a while: a listener asks for it when there are more than Realtime should bring for long, and polls at
-- short intervals until then. The others learn it from their polls.

-- The listener counts what it hears, and anybody may send that where a project's policies are wide: so this is granted only if
-- the database itself has sent three notifications in the last minute. Nothing extends a mute that is on.
-- NOTIFY costs no messages, but commits that send one wait for one another: it is muted too when a listener asks for that, as
-- long as Realtime is muted, or spared, at most. The last NOTIFY has the other listeners poll, and so learn of it.
-- {listener, seconds, notify: whether to mute NOTIFY too} ->
--   {now, muted_until: until when not through Realtime, for whichever reason | null, notify_muted_until | null,
--   spared_until | null}
create or replace function public.mute_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    sent constant integer := (
        select count(*)
        from (select s.at, s.message from job_scheduler.signals as s order by s.id desc limit 20) as s
        where s.at > now() - interval '1 minute' and s.message ->> 'table' not in ('probe', 'job_listeners')
    );
    wanted constant timestamptz := clock_timestamp()
        + make_interval(secs => least((request ->> 'seconds')::double precision, 60));
    spared timestamptz;
    muted record;
    closed timestamptz;
begin
    if sent >= 3 then
        insert into job_scheduler.mute as m (until) values (wanted)
        on conflict (is_only) do update set until = excluded.until where m.until <= clock_timestamp();
    end if;
    if (request ->> 'notify')::boolean then
        perform from job_scheduler.listening as l for share; -- who ends the sparing of Realtime ends this mute, too
        closed := greatest((select m.until from job_scheduler.mute as m), job_scheduler.spared_until());
        if closed > clock_timestamp() then
            insert into job_scheduler.mute as m (until, notify_until) values (clock_timestamp(), least(closed, wanted))
            on conflict (is_only) do update set notify_until = excluded.notify_until
            where coalesce(m.notify_until <= clock_timestamp(), true);
            if found then
                perform job_scheduler.send(
                    jsonb_build_object('table', 'scheduled_jobs', 'rows', null, 'xid', pg_current_xact_id()::text::bigint),
                    '{notify}'
                );
            end if;
        end if;
    end if;
    spared := job_scheduler.spared_until();
    select m.until, m.notify_until into muted from job_scheduler.mute as m;
    closed := greatest(muted.until, spared);
    if closed <= clock_timestamp() then
        closed := null;
    end if;
    return json_build_object(
        'now', clock_timestamp(), 'muted_until', closed,
        'notify_muted_until', case when closed is not null then muted.notify_until end,
        'spared_until', spared
    );
end
$$;
revoke all on function public.mute_v1(jsonb) from public, anon, authenticated;
grant execute on function public.mute_v1(jsonb) to service_role;
