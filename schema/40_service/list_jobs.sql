-- The functions that the service calls: one jsonb argument and one json answer each, so that one request carries
-- hundreds of jobs. Names end in a version, so that old and new replicas live together during a deploy.
-- All are security definer, because they write columns that not even service_role may write itself, and only
-- service_role may call them.

-- The columns that a listener keeps of a job, to arm it and to compute later instants. A view, because a function is called
-- for each row, and there may be thousands.
create or replace view job_scheduler.job_rows with (security_invoker = true) as
select
    j.id,
    j.revision,
    j.changed_in,
    j.next_run_at,
    j.is_planned,
    j.status,
    j.trigger_type,
    case
        when j.trigger_type = 'once' then json_build_object(
            'id', j.id, 'revision', j.revision, 'changed_in', j.changed_in, 'status', j.status, 'priority', j.priority,
            'due_at', j.due_at, 'next_run_at', j.next_run_at, 'trigger_type', 'once',
            'misfire', j.misfire, 'misfire_grace_seconds', j.misfire_grace_seconds, 'handler', j.handler,
            'tenant', coalesce(j.workspace_id, j.created_by), 'user', j.created_by
        )
        else json_build_object(
            'id', j.id, 'revision', j.revision, 'changed_in', j.changed_in, 'status', j.status, 'priority', j.priority,
            'due_at', j.due_at, 'next_run_at', j.next_run_at, 'trigger_type', j.trigger_type,
            'run_date', j.run_date, 'misfire', j.misfire, 'misfire_grace_seconds', j.misfire_grace_seconds,
            'unplanned', not j.is_planned and j.status in ('scheduled', 'running'),
            'schedule', j.schedule, 'timezone', j.timezone, 'ends_at', j.ends_at, 'defined_at', j.defined_at,
            'dst_gap', j.dst_gap, 'dst_fold', j.dst_fold, 'tenant', coalesce(j.workspace_id, j.created_by),
            'user', j.created_by, 'handler', j.handler
        )
    end as job_row
from public.scheduled_jobs as j;

revoke all on job_scheduler.job_rows from public;

-- The one-time ones of these jobs, in this order, as job_rows has them, column by column, since there may be thousands: that
-- costs half as much as objects, and has half the bytes. It runs with the settings of its caller.
-- -> {column: [value of each job]}
create or replace function job_scheduler.once_columns(jobs bigint[])
returns json
language plpgsql
stable
set search_path = ''
as $$
begin
    return (
        select case when count(*) = 0 then '{}' else json_build_object(
            'id', array_agg(o.id), 'revision', array_agg(o.revision), 'changed_in', array_agg(o.changed_in),
            'status', array_agg(o.status), 'priority', array_agg(o.priority), 'due_at', array_agg(o.due_at),
            'next_run_at', array_agg(o.next_run_at), 'misfire', array_agg(o.misfire),
            'misfire_grace_seconds', array_agg(o.misfire_grace_seconds), 'handler', array_agg(o.handler),
            'tenant', array_agg(coalesce(o.workspace_id, o.created_by)), 'user', array_agg(o.created_by)
        ) end
        from (
            select j.*
            from public.scheduled_jobs as j
            inner join unnest(jobs) with ordinality as p (id, place) on j.id = p.id
            where j.id = any(jobs) and j.trigger_type = 'once'
            order by p.place
        ) as o
    );
end
$$;
revoke all on function job_scheduler.once_columns(bigint[]) from public;

-- The oldest transaction still open: all earlier ones are seen.
create or replace function job_scheduler.horizon()
returns bigint
language sql
stable
set search_path = ''
as $$
    select pg_snapshot_xmin(pg_current_snapshot())::text::bigint
$$;
revoke all on function job_scheduler.horizon() from public;

-- The transactions of which a poll reads the changes: those that its caller has not seen and this query sees. They are the
-- ones from `first` on and before `next`, and of the earlier ones those that were open when the caller last looked and have
-- ended. A row that was restored from another cluster may name a transaction that this one has not reached: it is read once,
-- when the counter passes it, and not at each poll.
create or replace function job_scheduler.unseen(
    request jsonb, out first bigint, out next bigint, out ended bigint[]
)
language sql
stable
set search_path = ''
as $$
    select
        pg_snapshot_xmax(s.seen)::text::bigint,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
        array(
            select o.xid::text::bigint from pg_snapshot_xip(s.seen) as o (xid)
            where pg_visible_in_snapshot(o.xid, pg_current_snapshot())
        )
    from (
        select coalesce(
            request ->> 'snapshot', format('%1$s:%1$s:', greatest((request ->> 'cursor')::bigint, 1))
        )::pg_snapshot as seen
    ) as s
$$;
revoke all on function job_scheduler.unseen(jsonb) from public;

-- A page of the jobs that these transactions changed and that matter before `until`, and where the next page begins. With
-- `share`, {of, mine: hex}, ids fall into so many buckets, and plain one-time jobs that are due, or are so in a second, are left
-- out unless the bit of their bucket is set: other listeners have these. It runs with the settings of its caller.
create or replace function job_scheduler.changed_page(
    request jsonb, first bigint, next bigint, ended bigint[], out ids bigint[], out last json
)
language plpgsql
stable
set search_path = ''
set enable_nestloop = on -- its caller's are for the rows
as $$
declare
    until constant timestamptz := request ->> 'until';
    most constant integer := request ->> 'limit';
    after_xid constant bigint := coalesce((request -> 'after' ->> 0)::bigint, -1);
    after_id constant bigint := coalesce((request -> 'after' ->> 1)::bigint, 0);
    buckets constant bigint := request -> 'share' ->> 'of';
    mine constant bytea := decode(request -> 'share' ->> 'mine', 'hex');
    soon constant timestamptz := clock_timestamp() + interval '1 second';
begin
    select
        array_agg(p.id),
        case
            when count(*) = most then json_build_array(
                max(p.changed_in), (array_agg(p.id order by p.changed_in, p.id))[most]
            )
        end
    into ids, last
    from (
        select c.changed_in, c.id
        from ( -- the rest of a transaction by its key: one may have written a million rows, and each page would read them all
            select after_xid as xid, after_id as id, after_xid as last
            union all
            select e.xid - 1, 9223372036854775807, e.xid from unnest(ended) as e (xid) where e.xid > after_xid
            union all
            select greatest(first, after_xid + 1) - 1, 9223372036854775807, next - 1
        ) as r
        cross join lateral (
            select j.changed_in, j.id
            from public.scheduled_jobs as j
            where
                (j.changed_in, j.id) > (r.xid, r.id) and j.changed_in <= r.last
                and (
                    j.next_run_at <= until or j.status in ('cancelled', 'paused', 'running')
                    or not j.is_planned and j.status = 'scheduled'
                )
                and (
                    mine is null or get_bit(mine, abs(j.id % buckets)::integer) = 1
                    or j.trigger_type <> 'once' or j.status <> 'scheduled' or not j.is_planned or j.next_run_at > soon
                    or j.due_at is distinct from j.next_run_at or j.queued_runs > 0 or j.concurrency_key is not null
                )
            order by j.changed_in, j.id
            limit most
        ) as c
        order by c.changed_in, c.id
        limit most
    ) as p;
end
$$;
revoke all on function job_scheduler.changed_page(jsonb, bigint, bigint, bigint[]) from public;

-- Jobs that changed since the caller looked and that matter before `until`, a page at a time; and what stopped runs since,
-- as the channels report it: the row of a job that was cancelled and scheduled again does not show that.
-- {snapshot (as the last answer gave it; without it, cursor: all later transactions), until, after: [changed_in, id] | null,
-- limit, share (see changed_page)} -> {now, cursor, snapshot, once: as once_columns, rows: [job_row of the others], after,
--   signals: [message], muted_until: until when not through Realtime, for whichever reason, notify_muted_until, spared_until}
create or replace function public.poll_jobs_v1(request jsonb)
returns json
language plpgsql
stable
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan -- it is called often and mostly finds nothing: planning would cost ten times as much
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
as $$
declare
    unseen constant record := job_scheduler.unseen(request);
    page constant record := job_scheduler.changed_page(request, unseen.first, unseen.next, unseen.ended);
    recurring json;
    signals json;
begin
    if page.ids is not null then
        select json_agg(r.job_row order by r.changed_in, r.id) into recurring
        from job_scheduler.job_rows as r
        where r.id = any(page.ids) and r.trigger_type <> 'once';
    end if;

    select coalesce(json_agg(s.message order by s.id), '[]') into signals
    from (
        select s.id, s.message from job_scheduler.stops as s
        where s.xid >= unseen.first and s.xid < unseen.next or s.xid = any(unseen.ended)
        union all
        select null, jsonb_build_object('table', 'sources', 'rows', null, 'xid', null)
        where 'broadcast' <> all(job_scheduler.open_channels()) and (
            select c.at > now() - interval '5 seconds' from job_scheduler.changed_rows as c order by c.id desc limit 1
        )
    ) as s;
    return json_build_object(
        'now', clock_timestamp(), 'cursor', job_scheduler.horizon(), 'snapshot', pg_current_snapshot()::text,
        'once', case when page.ids is null then '{}' else job_scheduler.once_columns(page.ids) end,
        'rows', coalesce(recurring, '[]'), 'after', page.last, 'signals', signals,
        'muted_until', greatest((select m.until from job_scheduler.mute as m), job_scheduler.spared_until()),
        'notify_muted_until', (select m.notify_until from job_scheduler.mute as m),
        'spared_until', job_scheduler.spared_until()
    );
end
$$;
revoke all on function public.poll_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.poll_jobs_v1(jsonb) to service_role;

-- Jobs by id, as many of the first as fit: `after` of them, if that is not all.
-- {ids: [bigint], limit} -> {now, cursor, once: as once_columns, rows: [job_row of the others], after}
create or replace function public.jobs_v1(request jsonb)
returns json
language plpgsql
stable
security definer
set search_path = ''
set enable_seqscan = off
set enable_nestloop = off -- in memory, however many they are
set enable_mergejoin = off
as $$
declare
    most constant integer := request ->> 'limit';
    ids constant bigint[] := array(
        select a.id::bigint from jsonb_array_elements_text(request -> 'ids') with ordinality as a (id, place)
        where a.place <= most
        order by a.place
    );
begin
    return json_build_object(
        'now', clock_timestamp(),
        'cursor', job_scheduler.horizon(),
        'once', job_scheduler.once_columns(ids),
        'rows', (
            select coalesce(json_agg(j.job_row order by p.place), '[]')
            from job_scheduler.job_rows as j
            inner join unnest(ids) with ordinality as p (id, place) on j.id = p.id
            where j.id = any(ids) and j.trigger_type <> 'once'
        ),
        'after', case when most < jsonb_array_length(request -> 'ids') then most end
    );
end
$$;
revoke all on function public.jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.jobs_v1(jsonb) to service_role;

-- Recurring jobs that have no due instant yet, a page at a time.
-- {after: id | null, limit} -> {now, cursor, rows, after}
create or replace function public.unplanned_jobs_v1(request jsonb)
returns json
language sql
stable
security definer
set search_path = ''
as $$
    with page as (
        select j.*
        from job_scheduler.job_rows as j
        where
            not j.is_planned and j.status in ('scheduled', 'running')
            and j.id > coalesce((request ->> 'after')::bigint, 0)
        order by j.id
        limit (request ->> 'limit')::int
    )

    select json_build_object(
        'now', clock_timestamp(),
        'cursor', job_scheduler.horizon(),
        'rows', (select coalesce(json_agg(p.job_row order by p.id), '[]') from page as p),
        'after', (select max(p.id) from page as p where (select count(*) from page) = (request ->> 'limit')::int)
    )
$$;
revoke all on function public.unplanned_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.unplanned_jobs_v1(jsonb) to service_role;
