-- The checks of a rule, the number that a tenant may have, and the statuses that users give alerts.

-- The threshold of a condition where a rule has none: seconds, or how many.
create or replace function job_scheduler.default_threshold(condition text)
returns numeric
language sql
immutable
set search_path = ''
as $$
    select case condition
        when 'failed' then 1
        when 'failing' then 3
        when 'long_running' then 300
        when 'late' then 60
        when 'missed' then 300
        when 'backlog' then 1000
        when 'no_listener' then 60
    end
$$;

-- Checks a rule; what it names belongs to the rule's tenant. A rule that is enabled or looks at something else looks from now on.
create or replace function job_scheduler.admit_rule()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    tenant constant uuid := coalesce(new.workspace_id, new.created_by, '00000000-0000-0000-0000-000000000000');
    stranger uuid;
begin
    if tg_op = 'INSERT' or (old.enabled, old.condition, old.scheduled_job_id, old.handler, old.threshold)
        is distinct from (new.enabled, new.condition, new.scheduled_job_id, new.handler, new.threshold) then
        new.active_since := now();
    end if;
    if job_scheduler.default_threshold(new.condition) is null then
        perform job_scheduler.refuse_alert(
            'job_alert_rules', 'condition', new.condition,
            'one of failed, failing, long_running, late, missed, backlog, no_listener'
        );
    end if;
    -- One too small for a double precision would end the evaluation of everybody's rules.
    new.threshold := trim_scale(round(coalesce(new.threshold, job_scheduler.default_threshold(new.condition)), 3));
    if new.condition = 'failing' and (new.threshold < 2 or new.threshold > 50 or new.threshold % 1 <> 0) then
        perform job_scheduler.refuse_alert(
            'job_alert_rules', 'threshold', new.threshold::text, '2 to 50 failures in a row, for the condition failing'
        );
    elsif new.condition = 'failed' and new.threshold <> 1 then
        perform job_scheduler.refuse_alert(
            'job_alert_rules', 'threshold', new.threshold::text, 'null, for the condition failed; failing counts failures'
        );
    elsif new.scheduled_job_id is not null and not exists (
        select from public.scheduled_jobs as j
        where
            j.id = new.scheduled_job_id and j.handler <> 'alert_delivery'
            and coalesce(j.workspace_id, j.created_by, '00000000-0000-0000-0000-000000000000') = tenant
    ) then
        perform job_scheduler.refuse_alert(
            'job_alert_rules', 'scheduled_job_id', new.scheduled_job_id::text, 'the id of a job of the rule''s tenant, and of no delivery of alerts'
        );
    end if;
    if new.handler = 'alert_delivery' then -- its messages would be about itself
        perform job_scheduler.refuse_alert(
            'job_alert_rules', 'handler', new.handler, 'another one, for no rule looks at deliveries of alerts'
        );
    end if;
    select c.id into stranger
    from unnest(new.channel_ids) as c (id)
    where
        not exists (select from public.job_alert_channels as a where a.id = c.id and a.tenant_id = tenant)
        and (tg_op = 'INSERT' or c.id <> all(old.channel_ids)) -- one that was deleted since does not stand in the way
    limit 1;
    if found then
        perform job_scheduler.refuse_alert('job_alert_rules', 'channel_ids', stranger::text, 'ids of channels of the rule''s tenant');
    end if;
    return new;
end
$$;

-- Refuses more than a user may have over all workspaces without a bound of their own, see check_active_quota_of: else each
-- workspace would be as many again.
create or replace function job_scheduler.bound_alerting_of(owner uuid, workspace uuid, table_name text, quota text)
returns void
language plpgsql
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.limit_of('quota_' || quota);
    used bigint;
begin
    if owner is null or workspace is null or exists (
        select from public.job_workspaces as w where w.id = workspace and w.settings ? quota
    ) then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler quota of user ' || owner, 0));
    select count(*) into used
    from (
        select c.workspace_id from public.job_alert_channels as c where c.created_by = owner and table_name = 'job_alert_channels'
        union all
        select r.workspace_id from public.job_alert_rules as r where r.created_by = owner and table_name = 'job_alert_rules'
    ) as o
    left join public.job_workspaces as w on o.workspace_id = w.id
    where not coalesce(w.settings ? quota, false);
    if used > most then
        perform job_scheduler.refuse_quota(quota, 'no more of this user in all workspaces together', most, used - 1);
    end if;
end
$$;
revoke all on function job_scheduler.bound_alerting_of(uuid, uuid, text, text) from public;

-- Refuses more channels or rules than a tenant may have: tg_argv names the quota.
create or replace function job_scheduler.bound_alerting()
returns trigger
language plpgsql
security definer -- it counts rows as they are, and quotas are the operator's to see
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.quota_of(new.workspace_id, tg_argv[0], true);
    used bigint;
begin
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler quota of ' || new.tenant_id, 0));
    if tg_table_name = 'job_alert_channels' then
        select count(*) into used from public.job_alert_channels as c where c.tenant_id = new.tenant_id;
    else
        select count(*) into used from public.job_alert_rules as r where r.tenant_id = new.tenant_id;
    end if;
    if used > most then
        perform job_scheduler.refuse_quota(tg_argv[0], 'one more is not allowed', most, used - 1);
    end if;
    perform job_scheduler.bound_alerting_of(new.created_by, new.workspace_id, tg_table_name, tg_argv[0]);
    return null;
end
$$;

-- Users acknowledge an alert, which stops its repetitions, or resolve it.
create or replace function job_scheduler.settle_alert()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if (old.status, new.status) not in (
        ('firing', 'acknowledged'), ('firing', 'resolved'), ('acknowledged', 'resolved'), ('acknowledged', 'firing')
    ) then
        perform job_scheduler.refuse_alert(
            'job_alerts', 'status', new.status, format('a status that may follow %s', old.status),
            'An alert is firing, acknowledged, resolved, in this order; another occurrence opens a new one.'
        );
    end if;
    new.acknowledged_at := case when new.status <> 'firing' then coalesce(old.acknowledged_at, now()) end;
    new.acknowledged_by := case when new.status <> 'firing' then coalesce(old.acknowledged_by, job_scheduler.caller()) end;
    if new.status = 'resolved' then
        new.resolved_at := now();
        new.is_announced := false; -- whoever resolved it knows
    end if;
    if new.status <> 'firing' then
        new.next_notification_at := null;
    end if;
    return new;
end
$$;

revoke all on function
job_scheduler.default_threshold(text), job_scheduler.admit_rule(), job_scheduler.bound_alerting(), job_scheduler.settle_alert()
from public;
grant execute on function job_scheduler.default_threshold(text) to authenticated, service_role;
