-- Jobs whose handler no live listener has: they wait, their rows say why, and after a time their instants end.

-- The names of the handlers that a request names; null where it names none.
create or replace function job_scheduler.handlers_of(request jsonb)
returns text[]
language sql
immutable
set search_path = ''
as $$
    select case
        when request ? 'handlers' then array(select h.name from jsonb_array_elements_text(request -> 'handlers') as h (name))
    end
$$;
revoke all on function job_scheduler.handlers_of(jsonb) from public;

-- The handlers of the caller and of the other live listeners.
create or replace function job_scheduler.live_handlers(request jsonb)
returns text[]
language sql
stable
set search_path = ''
as $$
    select job_scheduler.handlers_of(request) || coalesce(array_agg(h.name), '{}')
    from public.job_listeners as l
    cross join unnest(l.handlers) as h (name)
    where l.heartbeat_at > now() - make_interval(secs => (request ->> 'lease_seconds')::double precision) / 2
$$;
revoke all on function job_scheduler.live_handlers(jsonb) from public;

-- The handlers of jobs that are due before an instant and that are not among these: one step in the index for each handler.
create or replace function job_scheduler.handlers_beside(live text[], before timestamptz)
returns text[]
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    with recursive handlers (name) as (
        (select j.handler from public.scheduled_jobs as j where j.next_run_at is not null order by j.handler limit 1)
        union all
        select (
            select j.handler from public.scheduled_jobs as j
            where j.next_run_at is not null and j.handler > h.name
            order by j.handler
            limit 1
        )
        from handlers as h
        where h.name is not null
    )

    select coalesce(array_agg(h.name order by h.name), '{}')
    from handlers as h
    where
        h.name <> all(live) and exists (
            select from public.scheduled_jobs as j
            where j.handler = h.name and j.next_run_at < before
        )
$$;
revoke all on function job_scheduler.handlers_beside(text[], timestamptz) from public;

-- The `error` of a job while no live listener has its handler; a claim clears it.
create or replace function job_scheduler.missing_error(handler text)
returns text
language sql
immutable
set search_path = ''
as $$
    select 'no live listener has the handler ' || to_jsonb(handler)::text || '; the job waits until one has it'
$$;
revoke all on function job_scheduler.missing_error(text) from public;

-- Writes into the rows of jobs that no live listener has their handler.
create or replace function job_scheduler.report_missing(jobs bigint[])
returns void
language sql
set search_path = ''
as $$
    update public.scheduled_jobs as j
    set error = job_scheduler.missing_error(j.handler), updated_at = now()
    where j.id = any(jobs)
$$;
revoke all on function job_scheduler.report_missing(bigint[]) from public;

-- Notes which handlers of due jobs no live listener has, and says so once in each job's row. Answers jobs that have waited
-- for longer than `no_handler_seconds`, while no listener had their handler: neither a start after a long pause nor a restart
-- of all listeners one by one ends an instant, since the time begins anew when nobody looked for as long, a minute at least.
-- {handlers: [name], lease_seconds, no_handler_seconds, limit} -> [job_row]
create or replace function job_scheduler.note_missing(request jsonb)
returns json
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan -- these as in claim_runs_v1
set enable_seqscan = off
as $$
declare
    patience constant interval := make_interval(secs => (request ->> 'no_handler_seconds')::double precision);
    missing constant text[] := job_scheduler.handlers_beside(
        job_scheduler.live_handlers(request), now() - interval '1 second'
    );
    job bigint;
    jobs bigint[];
begin
    delete from job_scheduler.missing_handlers as m where m.name <> all(missing);
    if cardinality(missing) = 0 then
        return '[]';
    end if;
    insert into job_scheduler.missing_handlers as m (name)
    select n.name from unnest(missing) as n (name) order by n.name
    on conflict (name) do update
    set
        since = case when m.seen_at < now() - greatest(patience, interval '1 minute') then now() else m.since end,
        seen_at = now();

    jobs := array(
        select j.id
        from public.scheduled_jobs as j
        where
            j.handler = any(missing) and j.next_run_at < now() - interval '1 second' and j.status <> 'running'
            and j.error is distinct from job_scheduler.missing_error(j.handler)
            and starts_with(j.error, 'no due instant can be computed: ') is not true -- which also ends nothing
        limit (request ->> 'limit')::int
        for update skip locked
    );
    begin
        perform job_scheduler.report_missing(jobs);
    exception when others then
        foreach job in array jobs loop
            begin
                perform job_scheduler.report_missing(array[job]);
            exception when others then
                continue; -- its row cannot be written; that delays no other
            end;
        end loop;
    end;
    return (
        select coalesce(json_agg(r.job_row), '[]')
        from job_scheduler.job_rows as r
        where r.id = any(job_scheduler.unhandled_jobs(missing, patience))
    );
end
$$;
revoke all on function job_scheduler.note_missing(jsonb) from public;

-- The number of due jobs that wait for a handler which no live listener has, 1000 at most, and the names of these handlers, 20
-- at most, as note_missing found them.
create or replace function job_scheduler.waiting_for_handlers()
returns json
language sql
set search_path = ''
set enable_seqscan = off
as $$
    select json_build_object(
        'jobs', (
            select count(*) from (
                select from public.scheduled_jobs as j
                where j.handler = any(m.names) and j.next_run_at < now() - interval '1 second'
                limit 1000
            ) as w
        ),
        'handlers', m.names[:20]
    )
    from (select array(select h.name from job_scheduler.missing_handlers as h order by h.name) as names) as m
$$;
revoke all on function job_scheduler.waiting_for_handlers() from public;

-- The handlers that active jobs name and no live listener has, 100 at most, for `listener doctor`; 1000 jobs stand for more.
-- {lease_seconds} -> {now, listeners: how many are live, missing: [{name, jobs}]}
create or replace function public.missing_handlers_v1(request jsonb)
returns json
language sql
security definer
set search_path = ''
set enable_seqscan = off
as $$
    select json_build_object(
        'now', clock_timestamp(),
        'listeners', (
            select count(*) from public.job_listeners as l
            where l.heartbeat_at > now() - make_interval(secs => (request ->> 'lease_seconds')::double precision) / 2
        ),
        'missing', (
            select coalesce(json_agg(json_build_object('name', m.name, 'jobs', (
                select count(*) from (
                    select from public.scheduled_jobs as j where j.handler = m.name and j.next_run_at is not null limit 1000
                ) as w
            )) order by m.name), '[]')
            from (
                select h.name from unnest(job_scheduler.handlers_beside(job_scheduler.live_handlers(request), 'infinity')) as h (name)
                limit 100
            ) as m
        )
    )
$$;
revoke all on function public.missing_handlers_v1(jsonb) from public, anon, authenticated;
grant execute on function public.missing_handlers_v1(jsonb) to service_role;

-- Some jobs, or some of these, that have been due for longer than `patience`, and whose handler, one of these, has been
-- missing for as long.
create or replace function job_scheduler.unhandled_jobs(handlers text[], patience interval, among bigint[] default null)
returns bigint[]
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select array(
        select j.id
        from public.scheduled_jobs as j
        where
            j.next_run_at < now() - patience and j.id = any(coalesce(among, array[j.id]))
            and starts_with(j.error, 'no due instant can be computed: ') is not true
            and j.handler = any(array(
                select m.name from job_scheduler.missing_handlers as m
                where m.name = any(handlers) and m.since < now() - patience
            ))
        limit 200
    )
$$;
revoke all on function job_scheduler.unhandled_jobs(text[], interval, bigint[]) from public;

-- Ends the instants of jobs that rescue_runs_v1 answered as unhandled, by a claim and its end in one transaction, so that all
-- else goes on as after a failed run. Jobs of which somebody has taken care meanwhile are left alone.
-- {listener, handlers, lease_seconds, no_handler_seconds, key_concurrency, claims: as claim_runs_v1}
-- -> {now, ended, rows: [job_row to arm]}
create or replace function public.end_unhandled_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    patience constant interval := make_interval(secs => (request ->> 'no_handler_seconds')::double precision);
    missing constant text[] := job_scheduler.handlers_beside(
        job_scheduler.live_handlers(request), now() - interval '1 second'
    );
    jobs constant bigint[] := job_scheduler.unhandled_jobs(
        missing, patience, array(select (c ->> 'id')::bigint from jsonb_array_elements(request -> 'claims') as c)
    );
    runs jsonb;
    results jsonb;
begin
    request := request || jsonb_build_object(
        'handlers', missing, 'ahead_seconds', 0, 'max_bytes', 4000000, 'claims', (
            select coalesce(jsonb_agg(c), '[]') from jsonb_array_elements(request -> 'claims') as c
            where (c ->> 'id')::bigint = any(jobs)
        )
    );
    runs := public.claim_runs_v1(request)::jsonb -> 'runs';
    select coalesce(jsonb_agg(jsonb_build_object(
        'id', r.execution_id, 'fence', r.fence, 'status', 'failed', 'reason', 'no_handler',
        'started_at', clock_timestamp(), 'completed_at', clock_timestamp(),
        'error', format('no live listener had the handler %s for %s', r.handler, patience)
    )), '[]')
    into results
    from rows from (
        jsonb_array_elements(runs -> 'execution_id'), jsonb_array_elements(runs -> 'fence'), jsonb_array_elements(runs -> 'handler')
    ) as r (execution_id, fence, handler);
    return json_build_object(
        'now', clock_timestamp(), 'ended', jsonb_array_length(results),
        'rows', public.finish_runs_v1(request || jsonb_build_object('results', results, 'logs', '[]'::jsonb)) -> 'rows'
    );
end
$$;
revoke all on function public.end_unhandled_v1(jsonb) from public, anon, authenticated;
grant execute on function public.end_unhandled_v1(jsonb) to service_role;
