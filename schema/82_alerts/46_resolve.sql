-- Alerts that are over.

-- Whether another job of an alert's handler completed after its last occurrence: of what ended since, the newest 1,000 are read.
create or replace function job_scheduler.completed_since(alert public.job_alerts, tenant uuid)
returns boolean
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select exists (
        select
        from (
            select e.scheduled_job_id, e.status, e.test_mode
            from public.job_executions as e
            where e.completed_at > alert.last_at
            order by e.completed_at desc
            limit 1000
        ) as n
        inner join public.scheduled_jobs as j on n.scheduled_job_id = j.id
        where
            n.status = 'completed' and not n.test_mode and j.handler = alert.handler
            and coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000') = tenant
    )
$$;
revoke all on function job_scheduler.completed_since(public.job_alerts, uuid) from public;

-- Whether what an alert is about goes on. Jobs that ended as failed do not come back by themselves: once others of their handler
-- complete, and none has failed for the cool-down, they count no longer.
create or replace function job_scheduler.goes_on(alert public.job_alerts, rule public.job_alert_rules)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
    troubled_kind constant text := case rule.condition when 'failing' then 'failed' else rule.condition end;
begin
    if rule.condition in ('backlog', 'no_listener') then
        return alert.last_at >= now(); -- found in this very transaction
    elsif rule.scheduled_job_id is not null then
        return exists (
            select from job_scheduler.troubled_jobs as t
            where
                t.kind = troubled_kind and t.scheduled_job_id = rule.scheduled_job_id
                and (rule.condition = 'failed' or t.measure >= rule.threshold)
        );
    end if;
    return exists (
        select
        from job_scheduler.troubled_jobs as t
        left join public.scheduled_jobs as j on t.scheduled_job_id = j.id
        where
            t.kind = troubled_kind and t.tenant_id = rule.tenant_id and t.handler = alert.handler
            and t.last_at >= alert.first_at
            and (rule.condition = 'failed' or t.measure >= rule.threshold)
            and (rule.condition not in ('failed', 'failing') or t.hits > 0 or j.status <> 'failed')
    ) or rule.condition in ('failed', 'failing') and exists (
        select from job_scheduler.troubled_jobs as t
        where
            t.kind = troubled_kind and t.tenant_id = rule.tenant_id and t.handler = alert.handler
            and t.last_at >= alert.first_at
            and (rule.condition = 'failed' or t.measure >= rule.threshold)
    ) and (
        alert.last_at > now() - make_interval(secs => rule.cooldown_seconds)
        or not job_scheduler.completed_since(alert, rule.tenant_id)
    );
end
$$;
revoke all on function job_scheduler.goes_on(public.job_alerts, public.job_alert_rules) from public;

-- Resolves alerts that are over, and those of rules that are disabled or look at something else by now, of which nothing is sent;
-- answers how many. Then forgets failed jobs that do not come back and that no alert is about.
create or replace function job_scheduler.resolve_alerts()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    resolved bigint;
begin
    update public.job_alerts as a
    set
        status = 'resolved', resolved_at = now(), next_notification_at = null,
        is_announced = a.is_announced and r.enabled and r.notify_recovery and r.active_since <= a.last_at
    from public.job_alert_rules as r
    where
        a.rule_id = r.id and a.status <> 'resolved'
        and not (r.enabled and r.active_since <= a.last_at and job_scheduler.goes_on(a, r));
    get diagnostics resolved = row_count;
    delete from job_scheduler.troubled_jobs as t
    where t.kind = 'failed' and t.hits = 0 and t.scheduled_job_id = any(array(
        select o.scheduled_job_id
        from job_scheduler.troubled_jobs as o
        inner join public.scheduled_jobs as j on o.scheduled_job_id = j.id
        where
            o.kind = 'failed' and j.status = 'failed' and not exists (
                select from public.job_alerts as a
                inner join public.job_alert_rules as r on a.rule_id = r.id
                where
                    a.status <> 'resolved' and r.tenant_id = o.tenant_id and a.condition in ('failed', 'failing')
                    and a.first_at <= o.last_at
            )
    ));
    return resolved;
end
$$;
revoke all on function job_scheduler.resolve_alerts() from public;
