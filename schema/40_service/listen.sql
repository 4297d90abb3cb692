-- Has statements send a NOTIFY for a while, two minutes at most. A listener calls it again before that ends, as long as it
-- listens.

-- {listener, seconds} -> {now, until, was_on: whether statements have sent one up to now}
create or replace function public.listen_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    was_on constant boolean := job_scheduler.is_listened();
    wanted constant timestamptz := clock_timestamp()
        + make_interval(secs => least((request ->> 'seconds')::double precision, 120));
begin
    insert into job_scheduler.listening as l (until) values (wanted)
    on conflict (is_only) do update set until = excluded.until where l.until < excluded.until;
    return json_build_object(
        'now', clock_timestamp(), 'until', (select l.until from job_scheduler.listening as l), 'was_on', was_on
    );
end
$$;
revoke all on function public.listen_v1(jsonb) from public, anon, authenticated;
grant execute on function public.listen_v1(jsonb) to service_role;
