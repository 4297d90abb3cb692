-- Deliveries are jobs of the service, which no quota of users counts and no rule looks at: an alert of alerts would not end.

-- Makes the jobs of queued deliveries. Where no listener has their handler, they wait, and the next evaluation tries again.
-- Those to one URL of a user go one after the other: a receiver that never answers takes one connection, and not all.
create or replace function job_scheduler.queue_deliveries(deliveries uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
    stage constant text := coalesce(current_setting('job_scheduler.stage', true), '');
begin
    perform set_config('job_scheduler.stage', 'service', true);
    with made as (
        insert into public.scheduled_jobs (
            job_id, created_by, name, handler, metadata, max_attempts, retry_delay_seconds, timeout_seconds, priority,
            concurrency_key
        )
        select
            'alert-delivery:' || d.id, null, format('%s to %s', d.kind, d.channel_kind), 'alert_delivery',
            jsonb_build_object('delivery_id', d.id), 6, 5, 60, 100,
            case when d.channel_kind in ('webhook', 'slack', 'discord') then 'alert-channel:' || d.channel_id end
        from public.job_alert_deliveries as d
        where d.id = any(deliveries) and d.status = 'queued'
        order by d.created_at, d.id
        on conflict do nothing
        returning id, job_id
    )
    update public.job_alert_deliveries as d
    set scheduled_job_id = m.id, error = null
    from made as m
    where d.id = any(deliveries) and 'alert-delivery:' || d.id = m.job_id;
    perform set_config('job_scheduler.stage', stage, true);
exception
    when serialization_failure or deadlock_detected then
        raise;
    when others then
        update public.job_alert_deliveries as d
        set error = 'no job could be made: ' || sqlerrm
        where d.id = any(deliveries);
end
$$;
revoke all on function job_scheduler.queue_deliveries(uuid[]) from public;

-- Notes which deliveries will not be sent, because their jobs ended otherwise, and makes jobs of those that have none yet.
create or replace function job_scheduler.settle_deliveries()
returns void
language plpgsql
set search_path = ''
as $$
declare
    jobless constant uuid[] := array(
        select d.id from public.job_alert_deliveries as d
        where d.status = 'queued' and d.scheduled_job_id is null and d.created_at > now() - interval '1 day'
        order by d.created_at
        limit 500
    );
begin
    update public.job_alert_deliveries as d
    set status = 'failed', error = coalesce(j.error, d.error, 'its job was deleted')
    from public.job_alert_deliveries as o
    left join public.scheduled_jobs as j on o.scheduled_job_id = j.id
    where
        d.id = o.id and o.status = 'queued'
        and case
            when o.scheduled_job_id is null then o.created_at < now() - interval '1 day'
            else coalesce(j.status, 'failed') in ('completed', 'failed', 'cancelled')
        end;
    if cardinality(jobless) > 0 then
        perform job_scheduler.queue_deliveries(jobless);
    end if;
end
$$;
revoke all on function job_scheduler.settle_deliveries() from public;

-- Deletes old deliveries, and alerts that were resolved long ago, at most so many of each; answers how many.
create or replace function job_scheduler.clean_alerts(most integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
    alerts integer;
    deliveries integer;
begin
    delete from public.job_alerts
    where id = any(array(
        select a.id from public.job_alerts as a
        where a.status = 'resolved' and a.resolved_at < now() - interval '90 days'
        limit most for update skip locked
    ));
    get diagnostics alerts = row_count;
    delete from public.job_alert_deliveries
    where id = any(array(
        select d.id from public.job_alert_deliveries as d where d.created_at < now() - interval '90 days'
        limit most for update skip locked
    ));
    get diagnostics deliveries = row_count;
    return alerts + deliveries;
end
$$;
revoke all on function job_scheduler.clean_alerts(integer) from public;
