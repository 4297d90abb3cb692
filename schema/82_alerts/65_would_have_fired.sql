-- "Would have fired": what a rule would have found in the ledger as it is kept.

-- Runs of a tenant's ledger that ended after an instant, of those that the caller sees: others' runs are not read.
create or replace function job_scheduler.past_runs(tenant uuid, since timestamptz)
returns setof public.job_executions
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_custom_plan -- by a plan for any tenant at all, those of others are read
as $$
begin
    return query
    select e.* from public.job_executions as e
    where e.created_by = tenant and e.workspace_id is null and e.completed_at > since
    union all
    select e.* from public.job_executions as e
    where e.workspace_id = tenant and e.completed_at > since
    union all
    select e.* from public.job_executions as e
    where
        tenant = '00000000-0000-0000-0000-000000000000' and e.workspace_id is null and e.created_by is null
        and e.completed_at > since;
end
$$;
revoke all on function job_scheduler.past_runs(uuid, timestamptz) from public;
grant execute on function job_scheduler.past_runs(uuid, timestamptz) to authenticated, service_role;

-- The runs of the caller's ledger that meet a condition, of so many days, the newest 10,000. For failing: each run that failed as
-- the n-th in a row or later. For missed: instants that were skipped, or began later than the threshold.
create or replace function job_scheduler.past_hits(
    tenant uuid, condition text, job bigint, handler text, threshold double precision, days integer
)
returns table (at timestamptz, scheduled_job_id bigint, handler_name text, execution_id uuid)
language sql
stable
set search_path = ''
as $$
    with runs as materialized (
        select
            coalesce(e.completed_at, e.scheduled_for) as at, e.scheduled_job_id, j.handler as handler_name, e.id, e.status,
            e.reason, e.duration_ms, e.lateness_ms, e.scheduled_for, e.cause
        from job_scheduler.past_runs(past_hits.tenant, now() - make_interval(days => days)) as e
        inner join public.scheduled_jobs as j on e.scheduled_job_id = j.id
        where
            not e.test_mode
            and e.scheduled_job_id = coalesce(job, e.scheduled_job_id) and j.handler = coalesce(past_hits.handler, j.handler)
            and j.handler <> 'alert_delivery'
            and e.status in ('completed', 'failed', 'skipped')
            and (
                e.status <> 'failed' or (
                    select n.id from public.job_executions as n
                    where
                        n.scheduled_job_id = e.scheduled_job_id and n.scheduled_for = e.scheduled_for and n.cause = e.cause
                        and n.attempt = e.attempt + 1
                ) is null
            )
        order by e.completed_at desc
        limit 100000
    ), counted as (
        select
            r.*, count(*) filter (where r.status = 'completed') over (
                partition by r.scheduled_job_id order by r.at, r.id
            ) as streak
        from runs as r
        where r.status <> 'skipped'
    ), in_a_row as (
        select
            c.*, count(*) filter (where c.status = 'failed') over (
                partition by c.scheduled_job_id, c.streak order by c.at, c.id
            ) as failures
        from counted as c
    )
    select h.at, h.scheduled_job_id, h.handler_name, h.id
    from (
        select r.at, r.scheduled_job_id, r.handler_name, r.id from runs as r
        where
            case condition
                when 'failed' then r.status = 'failed'
                when 'long_running' then r.duration_ms > threshold * 1000
                when 'late' then r.lateness_ms > threshold * 1000
                when 'missed' then
                    r.status = 'skipped' and r.reason = 'misfire' or r.lateness_ms > threshold * 1000
                else false
            end
        union all
        select i.at, i.scheduled_job_id, i.handler_name, i.id from in_a_row as i
        where condition = 'failing' and i.status = 'failed' and i.failures >= threshold
    ) as h
    order by h.at desc
    limit 10000
$$;
revoke all on function job_scheduler.past_hits(uuid, text, bigint, text, double precision, integer) from public;
grant execute on function job_scheduler.past_hits(uuid, text, bigint, text, double precision, integer)
to authenticated, service_role;

-- How often a rule would have fired in the last days: {alerts, occurrences, first_at, last_at, by_day: [{day, alerts,
-- occurrences}], days, more, replayable}. Occurrences of one subject that the cool-down or less lies between are one alert.
-- `rule` has the columns of a row of job_alert_rules, saved or not. What waited, and whether there was a listener, is in no
-- ledger: backlog and no_listener are not replayable.
create or replace function public.preview_alert_rule(rule jsonb, days integer default 7)
returns jsonb
language sql
stable
set search_path = ''
as $$
    with asked as (
        select
            coalesce(r.workspace_id, r.created_by, job_scheduler.caller(), '00000000-0000-0000-0000-000000000000') as tenant,
            r.condition, r.scheduled_job_id, r.handler, coalesce(r.cooldown_seconds, 900) as cooldown_seconds,
            coalesce(r.threshold, job_scheduler.default_threshold(r.condition))::double precision as threshold,
            least(greatest(days, 1), 90) as days
        from jsonb_to_record(rule) as r (
            workspace_id uuid, created_by uuid, condition text, scheduled_job_id bigint, handler text, threshold numeric,
            cooldown_seconds integer
        )
    ), hits as (
        select
            h.at,
            h.at - lag(h.at) over (
                partition by case when a.scheduled_job_id is null then h.handler_name end order by h.at
            ) <= make_interval(secs => a.cooldown_seconds) as is_same
        from asked as a
        cross join lateral job_scheduler.past_hits(
            a.tenant, a.condition, a.scheduled_job_id, a.handler, a.threshold, a.days
        ) as h
    ), by_day as (
        select
            date_trunc('day', h.at, 'UTC') as day, count(*) filter (where h.is_same is not true) as alerts,
            count(*) as occurrences
        from hits as h
        group by 1
    )
    select jsonb_build_object(
        'alerts', count(*) filter (where h.is_same is not true), 'occurrences', count(*), 'first_at', min(h.at),
        'last_at', max(h.at), 'more', count(*) >= 10000, 'days', (select a.days from asked as a),
        'replayable', (select coalesce(a.condition not in ('backlog', 'no_listener'), false) from asked as a),
        'by_day', (
            select coalesce(
                jsonb_agg(jsonb_build_object('day', d.day, 'alerts', d.alerts, 'occurrences', d.occurrences) order by d.day), '[]'
            )
            from by_day as d
        )
    )
    from hits as h
$$;
revoke all on function public.preview_alert_rule(jsonb, integer) from public, anon, authenticated, service_role;
grant execute on function public.preview_alert_rule(jsonb, integer) to authenticated, service_role;
