-- Sends a probe, a signal without a job: a listener calls it when it has received nothing for a while, and a
-- channel that does not deliver the probe is stale.

-- It sends by the same function as every trigger on jobs and meetings, through the channels that are asked for, all by default.
-- Its rows name them, so that other listeners know what to expect.
-- {listener, channels} -> {now, channels: [those that this database can send on]}
create or replace function public.send_probe_v1(request jsonb)
returns json
language plpgsql
security definer -- service_role may not send by itself
set search_path = ''
as $$
declare
    possible constant text[] := case
        when to_regprocedure('realtime.send(jsonb,text,text,boolean)') is null then '{postgres_changes}'::text[]
        else '{broadcast,postgres_changes}'::text[]
    end || case when job_scheduler.is_listened() then '{notify}'::text[] end;
    asked constant jsonb := coalesce(request -> 'channels', to_jsonb(possible));
    through constant text[] := array(select c from unnest(possible) as c where asked ? c);
begin
    perform job_scheduler.send(
        jsonb_build_object('table', 'probe', 'rows', to_jsonb(through), 'xid', pg_current_xact_id()::text::bigint), through
    );
    return json_build_object('now', clock_timestamp(), 'channels', to_json(possible));
end
$$;
revoke all on function public.send_probe_v1(jsonb) from public, anon, authenticated;
grant execute on function public.send_probe_v1(jsonb) to service_role;
