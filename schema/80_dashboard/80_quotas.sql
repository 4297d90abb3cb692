-- The quotas of a tenant, and how much of them is used, so that a form can say what is left before it is refused.

create or replace function job_scheduler.used_of(tenant uuid, quota text)
returns numeric
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
as $$
begin
    return case quota
        when 'max_active_jobs' then job_scheduler.active_jobs(tenant)
        when 'max_stored_bytes' then job_scheduler.stored_bytes(tenant, null)
        when 'max_running' then (
            select count(*)
            from (
                select e.workspace_id, e.created_by from public.job_executions as e
                where e.lease_expires_at is not null
                offset 0 -- see overview_of_listeners
            ) as r
            where coalesce(r.workspace_id, r.created_by) = tenant
        )
        when 'max_manual_runs_per_minute' then (
            select count(*) from public.job_executions as e
            where
                coalesce(e.workspace_id, e.created_by) = tenant and e.cause = 'manual'
                and e.scheduled_for > clock_timestamp() - interval '1 minute'
        )
        when 'max_alert_channels' then (select count(*) from public.job_alert_channels as c where c.tenant_id = tenant)
        when 'max_alert_rules' then (select count(*) from public.job_alert_rules as r where r.tenant_id = tenant)
        when 'max_alert_deliveries_per_hour' then job_scheduler.alert_deliveries_of(tenant)
    end;
end
$$;
revoke all on function job_scheduler.used_of(uuid, text) from public;

create or replace function job_scheduler.quotas_of(workspace uuid)
returns jsonb
language plpgsql
stable
security definer -- the quotas of the installation are the operator's to see and write
set search_path = ''
as $$
declare
    tenant constant uuid := coalesce(workspace, job_scheduler.caller());
begin
    if not job_scheduler.sees_tenant(tenant) then
        return '{}';
    end if;
    return (
        select jsonb_object_agg(q.quota, jsonb_build_object(
            'limit', job_scheduler.quota_of(workspace, q.quota, true), 'used', job_scheduler.used_of(tenant, q.quota)
        ))
        from unnest(array[
            'max_active_jobs', 'min_interval_seconds', 'max_payload_bytes', 'max_queued_runs', 'max_manual_runs_per_minute',
            'max_running', 'max_runs_per_minute', 'max_stored_bytes', 'max_timeout_seconds', 'max_past_seconds',
            'max_alert_channels', 'max_alert_rules', 'max_alert_deliveries_per_hour'
        ]) as q (quota)
    );
end
$$;
revoke all on function job_scheduler.quotas_of(uuid) from public;
grant execute on function job_scheduler.quotas_of(uuid) to authenticated, service_role;

-- {quota: {limit, used: null where it is no sum}} of a workspace, or, without one, of the caller's private jobs.
create or replace function public.list_quotas(workspace uuid default null)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select job_scheduler.quotas_of(workspace)
$$;
revoke all on function public.list_quotas(uuid) from public, anon, authenticated, service_role;
grant execute on function public.list_quotas(uuid) to authenticated, service_role;
