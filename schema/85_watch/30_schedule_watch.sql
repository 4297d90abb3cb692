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
