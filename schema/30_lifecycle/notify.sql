-- Sends a message through these channels: a NOTIFY, a row that postgres_changes delivers, and a private broadcast where the
-- database has that function. Each may be lost, so it never fails the write that sends it. A NOTIFY has less than 8,000 bytes:
-- a longer message becomes one that causes a poll. It would fail the commit if half of PostgreSQL's queue were not free.
create or replace function job_scheduler.send(message jsonb, channels text[])
returns void
language plpgsql
set search_path = ''
as $$
begin
    if 'notify' = any(channels) and pg_notification_queue_usage() < 0.5 then
        perform pg_notify('job_scheduler', case
            when octet_length(message::text) < 8000 then message
            else message || '{"table": "scheduled_jobs", "rows": null}'
        end::text);
    end if;
    if '{postgres_changes,broadcast}' && channels then
        begin
            if 'postgres_changes' = any(channels) then
                insert into job_scheduler.signals (message) values (message);
            end if;
            if 'broadcast' = any(channels) and to_regprocedure('realtime.send(jsonb,text,text,boolean)') is not null then
                perform realtime.send(message, 'changed', 'job_scheduler', true);
            end if;
        exception when others then
            raise warning 'job_scheduler.notify: %', sqlerrm;
        end;
    end if;
end
$$;
revoke all on function job_scheduler.send(jsonb, text[]) from public;

-- Whether a listener receives NOTIFY. Without one nothing is sent: commits that send one wait for one another.
create or replace function job_scheduler.is_listened()
returns boolean
language plpgsql -- which keeps its plan; so do the others that each insert calls
stable
set search_path = ''
as $$
begin
    return exists (select from job_scheduler.listening as l where l.until > clock_timestamp());
end
$$;
revoke all on function job_scheduler.is_listened() from public;

-- Until when no statement notifies through Realtime, because every live listener receives NOTIFY; null while PostgreSQL's queue
-- may not take it.
create or replace function job_scheduler.spared_until()
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
    return (
        select least(l.spared_until, l.until)
        from job_scheduler.listening as l
        where l.spared_until is not null and pg_notification_queue_usage() < 0.5
    );
end
$$;
revoke all on function job_scheduler.spared_until() from public;

-- The channels through which a statement notifies: Realtime's unless muted or spared, and NOTIFY if somebody receives it and
-- there are not too many. After a mute listeners go on polling at short intervals for a second, so that they find what a
-- statement before its end has written; a later commit of it is found by an ordinary poll.
create or replace function job_scheduler.open_channels()
returns text[]
language plpgsql
stable
set search_path = ''
as $$
begin
    return (
        select
            case
                when
                    m.until > clock_timestamp()
                    or l.spared_until > clock_timestamp() and l.until > clock_timestamp() and pg_notification_queue_usage() < 0.5
                    then '{}'
                else '{broadcast,postgres_changes}'::text[]
            end
            || case
                when l.until > clock_timestamp() and not coalesce(m.notify_until > clock_timestamp(), false)
                    then '{notify}'::text[]
                else '{}'
            end
        from (select max(l.until) as until, max(l.spared_until) as spared_until from job_scheduler.listening as l) as l
        cross join (select max(m.until) as until, max(m.notify_until) as notify_until from job_scheduler.mute as m) as m
    );
end
$$;
revoke all on function job_scheduler.open_channels() from public;

-- Notifies the listeners of a change, through the open channels.
create or replace function job_scheduler.notify(what text, rows_changed jsonb)
returns void
language plpgsql
security definer -- a client may not send to the listeners' private topic itself
set search_path = ''
as $$
declare
    message constant jsonb := jsonb_build_object(
        'table', what, 'rows', rows_changed, 'xid', pg_current_xact_id()::text::bigint
    );
    channels text[] := job_scheduler.open_channels();
begin
    if what in ('cancelled_runs', 'stopped_runs', 'deleted_jobs') then
        insert into job_scheduler.stops (message) values (message);
    end if;
    if what = 'job_listeners' and 'broadcast' <> all(channels) then
        channels := channels || '{broadcast,postgres_changes}';
    end if;
    perform job_scheduler.send(message, channels);
end
$$;
revoke all on function job_scheduler.notify(text, jsonb) from public;

-- Names the cancelled job whose runs are to stop: if it is scheduled again at once, its row may never show it cancelled.
create or replace function job_scheduler.notify_stopped(job bigint)
returns void
language sql
set search_path = ''
as $$
    select job_scheduler.notify('cancelled_runs', (
        select jsonb_agg(e.id) from public.job_executions as e
        where e.scheduled_job_id = job and e.status = 'running'
    ))
$$;
revoke all on function job_scheduler.notify_stopped(bigint) from public;

-- One message for any number of rows. Plain one-time jobs are sent whole, so that a listener may claim them at once.
create or replace function job_scheduler.notify_inserted()
returns trigger
language plpgsql
security definer -- see notify
set search_path = ''
as $$
declare
    channels constant text[] := job_scheduler.open_channels();
    message jsonb;
begin
    if channels = '{}' then
        return null;
    end if;
    select jsonb_build_object(
        'table', 'scheduled_jobs', 'xid', pg_current_xact_id()::text::bigint,
        'rows', case
            when count(*) <= 100 and bool_and(n.trigger_type = 'once' and n.misfire <> 'skip')
                then jsonb_agg(
                    jsonb_build_array(
                        n.id, n.revision, n.next_run_at, n.priority, coalesce(n.workspace_id, n.created_by), n.created_by,
                        n.handler
                    )
                )
        end
    ) into message
    from (select * from new_rows limit 101) as n
    having count(*) > 0;
    if message is not null then
        perform job_scheduler.send(message, channels);
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.notify_inserted() from public;

create or replace function job_scheduler.notify_changed()
returns trigger
language plpgsql
security definer -- see notify
set search_path = ''
as $$
begin
    perform job_scheduler.notify(tg_table_name, null);
    return null;
end
$$;
revoke all on function job_scheduler.notify_changed() from public;

-- Deleted rows are named, because no later poll would show them: up to thousands, as far as a message may be long.
create or replace function job_scheduler.notify_deleted()
returns trigger
language plpgsql
security definer -- see notify
set search_path = ''
as $$
begin
    perform job_scheduler.notify('deleted_jobs', m.gone)
    from (
        select jsonb_agg(jsonb_build_array(n.id)) as gone
        from (select o.id, (row_number() over () - 1) / 5000 as part from old_rows as o) as n
        group by n.part
    ) as m;
    return null;
end
$$;
revoke all on function job_scheduler.notify_deleted() from public;
