-- The part of the listeners that signed-in users see: whether there is one that runs their jobs. Of other tenants, and of the machines
-- that the listeners run on, it shows nothing.

-- The listeners, without their names, which are those of hosts and processes.
create or replace function job_scheduler.visible_listeners()
returns table (
    id uuid, version text, started_at timestamptz, heartbeat_at timestamptz, is_alive boolean, handlers text[], capacity integer
)
language sql
stable
security definer -- nobody but the service reads the table
set search_path = ''
as $$
    select
        l.id,
        l.version,
        l.started_at,
        l.heartbeat_at,
        l.heartbeat_at > clock_timestamp() - make_interval(secs => l.lease_seconds) as is_alive,
        l.handlers,
        l.capacity
    from public.job_listeners as l
$$;
revoke all on function job_scheduler.visible_listeners() from public;
grant execute on function job_scheduler.visible_listeners() to authenticated, service_role;

-- The listeners, and how many of the runs that the caller may see each has.
create or replace function public.list_listeners()
returns table (
    id uuid, version text, started_at timestamptz, heartbeat_at timestamptz, is_alive boolean, handlers text[], capacity integer,
    running bigint
)
language sql
stable
set search_path = ''
as $$
    with held as (
        select e.listener_id, count(*) as running
        from public.job_executions as e
        where e.lease_expires_at is not null and e.status = 'running'
        group by e.listener_id
    )
    select l.*, coalesce(h.running, 0)
    from job_scheduler.visible_listeners() as l
    left join held as h on l.id = h.listener_id
    order by l.started_at, l.id
$$;
revoke all on function public.list_listeners() from public, anon, authenticated, service_role;
grant execute on function public.list_listeners() to authenticated, service_role;
