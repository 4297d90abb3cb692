-- The functions of clients. Row level security decides what they may; a row that they may not change is as unknown as one that
-- is not there.

create or replace function job_scheduler.refuse_unknown_alerting(what text, id uuid)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    raise exception 'no % % that you may change', what, coalesce(id::text, 'null') using errcode = 'PT404';
end
$$;
revoke all on function job_scheduler.refuse_unknown_alerting(text, uuid) from public;
grant execute on function job_scheduler.refuse_unknown_alerting(text, uuid) to authenticated, service_role;

-- Gives an alert a status, and answers it, also where it has that status already.
create or replace function job_scheduler.change_alert(alert uuid, wanted text)
returns public.job_alerts
language plpgsql
set search_path = ''
as $$
declare
    changed public.job_alerts;
begin
    update public.job_alerts as a set status = wanted where a.id = alert and a.status <> wanted returning a.* into changed;
    if not found then
        select a.* into changed from public.job_alerts as a where a.id = alert and a.status = wanted;
    end if;
    if changed.id is null then
        perform job_scheduler.refuse_unknown_alerting('alert', alert);
    end if;
    return changed;
end
$$;

revoke all on function job_scheduler.change_alert(uuid, text) from public;
grant execute on function job_scheduler.change_alert(uuid, text) to authenticated, service_role;

-- Acknowledges an alert: it is not sent again while it goes on.
create or replace function public.acknowledge_alert(alert uuid)
returns public.job_alerts
language sql
set search_path = ''
as $$
    select * from job_scheduler.change_alert(alert, 'acknowledged')
$$;

-- Resolves an alert; another occurrence opens a new one.
create or replace function public.resolve_alert(alert uuid)
returns public.job_alerts
language sql
set search_path = ''
as $$
    select * from job_scheduler.change_alert(alert, 'resolved')
$$;

-- Mutes a rule: for so many seconds nothing of it is sent; 0 ends that. Its alerts are opened and resolved all the same.
create or replace function public.mute_alert_rule(rule uuid, seconds integer default 3600)
returns public.job_alert_rules
language plpgsql
set search_path = ''
as $$
declare
    changed public.job_alert_rules;
begin
    update public.job_alert_rules as r
    set muted_until = case when seconds > 0 then now() + make_interval(secs => seconds) end
    where r.id = rule
    returning r.* into changed;
    if not found then
        perform job_scheduler.refuse_unknown_alerting('rule', rule);
    end if;
    return changed;
end
$$;

-- The channel under this id if the caller may change it.
create or replace function job_scheduler.own_channel(channel uuid)
returns public.job_alert_channels
language plpgsql
set search_path = ''
as $$
declare
    found_channel public.job_alert_channels;
begin
    select c.* into found_channel from public.job_alert_channels as c where c.id = channel for no key update;
    if not found then
        perform job_scheduler.refuse_unknown_alerting('channel', channel);
    end if;
    return found_channel;
end
$$;

-- Sends a test through a channel; answers the id of its row in job_alert_deliveries, which says what became of it.
create or replace function public.test_alert_channel(channel uuid)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
    tested constant public.job_alert_channels := job_scheduler.own_channel(channel);
begin
    if tested.confirmed_at is null then
        perform job_scheduler.refuse_alert(
            'job_alert_channels', 'confirmed_at', null, 'a confirmed address',
            'Call confirm_alert_channel with the code that was sent to it, or request_alert_confirmation for another code.'
        );
    end if;
    return job_scheduler.send_to_channel_of(tested.id, 'test');
end
$$;

-- Sends the code that confirms a channel's address once more.
create or replace function public.request_alert_confirmation(channel uuid)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
    unconfirmed constant public.job_alert_channels := job_scheduler.own_channel(channel);
begin
    if unconfirmed.confirmed_at is not null then
        return null;
    end if;
    return job_scheduler.send_to_channel_of(unconfirmed.id, 'confirmation');
end
$$;

-- The same for whoever may change the channel, which the caller of this has seen to.
create or replace function job_scheduler.send_to_channel_of(channel uuid, kind text)
returns uuid
language plpgsql
security definer -- see send_to_channel
set search_path = ''
as $$
declare
    known public.job_alert_channels;
begin
    select c.* into known from public.job_alert_channels as c where c.id = channel;
    if known.id is null or kind not in ('test', 'confirmation') or not job_scheduler.administers(known) then
        perform job_scheduler.refuse_unknown_alerting('channel', channel);
    end if;
    return job_scheduler.send_to_channel(known, kind);
end
$$;

-- Whether the caller may change a channel: also where functions run with other rights.
create or replace function job_scheduler.administers(channel public.job_alert_channels)
returns boolean
language sql
stable
set search_path = ''
as $$
    select coalesce(
        channel.workspace_id is null and channel.created_by = job_scheduler.caller()
        or channel.workspace_id = any(job_scheduler.administered_workspaces()) or (
            select r.rolbypassrls or r.rolsuper from pg_catalog.pg_roles as r
            where r.rolname = coalesce(nullif(current_setting('role'), 'none'), session_user)
        ),
        false
    )
$$;

-- Confirms an e-mail address by the code that was sent to it; answers whether it is confirmed. Five wrong codes use a code up.
create or replace function public.confirm_alert_channel(channel uuid, code text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return job_scheduler.confirm_channel((job_scheduler.own_channel(channel)).id, code);
end
$$;

create or replace function job_scheduler.confirm_channel(channel uuid, given text)
returns boolean
language plpgsql
security definer -- nobody reads the code
set search_path = ''
as $$
declare
    is_right boolean;
begin
    update job_scheduler.channel_secrets as s
    set code_tries = s.code_tries + 1
    where s.channel_id = channel and s.code_expires_at > now() and s.code_tries < 5
        and exists (select from public.job_alert_channels as c where c.id = channel and job_scheduler.administers(c))
    returning s.code = upper(btrim(given)) into is_right;
    if is_right then
        update public.job_alert_channels as c set confirmed_at = now() where c.id = channel;
        delete from job_scheduler.channel_secrets as s where s.channel_id = channel;
    end if;
    return coalesce(is_right, false)
        or exists (select from public.job_alert_channels as c where c.id = channel and c.confirmed_at is not null);
end
$$;

-- One click for "notify me when anything fails": makes the rule for all jobs of a workspace, or of the caller, unless there is
-- one, and answers it. With an address, or, where there is no channel yet, with that of the caller's token, mail
-- is sent there once it is confirmed.
create or replace function public.alert_on_failure(workspace uuid default null, email text default null)
returns public.job_alert_rules
language plpgsql
set search_path = ''
as $$
declare
    rule public.job_alert_rules;
    changed public.job_alert_rules;
    tenant constant uuid := coalesce(workspace, job_scheduler.caller(), '00000000-0000-0000-0000-000000000000');
    has_channel constant boolean := exists (select from public.job_alert_channels as c where c.tenant_id = tenant);
    address constant text := coalesce(email, case when not has_channel then nullif(auth.jwt() ->> 'email', '') end);
begin
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler alert rule of ' || tenant, 0));
    if address is not null and not exists (
        select from public.job_alert_channels as c where c.tenant_id = tenant and c.kind = 'email' and c.target = address
    ) and (
        email is not null or workspace is null or workspace = any(job_scheduler.administered_workspaces())
    ) then
        insert into public.job_alert_channels (workspace_id, kind, target) values (workspace, 'email', address);
    end if;
    select r.* into rule from public.job_alert_rules as r
    where
        r.tenant_id = tenant and r.condition = 'failed' and r.scheduled_job_id is null and r.handler is null
        and r.channel_ids = '{}'
    order by r.created_at
    limit 1;
    if found then
        update public.job_alert_rules as r set enabled = true, muted_until = null where r.id = rule.id returning r.* into changed;
        if not found then
            perform job_scheduler.refuse_unknown_alerting('rule', rule.id);
        end if;
        return changed;
    end if;
    insert into public.job_alert_rules (workspace_id, name, condition) values (workspace, 'Anything fails', 'failed')
    returning * into rule;
    return rule;
end
$$;

revoke all on function
public.acknowledge_alert(uuid), public.resolve_alert(uuid), public.mute_alert_rule(uuid, integer),
public.test_alert_channel(uuid), public.request_alert_confirmation(uuid), public.confirm_alert_channel(uuid, text),
public.alert_on_failure(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function
public.acknowledge_alert(uuid), public.resolve_alert(uuid), public.mute_alert_rule(uuid, integer),
public.test_alert_channel(uuid), public.request_alert_confirmation(uuid), public.confirm_alert_channel(uuid, text),
public.alert_on_failure(uuid, text)
to authenticated, service_role;
revoke all on function
job_scheduler.own_channel(uuid), job_scheduler.send_to_channel_of(uuid, text),
job_scheduler.administers(public.job_alert_channels), job_scheduler.confirm_channel(uuid, text)
from public;
grant execute on function
job_scheduler.own_channel(uuid), job_scheduler.send_to_channel_of(uuid, text), job_scheduler.confirm_channel(uuid, text)
to authenticated, service_role; -- the functions above call them
