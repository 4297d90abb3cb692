-- The jobs that a listener holds in memory. A listener with capacity for all that are near holds all; else each party gets a
-- share, and what it leaves unused is shared among the others. A party is a user, for all their workspaces together; jobs
-- that the service key made are their workspace's, or the service's own. Everything is looked up through one index that
-- begins with the party, so that a list costs as much as what it lists and not as what there is.

-- The parties that have a job to act on before `until`: one step in the index for each party that has any job to come.
create or replace function job_scheduler.near_parties(until timestamptz, handlers text[])
returns uuid[]
language sql
stable
set search_path = ''
as $$
    with recursive parties (party) as (
        (
            select coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000')
            from public.scheduled_jobs as j
            where j.next_run_at is not null
            order by coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000')
            limit 1
        )
        union all
        select (
            select coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000')
            from public.scheduled_jobs as j
            where
                j.next_run_at is not null
                and coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') > p.party
            order by coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000')
            limit 1
        )
        from parties as p
        where p.party is not null
    )

    select coalesce(array_agg(p.party), '{}')
    from parties as p
    where exists (
        select from public.scheduled_jobs as j
        where
            coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
            and j.next_run_at <= until and (j.handler = any(handlers)) is not false
    )
$$;
revoke all on function job_scheduler.near_parties(timestamptz, text[]) from public;

-- How many jobs each party may have in memory for `most` in all, and until when all of everybody's are within that.
create or replace function job_scheduler.share_of_each(
    parties uuid[], until timestamptz, most bigint, handlers text[], out share bigint, out complete_until timestamptz
)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
as $$
declare
    unserved uuid[] := parties; -- those that have more than the share
    more uuid[];
    used bigint;
    free bigint := most;
begin
    loop
        share := greatest(free / cardinality(unserved), 1);
        select array_agg(p.party) filter (where c.jobs > share), coalesce(sum(c.jobs) filter (where c.jobs <= share), 0)
        into more, used
        from unnest(unserved) as p (party)
        cross join lateral (
            select count(*) as jobs
            from (
                select from public.scheduled_jobs as j
                where
                    coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                    and j.next_run_at <= until and (j.handler = any(handlers)) is not false
                limit share + 1
            ) as few
        ) as c;
        exit when more is null or cardinality(more) = cardinality(unserved);
        free := free - used;
        unserved := more;
    end loop;
    select coalesce(min(l.next_run_at), until) into complete_until
    from unnest(more) as p (party)
    cross join lateral (
        select j.next_run_at
        from public.scheduled_jobs as j
        where
            coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
            and j.next_run_at <= until and (j.handler = any(handlers)) is not false
        order by j.next_run_at, j.id
        offset share
        limit 1
    ) as l;
    if cardinality(parties) > most then
        complete_until := now();
    end if;
end
$$;
revoke all on function job_scheduler.share_of_each(uuid[], timestamptz, bigint, text[]) from public;

-- The share of each party: what is due or is so in ten seconds, the highest priority first; then what comes next. First
-- of all parties the first, then the second of each, and so on.
create or replace function job_scheduler.shared_out(
    parties uuid[], share bigint, until timestamptz, most bigint, handlers text[]
)
returns bigint[]
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select coalesce(array_agg(s.id order by s.place, s.next_run_at, s.id), '{}')
    from (
        select c.id, c.place, c.next_run_at
        from unnest(parties) as p (party)
        cross join lateral (
            select
                m.id, m.next_run_at,
                row_number() over (
                    order by
                        m.next_run_at > now() + interval '10 seconds',
                        case when m.next_run_at <= now() + interval '10 seconds' then -m.priority end,
                        m.next_run_at, m.id
                ) as place
            from (
                (
                    select j.id, j.priority, j.next_run_at
                    from public.scheduled_jobs as j
                    where
                        coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                        and j.priority > 0 and j.next_run_at <= least(until, now() + interval '10 seconds')
                        and (j.handler = any(handlers)) is not false
                    order by j.priority desc, j.next_run_at, j.id
                    limit share
                )
                union all (
                    select j.id, j.priority, j.next_run_at
                    from public.scheduled_jobs as j
                    where
                        coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                        and j.priority = 0 and j.next_run_at <= least(until, now() + interval '10 seconds')
                        and (j.handler = any(handlers)) is not false
                    order by j.next_run_at, j.id
                    limit share
                )
                union all (
                    select j.id, j.priority, j.next_run_at
                    from public.scheduled_jobs as j
                    where
                        coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                        and j.priority < 0 and j.next_run_at <= least(until, now() + interval '10 seconds')
                        and (j.handler = any(handlers)) is not false
                    order by j.priority desc, j.next_run_at, j.id
                    limit share
                )
                union all (
                    select j.id, j.priority, j.next_run_at
                    from public.scheduled_jobs as j
                    where
                        coalesce(j.created_by, j.workspace_id, '00000000-0000-0000-0000-000000000000') = p.party
                        and j.next_run_at > now() + interval '10 seconds' and j.next_run_at <= until
                        and (j.handler = any(handlers)) is not false
                    order by j.next_run_at, j.id
                    limit share
                )
            ) as m
            order by place
            limit share
        ) as c
        order by c.place, c.next_run_at, c.id
        limit most
    ) as s
$$;
revoke all on function job_scheduler.shared_out(uuid[], bigint, timestamptz, bigint, text[]) from public;

-- The jobs to act on before `until` that a listener with memory for `limit` of them holds. `complete_until`: nothing to act on
-- before that was left out; `left_out`: how many are due and were, as far as counted.
-- {until, limit, handlers: [name] (else of any)} -> {now, cursor, snapshot, ids: [bigint], complete_until, left_out}
create or replace function public.due_jobs_v1(request jsonb)
returns json
language plpgsql
stable
security definer
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
as $$
declare
    until constant timestamptz := request ->> 'until';
    most constant bigint := request ->> 'limit';
    handlers constant text[] := job_scheduler.handlers_of(request);
    parties uuid[];
    of_each record;
    ids bigint[] := array(
        select j.id from public.scheduled_jobs as j
        where j.next_run_at <= until and (j.handler = any(handlers)) is not false
        order by j.next_run_at, j.id
        limit most + 1
    );
    complete_until timestamptz := until;
    left_out bigint := 0;
begin
    if cardinality(ids) > most then
        parties := job_scheduler.near_parties(until, handlers);
        of_each := job_scheduler.share_of_each(parties, until, most, handlers);
        complete_until := of_each.complete_until;
        ids := job_scheduler.shared_out(parties, of_each.share, until, most, handlers);
        left_out := (
            select count(*) from (
                select from public.scheduled_jobs as j
                where j.next_run_at <= now() and (j.handler = any(handlers)) is not false
                limit 4 * most
            ) as d
        ) - (select count(*) from public.scheduled_jobs as j where j.id = any(ids) and j.next_run_at <= now());
    end if;
    return json_build_object(
        'now', clock_timestamp(), 'cursor', job_scheduler.horizon(), 'snapshot', pg_current_snapshot()::text,
        'ids', to_json(ids), 'complete_until', complete_until, 'left_out', left_out
    );
end
$$;
revoke all on function public.due_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.due_jobs_v1(jsonb) to service_role;
