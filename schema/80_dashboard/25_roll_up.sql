-- Counts what ended since the last call. Several listeners may call it: one at a time counts, and the others return at once.

-- A transaction id so many later.
create or replace function job_scheduler.plus(first xid8, many bigint)
returns xid8
language sql
immutable
set search_path = ''
as $$
    select (first::text::bigint + many)::text::xid8
$$;
revoke all on function job_scheduler.plus(xid8, bigint) from public;

-- Adds the runs whose last write has one of the `many` transaction ids before `horizon` to their hours; returns how many. Of
-- that id a row shows 32 bits; those that ended before `since` were noted as late.
create or replace function job_scheduler.count_ended(horizon bigint, many bigint, since timestamptz)
returns bigint
language sql
set search_path = ''
set enable_seqscan = off
as $$
    with candidates as (
        select e.id from public.job_executions as e
        where e.completed_at >= since and (horizon - e.xmin::text::bigint) & 4294967295 between 1 and many
        union
        select e.id from public.job_executions as e
        where
            e.id = any(array(select l.execution_id from job_scheduler.late_ends as l))
            and (horizon - e.xmin::text::bigint) & 4294967295 between 1 and many
    ), ended as (
        select
            e.*, coalesce(e.workspace_id, e.created_by, '00000000-0000-0000-0000-000000000000') as tenant_id, j.handler,
            e.status = 'failed' and (
                select n.id from public.job_executions as n -- not exists, as in move_jobs
                where
                    n.scheduled_job_id = e.scheduled_job_id and n.scheduled_for = e.scheduled_for and n.cause = e.cause
                    and n.attempt = e.attempt + 1
            ) is not null as is_retried
        from candidates as c
        inner join public.job_executions as e on c.id = e.id
        inner join public.scheduled_jobs as j on e.scheduled_job_id = j.id
        where e.status in ('completed', 'failed', 'cancelled', 'skipped')
    ), added as (
        insert into public.job_activity as a (
            tenant_id, hour, handler, workspace_id, created_by, completed, failed, retried, cancelled, skipped,
            duration_ms, longest_ms, lateness_ms, latest_ms
        )
        select
            e.tenant_id, date_trunc('hour', coalesce(e.completed_at, e.scheduled_for), 'UTC') as hour, e.handler, e.workspace_id,
            case when e.workspace_id is null then e.created_by end as created_by,
            count(*) filter (where e.status = 'completed'), count(*) filter (where e.status = 'failed' and not e.is_retried),
            count(*) filter (where e.is_retried), count(*) filter (where e.status = 'cancelled'),
            count(*) filter (where e.status = 'skipped'),
            coalesce(sum(e.duration_ms), 0), coalesce(max(e.duration_ms), 0),
            coalesce(sum(greatest(e.lateness_ms, 0)), 0), coalesce(max(greatest(e.lateness_ms, 0)), 0)
        from ended as e
        group by 1, 2, 3, 4, 5
        on conflict (tenant_id, hour, handler) do update set
            completed = a.completed + excluded.completed,
            failed = a.failed + excluded.failed,
            retried = a.retried + excluded.retried,
            cancelled = a.cancelled + excluded.cancelled,
            skipped = a.skipped + excluded.skipped,
            duration_ms = a.duration_ms + excluded.duration_ms,
            longest_ms = greatest(a.longest_ms, excluded.longest_ms),
            lateness_ms = a.lateness_ms + excluded.lateness_ms,
            latest_ms = greatest(a.latest_ms, excluded.latest_ms)
    ), counted as (
        delete from job_scheduler.late_ends as l
        where l.execution_id in (select c.id from candidates as c)
    )
    select count(*) from ended as e
$$;
revoke all on function job_scheduler.count_ended(bigint, bigint, timestamptz) from public;

-- Counts the runs that ended since the last call, as far as `limit` transactions on, and forgets what is older than ninety
-- days. {limit} -> {now, counted: how many runs, more: whether to call again}; nothing while another listener counts
create or replace function public.roll_up_activity_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    present pg_snapshot;
    present_at timestamptz;
    horizon xid8;
    is_more boolean := false;
    last job_scheduler.activity_cursor;
    counted bigint;
begin
    select c.* into last from job_scheduler.activity_cursor as c for update skip locked;
    if not found then
        return json_build_object('now', clock_timestamp(), 'counted', 0, 'more', false);
    end if;
    -- Taken once the cursor is locked: a snapshot from before another count would put the cursor back.
    present := pg_current_snapshot();
    present_at := clock_timestamp();
    horizon := pg_snapshot_xmin(present);
    if last.horizon > horizon then -- restored into another cluster, whose counter is behind: what is there was counted
        last := row(true, horizon, present_at, pg_snapshot_xmax(present), present_at);
    elsif last.horizon < horizon then
        if job_scheduler.plus(last.horizon, (request ->> 'limit')::bigint) < horizon then
            horizon := job_scheduler.plus(last.horizon, (request ->> 'limit')::bigint);
            is_more := true;
        end if;
        -- Longer ago than that, an end was noted as late.
        counted := job_scheduler.count_ended(
            horizon::text::bigint, least(horizon::text::bigint - last.horizon::text::bigint, 2147483647),
            last.since - interval '1 minute'
        );
        last.horizon := horizon;
        if last.next_xid <= horizon then
            last.since := last.next_at;
            last.next_xid := pg_snapshot_xmax(present);
            last.next_at := present_at;
        end if;
    end if;
    update job_scheduler.activity_cursor as c
    set horizon = last.horizon, since = last.since, next_xid = last.next_xid, next_at = last.next_at;
    delete from public.job_activity where hour < now() - interval '90 days';
    delete from job_scheduler.late_ends as l
    where not exists (select from public.job_executions as e where e.id = l.execution_id);
    return json_build_object('now', clock_timestamp(), 'counted', coalesce(counted, 0), 'more', is_more);
end
$$;
revoke all on function public.roll_up_activity_v1(jsonb) from public, anon, authenticated;
grant execute on function public.roll_up_activity_v1(jsonb) to service_role;
