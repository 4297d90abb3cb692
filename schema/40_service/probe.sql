-- Sends a probe, a signal without a job: a listener calls it when it has received nothing for a while, and a
-- channel that does not deliver the probe is stale.

-- It sends by the same function, and so by the same two channels, as every trigger on jobs and meetings.
-- {listener} -> {now, channels: [those that this database can send on]}
create or replace function public.send_probe_v1(request jsonb)
returns json
language plpgsql
security definer -- service_role may not notify by itself
set search_path = ''
as $$
begin
    perform job_scheduler.notify('probe', jsonb_build_array(request -> 'listener'));
    return json_build_object(
        'now', clock_timestamp(),
        'channels', case
            when to_regprocedure('realtime.send(jsonb,text,text,boolean)') is null then '["postgres_changes"]'::json
            else '["broadcast", "postgres_changes"]'::json
        end
    );
end
$$;
revoke all on function public.send_probe_v1(jsonb) from public, anon, authenticated;
grant execute on function public.send_probe_v1(jsonb) to service_role;
