-- The findings of the rules in the present evaluation.

-- Due jobs of a tenant that wait, by handler, 100,000 at most.
create or replace function job_scheduler.waiting_of(tenant uuid)
returns table (handler text, jobs bigint)
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select d.handler, count(*)
    from (
        (
            select j.handler from public.scheduled_jobs as j
            where
                tenant <> '00000000-0000-0000-0000-000000000000' and coalesce(j.workspace_id, j.created_by) = tenant
                and j.next_run_at <= now()
            limit 100000
        )
        union all
        (
            select j.handler from public.scheduled_jobs as j
            where
                tenant = '00000000-0000-0000-0000-000000000000' and coalesce(j.workspace_id, j.created_by) is null
                and j.next_run_at <= now()
            limit 100000
        )
    ) as d
    where d.handler <> 'alert_delivery'
    group by d.handler
$$;
revoke all on function job_scheduler.waiting_of(uuid) from public;

-- How many jobs wait of each rule about a backlog; of a rule of one job, how many runs of it. All rules of a tenant look once.
create or replace function job_scheduler.backlogs()
returns table (rule_id uuid, jobs bigint)
language sql
stable
set search_path = ''
as $$
    with waiting as materialized (
        select t.tenant_id, w.handler, w.jobs
        from (
            select distinct r.tenant_id from public.job_alert_rules as r
            where r.enabled and r.condition = 'backlog' and r.scheduled_job_id is null
        ) as t
        cross join lateral job_scheduler.waiting_of(t.tenant_id) as w
    )
    select
        r.id,
        case
            when r.scheduled_job_id is null then (
                select coalesce(sum(w.jobs), 0)::bigint from waiting as w
                where w.tenant_id = r.tenant_id and w.handler = coalesce(r.handler, w.handler)
            )
            else (
                select count(*) from public.job_executions as e
                where e.scheduled_job_id = r.scheduled_job_id and e.status = 'queued' and e.run_at <= now()
            ) + (
                select count(*) from public.scheduled_jobs as j
                where j.id = r.scheduled_job_id and j.due_at <= now() and j.status <> 'paused'
            )
        end
    from public.job_alert_rules as r
    where r.enabled and r.condition = 'backlog'
$$;
revoke all on function job_scheduler.backlogs() from public;

-- Handlers of a rule that no live listener has although jobs are due, and, with `gap`, that there was no listener for so long.
create or replace function job_scheduler.unheard_of(rule public.job_alert_rules, gap interval)
returns table (handler text, seconds double precision)
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select m.name, extract(epoch from now() - m.since)::double precision
    from job_scheduler.missing_handlers as m
    where
        m.since < now() - make_interval(secs => rule.threshold::double precision) and m.name = coalesce(rule.handler, m.name)
        and m.name <> 'alert_delivery'
        and (
            select j.id from public.scheduled_jobs as j -- not exists, for which the planner may read all jobs
            where
                j.handler = m.name and j.next_run_at < now()
                and coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000') = rule.tenant_id
                and j.id = coalesce(rule.scheduled_job_id, j.id)
            limit 1
        ) is not null
    union all
    select null, extract(epoch from gap)::double precision
    where gap > make_interval(secs => rule.threshold::double precision) and rule.active_since < now() - gap
$$;
revoke all on function job_scheduler.unheard_of(public.job_alert_rules, interval) from public;

-- The findings of each rule: by subject the jobs, the occurrences that are new, and whether a job was not in trouble before.
create or replace function job_scheduler.findings(gap interval)
returns table (
    rule_id uuid, subject text, scheduled_job_id bigint, handler text, jobs bigint, hits bigint, is_worse boolean,
    first_execution_id uuid, last_execution_id uuid, first_at timestamptz, last_at timestamptz, measure double precision
)
language sql
stable
set search_path = ''
as $$
    with troubled as materialized ( -- of what only goes on, one job of each handler: rules times jobs would be many
        select t.* from job_scheduler.troubled_jobs as t
        where t.hits > 0
        union all
        (
            select distinct on (t.kind, t.tenant_id, t.handler) t.* from job_scheduler.troubled_jobs as t
            where t.hits = 0 and t.kind in ('long_running', 'missed')
            order by t.kind, t.tenant_id, t.handler, t.measure desc
        )
        union all
        select t.* from job_scheduler.troubled_jobs as t
        where
            t.hits = 0 and t.kind in ('long_running', 'missed')
            and t.scheduled_job_id = any(array(
                select r.scheduled_job_id from public.job_alert_rules as r
                where r.enabled and r.condition in ('long_running', 'missed')
            ))
    )

    select
        r.id, coalesce('job:' || r.scheduled_job_id, 'handler:' || t.handler),
        r.scheduled_job_id, t.handler, count(*), sum(t.hits)::bigint, bool_or(t.is_new and t.hits > 0),
        (array_agg(t.first_execution_id order by t.first_at, t.first_execution_id))[1],
        (array_agg(t.last_execution_id order by t.last_at desc, t.last_execution_id desc))[1],
        min(t.first_at), max(t.last_at), max(t.measure)
    from public.job_alert_rules as r
    inner join troubled as t
        on
            r.tenant_id = t.tenant_id and t.kind = case r.condition when 'failing' then 'failed' else r.condition end
            and t.scheduled_job_id = coalesce(r.scheduled_job_id, t.scheduled_job_id)
            and t.handler = coalesce(r.handler, t.handler)
    where
        r.enabled and (t.hits > 0 or r.condition in ('long_running', 'missed')) and t.last_at >= r.active_since
        and (r.condition = 'failed' or t.measure >= r.threshold)
    group by r.id, 2, t.handler
    union all
    select
        r.id, coalesce('job:' || r.scheduled_job_id, 'handler:' || r.handler, 'all'),
        r.scheduled_job_id, r.handler, w.jobs, 0, false, null, null, now(), now(), w.jobs
    from public.job_alert_rules as r
    inner join job_scheduler.backlogs() as w on r.id = w.rule_id
    where w.jobs > r.threshold
    union all
    select
        r.id, coalesce('handler:' || u.handler, 'all'), r.scheduled_job_id, u.handler, 1, 0, false, null, null,
        now() - make_interval(secs => u.seconds), now(), u.seconds
    from public.job_alert_rules as r
    cross join lateral job_scheduler.unheard_of(r, gap) as u
    where r.enabled and r.condition = 'no_listener'
$$;
revoke all on function job_scheduler.findings(interval) from public;

-- A finding in words.
create or replace function job_scheduler.finding_text(condition text, occurrences bigint, measure double precision)
returns text
language sql
immutable
set search_path = ''
as $$
    select case condition
        when 'failed' then case when occurrences = 1 then 'a run failed' else format('%s runs failed', occurrences) end
        when 'failing' then format('a job failed %s times in a row', measure)
        when 'long_running' then format('a run has taken %s s', round(measure::numeric))
        when 'late' then format('a run began %s s late', round(measure::numeric, 1))
        when 'missed' then format('a due instant has had no run for %s s', round(measure::numeric))
        when 'backlog' then format('%s due jobs wait', measure)
        when 'no_listener' then format('no listener had it for %s s', round(measure::numeric))
    end
$$;
revoke all on function job_scheduler.finding_text(text, bigint, double precision) from public;

-- Opens an alert for a finding, or adds to the one that is open; one that was resolved within the cool-down is opened again, and
-- sent when that is over. Answers whether a new one was opened.
create or replace function job_scheduler.raise_alert(
    rule public.job_alert_rules, found_subject text, found_job bigint, found_handler text, jobs bigint, hits bigint,
    is_worse boolean, first_execution uuid, last_execution uuid, found_first timestamptz, found_last timestamptz,
    measure double precision
)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
    cooldown constant interval := make_interval(secs => rule.cooldown_seconds);
    alert public.job_alerts;
    is_state constant boolean := rule.condition in ('backlog', 'no_listener');
begin
    select a.* into alert from public.job_alerts as a
    where a.rule_id = rule.id and a.subject = found_subject
    order by (a.status <> 'resolved') desc, a.last_at desc
    limit 1
    for update;
    if alert.id is null or alert.status = 'resolved' and coalesce(alert.notified_at, '-infinity') + cooldown <= now() then
        insert into public.job_alerts (
            rule_id, workspace_id, created_by, condition, subject, scheduled_job_id, handler, message, occurrences,
            first_execution_id, last_execution_id, first_at, last_at, next_notification_at
        ) values (
            rule.id, rule.workspace_id, rule.created_by, rule.condition, found_subject, found_job, found_handler,
            job_scheduler.finding_text(rule.condition, greatest(hits, 1), measure),
            case when is_state then jobs else greatest(hits, 1) end, first_execution, last_execution, found_first, found_last,
            now()
        );
        return true;
    end if;
    update public.job_alerts as a
    set
        status = case when alert.status = 'acknowledged' then alert.status else 'firing' end,
        occurrences = case when is_state then greatest(a.occurrences, jobs) else a.occurrences + hits end,
        last_execution_id = coalesce(last_execution, a.last_execution_id), last_at = greatest(a.last_at, found_last),
        message = job_scheduler.finding_text(
            rule.condition, case when is_state then jobs else a.occurrences + hits end, measure
        ),
        resolved_at = null, acknowledged_at = case when alert.status = 'acknowledged' then a.acknowledged_at end,
        acknowledged_by = case when alert.status = 'acknowledged' then a.acknowledged_by end,
        next_notification_at = case
            when alert.status = 'resolved' then alert.notified_at + cooldown
            -- another job, long after the last notification, which did not name it
            when alert.status = 'firing' and is_worse and alert.notified_at + cooldown <= now() then now()
            else alert.next_notification_at
        end
    where a.id = alert.id;
    return false;
end
$$;
revoke all on function job_scheduler.raise_alert(
    public.job_alert_rules, text, bigint, text, bigint, bigint, boolean, uuid, uuid, timestamptz, timestamptz, double precision
) from public;
