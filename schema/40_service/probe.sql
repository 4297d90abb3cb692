-- A canary is a signal for nobody in particular: a listener rings it when it has heard nothing for a while, and whichever
-- doorbell does not bring it along is deaf.

-- Rings by the same function, and so by the same two doorbells, as every trigger on jobs and meetings does.
-- {listener} -> {now, doorbells: [those that this database can ring]}
create or replace function public.ring_canary_v1(request jsonb)
returns json
language plpgsql
security definer -- service_role may not ring by itself
set search_path = ''
as $$
begin
    perform job_scheduler.ring('canary', jsonb_build_array(request -> 'listener'));
    return json_build_object(
        'now', clock_timestamp(),
        'doorbells', case
            when to_regprocedure('realtime.send(jsonb,text,text,boolean)') is null then '["postgres_changes"]'::json
            else '["broadcast", "postgres_changes"]'::json
        end
    );
end
$$;
revoke all on function public.ring_canary_v1(jsonb) from public, anon, authenticated;
grant execute on function public.ring_canary_v1(jsonb) to service_role;
