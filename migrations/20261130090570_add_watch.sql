do $migration$
declare
    body constant text := $file$
-- The switch that notices when every listener is gone: its settings, and what it reported last. One row.
create table if not exists job_scheduler.watch_state (
    is_only boolean primary key default true check (is_only),
    name text,
    url text,
    headers jsonb not null default '{}',
    silent_after interval not null default '45 seconds',
    late_after interval not null default '120 seconds',
    absent_since timestamptz,
    firing_since timestamptz,
    message jsonb,
    request_id bigint,
    sent_at timestamptz,
    tries integer not null default 0
);

comment on table job_scheduler.watch_state is 'Settings and state of job_scheduler.watch().';
comment on column job_scheduler.watch_state.url is 'Where alerts go; it may hold a key, so only the owner reads this table.';
comment on column job_scheduler.watch_state.absent_since is
    'When watch() first found no row of a listener at all; null while there is one.';
comment on column job_scheduler.watch_state.firing_since is 'Since when something is wrong; null while nothing is.';
comment on column job_scheduler.watch_state.message is 'The alert or recovery that is not known to have arrived; null: none.';

revoke all on table job_scheduler.watch_state from public, anon, authenticated, service_role;

-- An instant in UTC, for people.
create or replace function job_scheduler.shown_instant(at timestamptz)
returns text
language sql
immutable
set search_path = ''
as $$
    select to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
$$;
revoke all on function job_scheduler.shown_instant(timestamptz) from public;

-- Returns what is wrong: no listener sends heartbeats, or the oldest due job is late. A listener that leaves removes its row,
-- so a time without any row counts from when it was first seen: a restart is no fault.
create or replace function job_scheduler.find_problems(silent_after interval, late_after interval, absent_since timestamptz)
returns table (problem text, explanation text)
language sql
stable
set search_path = ''
as $$
    select
        'no_listener',
        case
            when l.last is null then 'no listener has been running since ' || job_scheduler.shown_instant(absent_since)
            else 'no listener has sent a heartbeat since ' || job_scheduler.shown_instant(l.last)
        end
    from (
        select
            max(o.heartbeat_at) as last,
            bool_or(o.heartbeat_at > now() - greatest(silent_after, make_interval(secs => o.lease_seconds))) as is_alive
        from public.job_listeners as o
    ) as l
    where l.is_alive is not true and coalesce(l.last, absent_since) <= now() - silent_after
    union all
    select
        'late',
        format(
            '%s jobs wait; the oldest, job %s ("%s", handler "%s"), was due at %s',
            case when c.jobs > 1000 then 'more than 1000' else c.jobs::text end,
            j.id, j.job_id, j.handler, job_scheduler.shown_instant(j.next_run_at)
        )
    from (
        select s.id, s.job_id, s.handler, s.next_run_at
        from public.scheduled_jobs as s
        where s.next_run_at <= now() - late_after
        order by s.next_run_at, s.id
        limit 1
    ) as j
    cross join lateral (
        select count(*) as jobs
        from (select from public.scheduled_jobs as n where n.next_run_at <= now() - late_after limit 1001) as o
    ) as c
$$;
revoke all on function job_scheduler.find_problems(interval, interval, timestamptz) from public;

-- Whether the message that was sent last arrived: null while pg_net has not said.
create or replace function job_scheduler.has_arrived(request bigint)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
    arrived boolean;
begin
    if to_regclass('net._http_response') is null then
        return true;
    end if;
    execute 'select coalesce(r.status_code between 200 and 299, false) from net._http_response as r where r.id = $1'
    into arrived using request;
    return arrived;
end
$$;
revoke all on function job_scheduler.has_arrived(bigint) from public;

-- Sends the message that waits, by pg_net where it is installed. What does not arrive is sent again, ten times at most.
create or replace function job_scheduler.send_message()
returns void
language plpgsql
set search_path = ''
as $$
declare
    w job_scheduler.watch_state;
    request bigint;
begin
    select * into w from job_scheduler.watch_state;
    if w.url is null or w.message is null or to_regprocedure('net.http_post(text, jsonb, jsonb, jsonb, integer)') is null then
        update job_scheduler.watch_state set message = null;
        return;
    elsif w.request_id is not null and job_scheduler.has_arrived(w.request_id) then
        update job_scheduler.watch_state set message = null, request_id = null;
        return;
    elsif w.tries >= 10 then
        raise warning 'job scheduler: ten attempts to send an alert failed: %', w.message ->> 'text';
        update job_scheduler.watch_state set message = null, request_id = null;
        return;
    elsif w.request_id is not null and job_scheduler.has_arrived(w.request_id) is null and w.sent_at > now() - interval '90 seconds' then
        return;
    end if;
    execute 'select net.http_post(url => $1, body => $2, headers => $3, timeout_milliseconds => 5000)'
    into request
    using w.url, w.message, jsonb_build_object('Content-Type', 'application/json') || w.headers;
    update job_scheduler.watch_state set request_id = request, sent_at = now(), tries = w.tries + 1;
exception
    when others then -- what is wrong is returned all the same, and this is tried again
        raise warning 'job scheduler: an alert could not be sent: %', sqlerrm;
        update job_scheduler.watch_state set tries = w.tries + 1;
end
$$;
revoke all on function job_scheduler.send_message() from public;

-- The message of a change: one that begins to fire, or a recovery. Slack reads its text, Discord its content.
create or replace function job_scheduler.compose_message(problems jsonb, name text, since timestamptz)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select jsonb_build_object(
        'source', 'job_scheduler.watch', 'name', name, 'status', case when problems is null then 'resolved' else 'firing' end,
        'problems', coalesce(problems, '[]'), 'since', since, 'at', now(), 'text', t.line, 'content', t.line
    )
    from (
        select coalesce(name || ': ', '') || coalesce(
            'jobs do not run: ' || (
                select string_agg(p ->> 'explanation', '; ' order by n) from jsonb_array_elements(problems) with ordinality as o (p, n)
            ),
            'jobs run again, after ' || date_trunc('second', now() - since)::text
        ) as line
    ) as t
$$;
revoke all on function job_scheduler.compose_message(jsonb, text, timestamptz) from public;

-- Returns what is wrong, nothing if all is well. The first call that finds something sends one alert, the first one that finds
-- nothing any more sends one recovery; both are warnings in the log of PostgreSQL, too.
create or replace function job_scheduler.watch()
returns table (problem text, explanation text)
language plpgsql
set search_path = ''
as $$
#variable_conflict use_column
declare
    w job_scheduler.watch_state;
    problems jsonb;
    news jsonb;
begin
    insert into job_scheduler.watch_state default values on conflict do nothing;
    update job_scheduler.watch_state
    set absent_since = case when not exists (select from public.job_listeners) then coalesce(absent_since, now()) end
    returning * into w;
    select jsonb_agg(to_jsonb(p) order by p.problem desc) into problems
    from job_scheduler.find_problems(w.silent_after, w.late_after, w.absent_since) as p;
    if (problems is null) <> (w.firing_since is null) then
        news := job_scheduler.compose_message(problems, w.name, coalesce(w.firing_since, now()));
        raise warning 'job scheduler: %', news ->> 'text';
        update job_scheduler.watch_state
        set message = news, request_id = null, tries = 0, firing_since = case when problems is not null then now() end;
    end if;
    perform job_scheduler.send_message();
    return query select * from jsonb_to_recordset(problems) as r (problem text, explanation text);
end
$$;
revoke all on function job_scheduler.watch() from public;

-- Lets pg_cron call job_scheduler.watch() each minute; a second call replaces the settings.
-- `url` gets a POST of JSON for each alert and recovery, by pg_net; `name` stands before their text; `headers` go along.
-- Something is wrong when no listener sent a heartbeat for `silent_seconds`, or a job is late by `late_seconds`.
create or replace function job_scheduler.watch_every_minute(
    url text default null, name text default null, headers jsonb default '{}', silent_seconds integer default 45,
    late_seconds integer default 120
)
returns text
language plpgsql
set search_path = ''
as $$
#variable_conflict use_variable
begin
    if to_regprocedure('cron.schedule(text, text, text)') is null then
        raise exception 'pg_cron is not installed in this database'
        using errcode = '0A000', hint = 'Enable Cron in the dashboard under Integrations, or: create extension pg_cron;';
    elsif url !~ E'^https?://[^\\s/]+' then
        raise exception 'url: expected one that begins with https://' using errcode = '22023';
    elsif silent_seconds < 20 or late_seconds < 10 then
        raise exception 'silent_seconds must be at least 20, and late_seconds at least 10' using errcode = '22023';
    end if;
    insert into job_scheduler.watch_state as w (name, url, headers, silent_after, late_after)
    values (name, url, headers, make_interval(secs => silent_seconds), make_interval(secs => late_seconds))
    on conflict (is_only) do update
    set
        name = excluded.name, url = excluded.url, headers = excluded.headers,
        silent_after = excluded.silent_after, late_after = excluded.late_after;
    execute 'select cron.schedule($1, $2, $3)'
    using 'job_scheduler_watch', '* * * * *', 'select * from job_scheduler.watch()';
    return case
        when url is null then 'checked each minute; alerts are warnings in the log of PostgreSQL'
        when to_regprocedure('net.http_post(text, jsonb, jsonb, jsonb, integer)') is null
            then 'checked each minute; pg_net is not installed, so alerts are only warnings in the log of PostgreSQL'
        else 'checked each minute; alerts go to ' || substring(url from '^https?://(?:[^/?#@]*@)?([^/?#]*)')
    end;
end
$$;
revoke all on function job_scheduler.watch_every_minute(text, text, jsonb, integer, integer) from public;

-- Ends the checks of job_scheduler.watch_every_minute.
create or replace function job_scheduler.stop_watching()
returns void
language plpgsql
set search_path = ''
as $$
begin
    delete from job_scheduler.watch_state;
    if found and to_regclass('cron.job') is not null then -- else pg_cron may be one of others, which this role may not use
        execute 'select cron.unschedule(j.jobid) from cron.job as j where j.jobname = $1' using 'job_scheduler_watch';
    end if;
end
$$;
revoke all on function job_scheduler.stop_watching() from public;
$file$;
    left_alone constant text := null;
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090570') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090570', 'add_watch', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
