-- Notifications of alerts.

-- How many messages of a tenant's alerts were sent, or are to be, in the last hour.
create or replace function job_scheduler.alert_deliveries_of(tenant uuid)
returns bigint
language sql
stable
set search_path = ''
as $$
    select count(*) from public.job_alert_deliveries as d
    where
        coalesce(d.workspace_id, d.created_by, '00000000-0000-0000-0000-000000000000') = tenant
        and d.created_at > now() - interval '1 hour' and d.kind in ('firing', 'repeat', 'recovery') and d.status <> 'skipped'
$$;
revoke all on function job_scheduler.alert_deliveries_of(uuid) from public;

-- How many messages of a tenant's alerts were skipped in the last hour.
create or replace function job_scheduler.alert_skips_of(tenant uuid)
returns bigint
language sql
stable
set search_path = ''
as $$
    select count(*) from public.job_alert_deliveries as d
    where
        coalesce(d.workspace_id, d.created_by, '00000000-0000-0000-0000-000000000000') = tenant
        and d.created_at > now() - interval '1 hour' and d.status = 'skipped'
$$;
revoke all on function job_scheduler.alert_skips_of(uuid) from public;

-- Enters deliveries of alerts to the channels of their rules, or why not, and answers those to send; of a tenant's beyond its
-- quota in an hour none is sent, and no more than as many again are entered as skipped.
create or replace function job_scheduler.enter_deliveries(alerts uuid[], notification text)
returns uuid[]
language sql
set search_path = ''
as $$
    with wanted as (
        select
            a.id, a.workspace_id, a.created_by, a.is_announced, r.tenant_id, c.id as channel_id, c.kind as channel_kind, c.target,
            case
                when c.id is null then 'the rule has no channel'
                when not c.enabled then 'the channel is disabled'
                when c.confirmed_at is null then 'the address is not confirmed'
            end as fault
        from public.job_alerts as a
        inner join public.job_alert_rules as r on a.rule_id = r.id
        left join public.job_alert_channels as c
            on
                r.tenant_id = c.tenant_id
                and case when r.channel_ids = '{}' then c.enabled else c.id = any(r.channel_ids) end
        where a.id = any(alerts)
    ), used as (
        select
            t.tenant_id, job_scheduler.quota_of(t.workspace_id, 'max_alert_deliveries_per_hour', t.is_owned) as most,
            job_scheduler.alert_deliveries_of(t.tenant_id) as deliveries, job_scheduler.alert_skips_of(t.tenant_id) as skips
        from (
            select distinct w.tenant_id, w.workspace_id, coalesce(w.workspace_id, w.created_by) is not null as is_owned
            from wanted as w
        ) as t
    ), judged as (
        select
            w.*, u.skips, u.most,
            case
                when w.fault is not null then w.fault
                when
                    u.deliveries + row_number() over (partition by w.tenant_id, w.fault is null order by w.id, w.channel_id)
                    > u.most then format('quota max_alert_deliveries_per_hour: limit %s', u.most)
            end as why_not
        from wanted as w
        inner join used as u on w.tenant_id = u.tenant_id
    ), entered as (
        insert into public.job_alert_deliveries (
            alert_id, channel_id, workspace_id, created_by, kind, channel_kind, target, status, error
        )
        select
            j.id, j.channel_id, j.workspace_id, j.created_by,
            case when notification = 'firing' and j.is_announced then 'repeat' else notification end, j.channel_kind, j.target,
            case when j.why_not is null then 'queued' else 'skipped' end, j.why_not
        from (
            select o.*, row_number() over (partition by o.tenant_id, o.why_not is null order by o.id, o.channel_id) as place
            from judged as o
        ) as j
        where j.why_not is null or j.most is null or j.skips + j.place <= j.most
        returning id, status
    )
    select coalesce(array_agg(e.id) filter (where e.status = 'queued'), '{}') from entered as e
$$;
revoke all on function job_scheduler.enter_deliveries(uuid[], text) from public;

-- Notifies of alerts that fire, and of those that recovered; of a rule that is muted nothing is sent, and later what then
-- still fires. Answers how many deliveries there are to send.
create or replace function job_scheduler.notify_of_alerts()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    firing constant uuid[] := array(
        select a.id
        from public.job_alerts as a
        inner join public.job_alert_rules as r on a.rule_id = r.id
        where
            a.status = 'firing' and a.next_notification_at <= now() and r.enabled
            and coalesce(r.muted_until, '-infinity') <= now()
        order by a.id
    );
    recovered constant uuid[] := array(
        select a.id
        from public.job_alerts as a
        inner join public.job_alert_rules as r on a.rule_id = r.id
        where a.status = 'resolved' and a.is_announced and a.resolved_at = now()
    );
    deliveries uuid[];
begin
    deliveries := job_scheduler.enter_deliveries(firing, 'firing') || job_scheduler.enter_deliveries(array(
        select a.id
        from public.job_alerts as a
        inner join public.job_alert_rules as r on a.rule_id = r.id
        where a.id = any(recovered) and coalesce(r.muted_until, '-infinity') <= now()
        order by a.id
    ), 'recovery');
    update public.job_alerts as a
    set
        notified_at = now(), is_announced = true,
        next_notification_at = now() + make_interval(secs => r.repeat_seconds)
    from public.job_alert_rules as r
    where a.id = any(firing) and a.rule_id = r.id;
    update public.job_alerts as a
    set is_announced = false
    where a.id = any(recovered);
    if cardinality(deliveries) > 0 then
        perform job_scheduler.queue_deliveries(deliveries);
    end if;
    return cardinality(deliveries);
end
$$;
revoke all on function job_scheduler.notify_of_alerts() from public;
