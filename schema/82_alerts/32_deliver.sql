-- The functions of the handler alert_delivery.

-- An alert as messages show it: its rule, its subject, and its last run.
create or replace function job_scheduler.shown_alert(alert uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select jsonb_build_object(
        'id', a.id, 'status', a.status, 'condition', a.condition, 'message', a.message, 'subject', a.subject,
        'occurrences', a.occurrences, 'first_at', a.first_at, 'last_at', a.last_at, 'resolved_at', a.resolved_at,
        'workspace_id', a.workspace_id, 'handler', a.handler,
        'first_execution_id', a.first_execution_id, 'last_execution_id', a.last_execution_id,
        'rule', jsonb_build_object('id', r.id, 'name', r.name, 'threshold', r.threshold),
        'job', case when j.id is not null then jsonb_build_object('id', j.id, 'job_id', j.job_id, 'name', j.name) end,
        'reason', e.reason, 'error', left(e.error, 500)
    )
    from public.job_alerts as a
    inner join public.job_alert_rules as r on a.rule_id = r.id
    left join public.job_executions as e on a.last_execution_id = e.id
    left join public.scheduled_jobs as j on coalesce(a.scheduled_job_id, e.scheduled_job_id) = j.id
    where a.id = alert
$$;
revoke all on function job_scheduler.shown_alert(uuid) from public;

-- The code that confirms a channel's address: the same for all attempts of a day, unless wrong ones used it up.
create or replace function job_scheduler.confirmation_code(channel uuid)
returns text
language sql
set search_path = ''
as $$
    insert into job_scheduler.channel_secrets as s (channel_id, code, code_expires_at)
    values (channel, upper(substr(replace(gen_random_uuid()::text, '-', ''), 1, 8)), now() + interval '1 day')
    on conflict (channel_id) do update
    set
        code = case when s.code_expires_at > now() and s.code_tries < 5 then s.code else excluded.code end,
        code_tries = case when s.code_expires_at > now() and s.code_tries < 5 then s.code_tries else 0 end,
        code_expires_at = case when s.code_expires_at > now() and s.code_tries < 5 then s.code_expires_at else excluded.code_expires_at end
    returning s.code
$$;
revoke all on function job_scheduler.confirmation_code(uuid) from public;

-- Answers the message to send: {delivery_id} -> {now, status, kind, channel_id, channel_kind, channel_name, target, secret, code,
-- alert}; the status is that of the delivery, or skipped where its channel is gone or no longer confirmed. A recovery that
-- overtakes its alert, and an alert that is resolved by now, are sent as they are.
create or replace function public.alert_delivery_v1(request jsonb)
returns json
language plpgsql
security definer -- secrets are nobody's to read
set search_path = ''
as $$
declare
    delivery public.job_alert_deliveries;
    channel public.job_alert_channels;
begin
    update public.job_alert_deliveries as d
    set attempts = d.attempts + 1
    where d.id = (request ->> 'delivery_id')::uuid and d.status = 'queued'
    returning * into delivery;
    if not found then
        return json_build_object('now', clock_timestamp(), 'status', coalesce((
            select d.status from public.job_alert_deliveries as d where d.id = (request ->> 'delivery_id')::uuid
        ), 'skipped'));
    end if;
    select c.* into channel from public.job_alert_channels as c
    where
        c.id = delivery.channel_id and c.target is not distinct from delivery.target
        and (c.confirmed_at is not null or delivery.kind = 'confirmation')
    for share; -- else a change of the address that is under way would let the old one have the new one's code
    if not found then
        update public.job_alert_deliveries as d
        set status = 'skipped', error = 'the channel was changed or deleted'
        where d.id = delivery.id;
        return json_build_object('now', clock_timestamp(), 'status', 'skipped');
    end if;
    return json_build_object(
        'now', clock_timestamp(), 'status', delivery.status, 'kind', delivery.kind, 'channel_id', channel.id,
        'channel_kind', channel.kind, 'channel_name', channel.name, 'target', channel.target,
        'secret', (select s.secret from job_scheduler.channel_secrets as s where s.channel_id = channel.id),
        'code', case when delivery.kind = 'confirmation' then job_scheduler.confirmation_code(channel.id) end,
        'alert', job_scheduler.shown_alert(delivery.alert_id)
    );
end
$$;
revoke all on function public.alert_delivery_v1(jsonb) from public, anon, authenticated;
grant execute on function public.alert_delivery_v1(jsonb) to service_role;

-- Notes how an attempt to send ended: {delivery_id, status: sent, failed, or queued for another attempt, error} -> {now}
create or replace function public.end_alert_delivery_v1(request jsonb)
returns json
language plpgsql
security definer -- nobody but the service writes deliveries
set search_path = ''
as $$
begin
    update public.job_alert_deliveries as d
    set
        status = request ->> 'status', error = left(request ->> 'error', 2000),
        sent_at = case when request ->> 'status' = 'sent' then clock_timestamp() end
    where d.id = (request ->> 'delivery_id')::uuid and d.status in ('queued', 'failed');
    return json_build_object('now', clock_timestamp());
end
$$;
revoke all on function public.end_alert_delivery_v1(jsonb) from public, anon, authenticated;
grant execute on function public.end_alert_delivery_v1(jsonb) to service_role;
