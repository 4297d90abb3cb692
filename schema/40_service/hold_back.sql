-- How many runs of a party go on at a time and begin in a minute, over all listeners. A party is a workspace whose settings
-- name one of these bounds, else the user who made the job; the service's own jobs have none.

-- How many runs of a party go on.
create or replace function job_scheduler.running_of(party uuid, is_workspace boolean)
returns bigint
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_nestloop = on
set enable_mergejoin = on
as $$
begin
    if is_workspace then
        return (
            select count(*) from public.job_executions as e
            where e.workspace_id = party and e.lease_expires_at is not null
        );
    end if;
    return (
        select count(*)
        from public.job_executions as e
        where
            e.created_by = party and e.lease_expires_at is not null
            and (e.workspace_id is null or not exists (
                select from public.job_workspaces as w
                where w.id = e.workspace_id and w.settings ?| array['max_running', 'max_runs_per_minute']
            ))
    );
end
$$;
revoke all on function job_scheduler.running_of(uuid, boolean) from public;

-- Of these jobs, those whose claims have to wait, and the parties that are at their bounds. What is let through is counted
-- here, and claims of one party take turns at its row of job_scheduler.usage: it is called once, with all jobs of a claim.
create or replace function job_scheduler.hold_back(jobs bigint[], out held bigint[], out bounded uuid[])
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_nestloop = on
set enable_mergejoin = on
as $$
declare
    this_minute constant timestamptz := date_trunc('minute', clock_timestamp());
    usual_running constant numeric := job_scheduler.limit_of('quota_max_running');
    usual_rate constant numeric := job_scheduler.limit_of('quota_max_runs_per_minute');
    owned bigint[];
    parties uuid[];
    workspaces boolean[];
    runnings numeric[];
    rates numeric[];
begin
    held := '{}';
    bounded := '{}';
    select
        array_agg(o.id), array_agg(case when o.is_workspace then o.workspace_id else o.created_by end),
        array_agg(o.is_workspace), array_agg(coalesce((o.settings ->> 'max_running')::numeric, usual_running)),
        array_agg(coalesce((o.settings ->> 'max_runs_per_minute')::numeric, usual_rate))
    into owned, parties, workspaces, runnings, rates
    from (
        select
            j.id, j.workspace_id, j.created_by, w.settings,
            coalesce(w.settings ?| array['max_running', 'max_runs_per_minute'], false) as is_workspace
        from public.scheduled_jobs as j
        left join public.job_workspaces as w on j.workspace_id = w.id
        where j.id = any(jobs) and j.next_run_at <= clock_timestamp() + interval '10 seconds'
        order by j.priority desc, j.next_run_at, j.id
    ) as o
    where o.created_by is not null or o.is_workspace and o.settings -> 'limit_service' = 'true';
    if owned is null then
        return;
    end if;
    insert into job_scheduler.usage as u (party, minute, runs)
    select p.party, this_minute, 0 from (select distinct o.party from unnest(parties) as o (party)) as p
    order by p.party
    on conflict (party) do update
    set minute = this_minute, runs = case when u.minute = this_minute then u.runs else 0 end;

    with wanted as (
        select o.*, row_number() over (partition by o.party order by o.place) as number
        from unnest(owned, parties, workspaces, runnings, rates)
            with ordinality as o (id, party, is_workspace, max_running, max_rate, place)
    ), allowances as (
        select w.party, least(
            w.max_running - job_scheduler.running_of(w.party, w.is_workspace), w.max_rate - u.runs
        ) as free_slots
        from wanted as w
        inner join job_scheduler.usage as u on w.party = u.party
        where w.number = 1
    ), counted as (
        update job_scheduler.usage as u
        set runs = u.runs + c.runs
        from (
            select w.party, count(*) as runs
            from wanted as w
            inner join allowances as r on w.party = r.party
            where w.number <= r.free_slots
            group by w.party
        ) as c
        where u.party = c.party
    )
    select coalesce(array_agg(w.id), '{}'), coalesce(array_agg(distinct w.party), '{}') into held, bounded
    from wanted as w
    inner join allowances as r on w.party = r.party
    where w.number > r.free_slots;
end
$$;
revoke all on function job_scheduler.hold_back(bigint[]) from public;
