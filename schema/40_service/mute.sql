-- Mutes notifications for a while: a listener asks for it when there are more than Realtime should bring for long, and polls at
-- short intervals until then. The others learn it from their polls.

-- The listener counts what it hears, and anybody may send that where a project's policies are wide: so this is granted only if
-- the database itself has sent three notifications in the last minute. Nothing extends a mute that is on.
-- {listener, seconds} -> {now, muted_until: timestamptz | null}
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
begin
    if sent >= 3 then
        insert into job_scheduler.mute as m (until)
        values (clock_timestamp() + make_interval(secs => least((request ->> 'seconds')::double precision, 60)))
        on conflict (is_only) do update set until = excluded.until where m.until <= clock_timestamp();
    end if;
    return json_build_object(
        'now', clock_timestamp(),
        'muted_until', (select m.until from job_scheduler.mute as m where m.until > clock_timestamp())
    );
end
$$;
revoke all on function public.mute_v1(jsonb) from public, anon, authenticated;
grant execute on function public.mute_v1(jsonb) to service_role;
