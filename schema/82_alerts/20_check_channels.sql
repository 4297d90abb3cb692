-- The checks of a channel, its secret and its confirmation.

-- Refuse `given` in a column of a table of alerts.
create or replace function job_scheduler.refuse_alert(
    table_name text, column_name text, given text, expected text, advice text default null
)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    raise exception using
        errcode = '22023',
        message = format(
            '%s.%s: %s is not allowed; expected %s', table_name, column_name, coalesce(left(to_jsonb(given)::text, 120), 'null'),
            expected
        ),
        hint = coalesce(advice, 'Nothing was written. Correct the column and send the row again.'),
        schema = 'public',
        table = table_name,
        column = column_name;
end
$$;

-- Refuses a channel whose target and secret are not those of its kind; a refusal never shows a secret. A URL of a chat is all
-- that is needed to write there, so it is the secret.
create or replace function job_scheduler.check_channel(channel public.job_alert_channels, is_new boolean, by_client boolean)
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
    named constant text := 'job_alert_channels';
begin
    if length(channel.secret) > 2000 then -- each delivery reads it
        perform job_scheduler.refuse_alert(named, 'secret', '…', '2000 characters at most');
    end if;
    if channel.kind = 'email' then
        if channel.target !~ E'^[^\\s@<>",;:]+@[^\\s@<>",;:]+$' is not false or length(channel.target) > 320 then
            perform job_scheduler.refuse_alert(named, 'target', channel.target, 'an e-mail address');
        elsif channel.secret is not null then
            perform job_scheduler.refuse_alert(named, 'secret', '…', 'none, for an e-mail address has none');
        end if;
    elsif channel.kind = 'webhook' then
        if channel.target !~ E'^https?://[^\\s/?#@]+([/?][^\\s#]*)?$' is not false then
            perform job_scheduler.refuse_alert(
                named, 'target', channel.target, 'the URL of the webhook, without a user and a fragment'
            );
        elsif coalesce(channel.secret !~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$', is_new) then
            perform job_scheduler.refuse_alert(
                named, 'secret', '…', 'the key that signs requests: whsec_ and 24 to 64 random bytes in base64',
                'For instance: echo "whsec_$(openssl rand -base64 32)". The receiver verifies requests with it.'
            );
        end if;
    elsif channel.kind in ('slack', 'discord') then
        if coalesce(channel.secret !~ E'^https?://[^\\s/?#@]+/[^\\s#]*$', is_new) then
            perform job_scheduler.refuse_alert(named, 'secret', '…', 'the URL of an incoming webhook of ' || channel.kind);
        end if;
    elsif channel.kind = 'apprise' then
        if by_client then
            perform job_scheduler.refuse_alert(
                named, 'kind', channel.kind, 'email, webhook, slack or discord',
                'Apprise reaches any host, so that the service key alone writes such a channel.'
            );
        elsif coalesce(channel.secret !~ '^[A-Za-z0-9+.-]+://', is_new and channel.target is null) then
            perform job_scheduler.refuse_alert(
                named, 'secret', '…', 'an Apprise URL, or in target a name of LISTENER_NOTIFICATION_CHANNELS'
            );
        end if;
    else
        perform job_scheduler.refuse_alert(named, 'kind', channel.kind, 'one of email, webhook, slack, discord, apprise');
    end if;
end
$$;

-- Checks a channel, and decides whether it has to be confirmed: what the service key writes needs no confirmation.
create or replace function job_scheduler.admit_channel()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    by_client constant boolean := row_security_active('public.job_alert_channels'::regclass);
begin
    if tg_op = 'UPDATE' and new.kind <> old.kind then
        perform job_scheduler.refuse_alert('job_alert_channels', 'kind', new.kind, format('%s, as it is', old.kind));
    end if;
    if new.kind in ('slack', 'discord') and new.target is distinct from (case when tg_op = 'UPDATE' then old.target end) then
        perform job_scheduler.refuse_alert(
            'job_alert_channels', 'target', '…', 'null; the URL of a chat is a secret, and is written as such'
        );
    end if;
    perform job_scheduler.check_channel(new, tg_op = 'INSERT', by_client);
    if tg_op = 'INSERT' or new.target is distinct from old.target then
        new.confirmed_at := case when not (by_client and new.kind = 'email') then now() end;
    end if;
    return new;
end
$$;

-- Moves the secret where nobody reads it, before the row is written.
create or replace function job_scheduler.take_secret()
returns trigger
language plpgsql
security definer -- nobody but the service may write there
set search_path = ''
as $$
begin
    insert into job_scheduler.channel_secrets as s (channel_id, secret) values (new.id, new.secret)
    on conflict (channel_id) do update set secret = excluded.secret;
    if new.kind in ('slack', 'discord') then
        new.target := split_part(new.secret, '/', 3) || '/…';
    elsif new.kind = 'apprise' then
        new.target := split_part(new.secret, '://', 1) || '://…';
    end if;
    new.secret := null;
    return new;
end
$$;

-- Refuses more requests that send something than a user may make in an hour, and more codes to one address than in a day.
create or replace function job_scheduler.note_alert_request(confirmed text default null)
returns void
language plpgsql
security definer -- users may not write there
set search_path = ''
as $$
declare
    me constant uuid := job_scheduler.caller();
    most constant numeric := job_scheduler.limit_of('max_alert_requests_per_hour');
    most_codes constant numeric := job_scheduler.limit_of('max_alert_confirmations_per_day');
    place constant text := lower(regexp_replace(confirmed, E'\\+[^@]*@', '@'));
    used bigint;
begin
    if me is null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler alert requests of ' || me, 0));
    delete from job_scheduler.alert_requests as r where r.requested_by = me and r.at < now() - interval '1 day';
    select count(*) into used from job_scheduler.alert_requests as r
    where r.requested_by = me and r.at > now() - interval '1 hour';
    if used >= most then
        perform job_scheduler.refuse_quota(
            'max_alert_requests_per_hour', 'one more test or confirmation in this hour is not allowed', most, used
        );
    end if;
    select count(*) into used from job_scheduler.alert_requests as r
    where r.requested_by = me and r.address = place and r.at > now() - interval '1 day';
    if used >= most_codes then
        perform job_scheduler.refuse_quota(
            'max_alert_confirmations_per_day', 'one more code to this address on this day is not allowed', most_codes, used
        );
    end if;
    insert into job_scheduler.alert_requests (requested_by, address) values (me, place);
end
$$;

-- Sends a message of a channel, a test or a confirmation, and answers the delivery.
create or replace function job_scheduler.send_to_channel(channel public.job_alert_channels, kind text)
returns uuid
language plpgsql
security definer -- users may write neither deliveries nor the service's jobs
set search_path = ''
as $$
declare
    delivery uuid;
begin
    perform job_scheduler.note_alert_request(case when kind = 'confirmation' then channel.target end);
    insert into public.job_alert_deliveries (channel_id, workspace_id, created_by, kind, channel_kind, target)
    values (
        channel.id, channel.workspace_id, coalesce(job_scheduler.caller(), channel.created_by), kind, channel.kind,
        channel.target
    )
    returning id into delivery;
    perform job_scheduler.queue_deliveries(array[delivery]);
    return delivery;
end
$$;

-- Sends the owner of an address a code, with which the address is confirmed.
create or replace function job_scheduler.ask_to_confirm()
returns trigger
language plpgsql
security definer -- see send_to_channel
set search_path = ''
as $$
begin
    delete from job_scheduler.channel_secrets as s where s.channel_id = new.id; -- the code of another address
    perform job_scheduler.send_to_channel(new, 'confirmation');
    return null;
end
$$;

revoke all on function
job_scheduler.admit_channel(), job_scheduler.take_secret(), job_scheduler.note_alert_request(text),
job_scheduler.send_to_channel(public.job_alert_channels, text), job_scheduler.ask_to_confirm(),
job_scheduler.refuse_alert(text, text, text, text, text),
job_scheduler.check_channel(public.job_alert_channels, boolean, boolean)
from public;
grant execute on function
job_scheduler.refuse_alert(text, text, text, text, text),
job_scheduler.check_channel(public.job_alert_channels, boolean, boolean)
to authenticated, service_role; -- their writes fire the triggers
