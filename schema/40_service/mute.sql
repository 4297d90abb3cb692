-- Mutes notifications for a while: a listener asks for it when there are more than Realtime should bring for long, and polls at
-- short intervals until then. The others learn it from their polls.

-- The listener counts what it hears, and anybody may send that where a project's policies are wide: so this is granted only if
-- the database itself has sent three notifications in the last minute. Nothing extends a mute that is on.
-- NOTIFY costs no messages, but commits that send one wait for one another: it is muted too when a listener asks for that, as
-- long as Realtime is at most. The last NOTIFY has the other listeners poll, and so learn of it.
-- {listener, seconds, notify: whether to mute NOTIFY too} ->
--   {now, muted_until: timestamptz | null, notify_muted_until: timestamptz | null}
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
begin
    if sent >= 3 then
        insert into job_scheduler.mute as m (until) values (wanted)
        on conflict (is_only) do update set until = excluded.until where m.until <= clock_timestamp();
    end if;
    if (request ->> 'notify')::boolean then
        update job_scheduler.mute as m
        set notify_until = least(m.until, wanted)
        where m.until > clock_timestamp() and coalesce(m.notify_until <= clock_timestamp(), true);
        if found then
            perform job_scheduler.send(
                jsonb_build_object('table', 'scheduled_jobs', 'rows', null, 'xid', pg_current_xact_id()::text::bigint), '{notify}'
            );
        end if;
    end if;
    return (
        select json_build_object('now', clock_timestamp(), 'muted_until', max(m.until), 'notify_muted_until', max(m.notify_until))
        from job_scheduler.mute as m
        where m.until > clock_timestamp()
    );
end
$$;
revoke all on function public.mute_v1(jsonb) from public, anon, authenticated;
grant execute on function public.mute_v1(jsonb) to service_role;
