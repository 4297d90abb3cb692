-- Locks the jobs whose claims are repeated, and returns them: an earlier request may be under way still.
create or replace function job_scheduler.lock_again(claims jsonb)
returns bigint[]
language sql
set search_path = ''
as $$
    with locked as (
        select j.id
        from public.scheduled_jobs as j
        where j.id = any(
            array(select (c ->> 'id')::bigint from jsonb_array_elements(claims) as c where (c ->> 'again')::boolean)
        )
        order by j.id
        for update
    )
    select coalesce(array_agg(l.id), '{}') from locked as l
$$;
revoke all on function job_scheduler.lock_again(jsonb) from public;

-- The runs of these jobs that this listener was granted by claims whose answers it may not have had, for as long as if they
-- were granted now. The listener ignores a run that it holds already.
create or replace function job_scheduler.granted_before(jobs bigint[], known uuid[], me uuid, good_until timestamptz)
returns uuid[]
language sql
set search_path = ''
as $$
    with mine as (
        select e.id
        from public.job_executions as e
        where
            e.scheduled_job_id = any(jobs) and e.lease_expires_at is not null and e.status = 'running'
            and e.listener_id = me and e.id <> all(known)
        for no key update skip locked -- else its end is being written
    ), extended as (
        update public.job_executions as e
        set lease_expires_at = good_until
        from mine as m
        where e.id = m.id and e.id = any(array(select k.id from mine as k))
        returning e.id
    )
    select coalesce(array_agg(x.id), '{}') from extended as x
$$;
revoke all on function job_scheduler.granted_before(bigint[], uuid[], uuid, timestamptz) from public;
