-- Pending rows of the hand-written table become jobs; `adopted` says for each row what was done with it.
do $$
declare
    old jsonb;
    outcome text;
    found_handler text;
    payload jsonb;
begin
    create temporary table adopted (place bigint generated always as identity, line text not null) on commit drop;
    for old in select to_jsonb(o) from public.scheduled_jobs_before as o order by o.run_date, o.id loop
        payload := case when jsonb_typeof(old -> 'metadata') = 'object' then old -> 'metadata' else '{}' end;
        found_handler := coalesce(
            old ->> 'handler', old ->> 'job_type', payload ->> 'handler', payload ->> 'job_type', payload ->> 'type'
        );
        if lower(old ->> 'status') not in ('pending', 'scheduled', 'active', 'queued', 'waiting') then
            outcome := format('kept in scheduled_jobs_before: its status is %s', coalesce(old ->> 'status', 'null'));
        elsif found_handler is null then
            outcome := 'kept in scheduled_jobs_before: neither job_type nor handler names a handler';
        else
            begin
                insert into public.scheduled_jobs (job_id, handler, metadata, run_date, test_mode)
                values (
                    old ->> 'job_id', found_handler, payload - array['handler', 'job_type'],
                    (old ->> 'run_date')::timestamptz, coalesce((old ->> 'test_mode')::boolean, false)
                );
                outcome := format('moved: handler %s, due %s', found_handler, old ->> 'run_date') || case
                    when (old ->> 'run_date')::timestamptz < now() then ', so it runs when a listener starts' else ''
                end;
            exception when others then
                outcome := format('kept in scheduled_jobs_before: %s', sqlerrm);
            end;
        end if;
        insert into adopted (line) values (format('%s (%s): %s', old ->> 'job_id', old ->> 'id', outcome));
    end loop;
end
$$;
