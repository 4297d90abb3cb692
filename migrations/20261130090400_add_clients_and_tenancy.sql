do $migration$
declare
    body constant text := $file$
-- Functions that a client calls instead of writing status itself: the same rules, the same policies, clearer errors.
-- All are security invoker, so row level security decides what the caller may see and change.

-- Refuse because no such job exists for this caller; PostgREST answers PT404 with HTTP 404.
create or replace function job_scheduler.refuse_unknown_job(job bigint, act text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    raise exception 'no job % that you may %', coalesce(job::text, 'null'), act
    using errcode = 'PT404', hint = 'The job was deleted, belongs to somebody else, or never existed.';
end
$$;

-- Write `target` where the job's status is one of `sources` or is `target` already; returns the job as it is now.
create or replace function job_scheduler.move_job(job bigint, act text, target text, variadic sources text[])
returns public.scheduled_jobs
language plpgsql
set search_path = ''
as $$
declare
    moved public.scheduled_jobs;
    present text;
begin
    update public.scheduled_jobs as j set status = target
    where j.id = job and j.status = any(sources)
    returning j.* into moved;
    if found then
        return moved;
    end if;
    -- Locking applies the policy of updates, so a job that the caller may only read is not found.
    select j.* into moved from public.scheduled_jobs as j where j.id = job for no key update;
    present := moved.status;
    if present is null then
        perform job_scheduler.refuse_unknown_job(job, 'change');
    elsif target = 'cancelled' and present in ('completed', 'failed', 'cancelled')
        and (moved.claimed_by is not null or moved.queued_runs > 0) then
        -- The job has ended, but manual runs of it have not.
        perform set_config('job_scheduler.act', 'cancel', true);
        update public.scheduled_jobs as j set status = j.status where j.id = job returning j.* into moved;
        perform set_config('job_scheduler.act', '', true);
    elsif present <> target then
        raise exception 'scheduled_jobs.status: job % is "%" and cannot be %; expected %',
            job, present, act, array_to_string(sources, ' or ')
        using errcode = '22023';
    end if;
    return moved;
end
$$;

-- Cancel a job; if it runs, its handler is stopped. If the job has ended, its manual runs are stopped.
create or replace function public.cancel_job(job bigint)
returns public.scheduled_jobs
language sql
set search_path = ''
as $$
    select moved.* from job_scheduler.move_job(job, 'cancelled', 'cancelled', 'scheduled', 'paused', 'running') as moved
$$;

-- Hold a job until resume_job; a run under way goes on to its end.
create or replace function public.pause_job(job bigint)
returns public.scheduled_jobs
language sql
set search_path = ''
as $$
    select moved.* from job_scheduler.move_job(job, 'paused', 'paused', 'scheduled', 'running') as moved
$$;

-- Let a paused job run again on its schedule.
create or replace function public.resume_job(job bigint)
returns public.scheduled_jobs
language sql
set search_path = ''
as $$
    select moved.* from job_scheduler.move_job(job, 'resumed', 'scheduled', 'paused') as moved
$$;

-- Schedule a finished job again.
create or replace function public.retry_job(job bigint)
returns public.scheduled_jobs
language sql
set search_path = ''
as $$
    select moved.* from job_scheduler.move_job(job, 'retried', 'scheduled', 'completed', 'failed', 'cancelled') as moved
$$;
revoke all on function
public.cancel_job(bigint), public.pause_job(bigint), public.resume_job(bigint), public.retry_job(bigint),
job_scheduler.move_job(bigint, text, text, text[]), job_scheduler.refuse_unknown_job(bigint, text)
from public, anon, authenticated, service_role;
grant execute on function
public.cancel_job(bigint), public.pause_job(bigint), public.resume_job(bigint), public.retry_job(bigint),
job_scheduler.move_job(bigint, text, text, text[]), job_scheduler.refuse_unknown_job(bigint, text)
to authenticated, service_role;

-- Statistics of a job: counters of its whole life, durations of the runs that the ledger still holds.
create or replace function public.job_stats(job bigint)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
    stats jsonb;
begin
    select jsonb_build_object(
        'total_runs', j.total_runs,
        'successful_runs', j.successful_runs,
        'failed_runs', j.failed_runs,
        'success_rate', j.successful_runs::double precision / nullif(j.successful_runs + j.failed_runs, 0),
        'avg_duration_ms', ran.average,
        'p95_duration_ms', ran.p95,
        'last_run_at', j.last_run_at,
        'next_run_at', j.next_run_at
    ) into stats
    from public.scheduled_jobs as j
    cross join lateral (
        select
            avg(e.duration_ms) as average,
            percentile_cont(0.95) within group (order by e.duration_ms) as p95
        from (
            select l.duration_ms, l.status
            from public.job_executions as l
            where l.scheduled_job_id = j.id
            order by l.scheduled_for desc
            limit 10000
        ) as e
        where e.status in ('completed', 'failed')
    ) as ran
    where j.id = job;
    if stats is null then
        perform job_scheduler.refuse_unknown_job(job, 'see');
    end if;
    return stats;
end
$$;
revoke all on function public.job_stats(bigint) from public, anon, authenticated, service_role;
grant execute on function public.job_stats(bigint) to authenticated, service_role;

-- Queue a manual run of a job, whatever its status and schedule; returns the id of the run in job_executions. With test_mode
-- true it rehearses, with false it does not, and with null it does what the runs of the job's schedule do.
create or replace function public.run_job_now(job bigint, test_mode boolean default false)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
    run uuid;
    rehearses boolean;
begin
    select coalesce(run_job_now.test_mode, j.test_mode) into rehearses
    from public.scheduled_jobs as j
    where j.id = job
    for no key update;
    if not found then
        perform job_scheduler.refuse_unknown_job(job, 'run');
    end if;
    insert into public.job_executions (scheduled_job_id, test_mode) values (run_job_now.job, rehearses) returning id into run;
    return run;
end
$$;
revoke all on function public.run_job_now(bigint, boolean) from public, anon, authenticated, service_role;
grant execute on function public.run_job_now(bigint, boolean) to authenticated, service_role;

-- Workspaces and the rights of their members. A viewer reads, an editor also writes jobs and meetings,
-- an admin also names the workspace, invites and removes members, and deletes it.

-- A user's new workspace has that user as its admin. Their number is bounded, because quotas count by workspace.
create or replace function job_scheduler.enter_first_admin()
returns trigger
language plpgsql
security definer -- nobody is an admin who could enter the first one
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.limit_of('max_workspaces');
    used bigint;
begin
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler workspaces of ' || new.created_by, 0));
    select count(*) into used from public.job_workspaces as w where w.created_by = new.created_by and w.id <> new.id;
    if used >= most then
        raise exception 'quota max_workspaces: one more is not allowed; limit %, used %, left 0', most, used
        using errcode = 'PT403', hint = 'Delete a workspace that you created, or ask the operator.';
    end if;
    insert into public.job_workspace_members (workspace_id, user_id, role) values (new.id, new.created_by, 'admin');
    return null;
end
$$;
revoke all on function job_scheduler.enter_first_admin() from public;

-- Removes the jobs of a deleted workspace, which would run on, seen by nobody. A project with teams of its own calls it.
create or replace function job_scheduler.forget_workspace(id uuid)
returns void
language plpgsql
security invoker
set search_path = ''
as $$
declare
    actor constant text := coalesce(current_setting('job_scheduler.actor', true), '');
begin
    perform set_config('job_scheduler.actor', 'service', true); -- no reader of the audit is left
    if job_scheduler.has_meetings() then
        delete from public.meetings as m where m.workspace_id = forget_workspace.id;
    end if;
    delete from public.scheduled_jobs as j where j.workspace_id = forget_workspace.id;
    delete from public.job_alert_channels as c where c.workspace_id = forget_workspace.id;
    delete from public.job_alert_rules as r where r.workspace_id = forget_workspace.id; -- and with them their alerts
    perform set_config('job_scheduler.actor', actor, true);
end
$$;
revoke all on function job_scheduler.forget_workspace(uuid) from public;
grant execute on function job_scheduler.forget_workspace(uuid) to service_role;

-- Deleting a workspace deletes what is in it.
create or replace function job_scheduler.empty_workspace()
returns trigger
language plpgsql
security definer -- the membership that let the caller delete the workspace is gone by now
set search_path = ''
as $$
begin
    perform job_scheduler.forget_workspace(old.id);
    return null;
end
$$;
revoke all on function job_scheduler.empty_workspace() from public;

-- A workspace keeps an admin while it lasts, whatever its admins do to each other at the same moment.
create or replace function job_scheduler.keep_an_admin()
returns trigger
language plpgsql
security definer -- a member who leaves cannot see who remains
set search_path = ''
as $$
begin
    perform from public.job_workspaces as w where w.id = old.workspace_id for update;
    if found and not exists (
        select from public.job_workspace_members as m where m.workspace_id = old.workspace_id and m.role = 'admin'
    ) then
        raise exception 'job_workspace_members.role: a workspace keeps at least one admin'
        using errcode = '22023', hint = 'Make somebody else an admin first, or delete the workspace.';
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.keep_an_admin() from public;

-- Refuses settings whose quotas are no numbers: every later write of the workspace reads them.
create or replace function job_scheduler.check_settings()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    quota text;
begin
    if jsonb_typeof(new.settings) <> 'object' then
        raise exception 'job_workspaces.settings: % is not allowed; expected an object', left(new.settings::text, 120)
        using errcode = '22023';
    end if;
    foreach quota in array array[
        'max_active_jobs', 'min_interval_seconds', 'max_payload_bytes', 'max_queued_runs', 'max_manual_runs_per_minute',
        'max_running', 'max_runs_per_minute', 'max_stored_bytes', 'max_timeout_seconds', 'max_past_seconds',
        'max_alert_channels', 'max_alert_rules', 'max_alert_deliveries_per_hour'
    ] loop
        if jsonb_typeof(new.settings -> quota) not in ('number', 'null') or (new.settings ->> quota)::numeric < 0 then
            raise exception 'job_workspaces.settings: "%": % is not allowed; expected a number of at least 0', quota,
                left((new.settings -> quota)::text, 120)
            using errcode = '22023';
        end if;
    end loop;
    if jsonb_typeof(new.settings -> 'limit_service') not in ('boolean', 'null') then
        raise exception 'job_workspaces.settings: "limit_service": % is not allowed; expected true or false',
            left((new.settings -> 'limit_service')::text, 120)
        using errcode = '22023';
    end if;
    return new;
end
$$;
revoke all on function job_scheduler.check_settings() from public;

-- Refuses to move a row to another workspace: Realtime does not check the old row, so its readers would leak.
create or replace function job_scheduler.keep_workspace()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception '%.workspace_id is settled when the row is created; it cannot be changed', tg_table_name
    using errcode = '42501', hint = 'Insert a new row into the other workspace and delete this one.';
end
$$;
revoke all on function job_scheduler.keep_workspace() from public;

-- Refuses to give a row to somebody else: in a workspace, the policies alone would let any editor do it.
create or replace function job_scheduler.keep_owner()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception '%.created_by is settled when the row is created; it cannot be changed', tg_table_name
    using errcode = '42501';
end
$$;
revoke all on function job_scheduler.keep_owner() from public;

-- Invitations: an admin writes one, and the invited user accepts or declines it.

-- Notes the name of the workspace, which the invited user sees.
create or replace function job_scheduler.name_invitation()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    select w.name into new.workspace_name from public.job_workspaces as w where w.id = new.workspace_id;
    return new;
end
$$;

-- Refuses more invitations than may wait for an answer: one of a workspace can be written for any user id.
create or replace function job_scheduler.bound_invitations()
returns trigger
language plpgsql
security definer -- it counts the invitations as they are, not as the caller sees them
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.limit_of('max_invitations');
    one record;
    used bigint;
begin
    for one in
        select n.workspace_id as id, count(*) as added from new_rows as n group by n.workspace_id order by n.workspace_id
    loop
        perform pg_advisory_xact_lock(hashtextextended('job_scheduler invitations of ' || one.id, 0));
        select count(*) into used from public.job_workspace_invitations as i where i.workspace_id = one.id;
        if used > most then
            perform job_scheduler.refuse_quota(
                'max_invitations', format('%s more of this workspace must not wait', one.added), most, used - one.added
            );
        end if;
    end loop;
    return null;
end
$$;

-- A user who became a member has used the invitation up. One that was taken back meanwhile makes nobody a member.
create or replace function job_scheduler.use_invitation()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    delete from public.job_workspace_invitations as i
    where i.workspace_id = new.workspace_id and i.user_id = new.user_id;
    if not found and row_security_active('public.job_workspace_members'::regclass) then
        perform job_scheduler.refuse_unknown_invitation(new.workspace_id);
    end if;
    return null;
end
$$;

-- Refuses because the caller has no such invitation; PostgREST answers PT404 with HTTP 404.
create or replace function job_scheduler.refuse_unknown_invitation(workspace uuid)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    raise exception 'no invitation to workspace %', coalesce(workspace::text, 'null')
    using errcode = 'PT404', hint = 'It was accepted, declined or taken back, or is for somebody else.';
end
$$;

-- Makes the caller a member, as what the invitation says; a member stays what they are.
create or replace function public.accept_invitation(workspace uuid)
returns public.job_workspace_members
language plpgsql
set search_path = ''
as $$
declare
    member public.job_workspace_members;
begin
    insert into public.job_workspace_members (workspace_id, user_id, role)
    select i.workspace_id, i.user_id, i.role
    from public.job_workspace_invitations as i
    where i.workspace_id = workspace and i.user_id = job_scheduler.caller()
    on conflict do nothing;
    if not found then -- a member already, or not invited
        perform public.decline_invitation(workspace);
    end if;
    select m.* into member
    from public.job_workspace_members as m
    where m.workspace_id = workspace and m.user_id = job_scheduler.caller();
    return member;
end
$$;

-- Deletes the invitation.
create or replace function public.decline_invitation(workspace uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
    delete from public.job_workspace_invitations as i
    where i.workspace_id = workspace and i.user_id = job_scheduler.caller();
    if not found then
        perform job_scheduler.refuse_unknown_invitation(workspace);
    end if;
end
$$;

revoke all on function
job_scheduler.name_invitation(), job_scheduler.bound_invitations(), job_scheduler.use_invitation(),
job_scheduler.refuse_unknown_invitation(uuid)
from public;
grant execute on function job_scheduler.refuse_unknown_invitation(uuid) to authenticated, service_role;
revoke all on function public.accept_invitation(uuid), public.decline_invitation(uuid) from public, anon, authenticated;
grant execute on function public.accept_invitation(uuid), public.decline_invitation(uuid) to authenticated;

-- Calls job_scheduler.memberships() as each kind of caller: whoever replaced it may not have met all of them, and one for
-- whom it raises silences Realtime for everybody. With the role of signed-in users, who may lack what it reads.
-- {} -> [{caller, error}] of those for whom it raises
create or replace function public.check_memberships_v1(request jsonb) -- noqa: RF03
returns json
language plpgsql
set search_path = ''
as $$
declare
    me constant text := current_user;
    my_claims constant text := current_setting('request.jwt.claims', true);
    one record;
    faults jsonb := '[]';
begin
    for one in
        values
            ('a user', jsonb_build_object('role', 'authenticated', 'sub', gen_random_uuid())::text),
            ('a subject that is no uuid', '{"role": "authenticated", "sub": "auth0|1"}'),
            ('an empty subject', '{"role": "authenticated", "sub": ""}'),
            ('no subject', '{"role": "authenticated"}'),
            ('anon', '{"role": "anon"}'),
            ('empty claims', '{}'),
            ('no claims', '')
    loop
        begin
            perform set_config('request.jwt.claims', one.column2, true), set_config('role', 'authenticated', true);
            perform count(m.workspace_id), count(m.role) from job_scheduler.memberships() as m;
        exception when others then -- which also takes the settings back
            faults := faults || jsonb_build_object('caller', one.column1, 'error', sqlerrm);
        end;
        perform set_config('role', me, true), set_config('request.jwt.claims', coalesce(my_claims, ''), true);
    end loop;
    return faults;
end
$$;
revoke all on function public.check_memberships_v1(jsonb) from public, anon, authenticated;
grant execute on function public.check_memberships_v1(jsonb) to service_role;

-- How close the due instants of a schedule can be.

-- All values of a cron field, in order.
create or replace function job_scheduler.cron_times(field text, highest integer)
returns integer[]
language sql
immutable
set search_path = ''
as $$
    select array_agg(distinct v.value order by v.value)
    from unnest(job_scheduler.cron_field(field, 0, highest, '{}')) as v (value)
$$;
revoke all on function job_scheduler.cron_times(text, integer) from public;

-- The least distance between two neighbours in an ascending list; null where there are no two.
create or replace function job_scheduler.least_step(ascending integer[])
returns integer
language sql
immutable
set search_path = ''
as $$
    select min(n.value - n.previous)
    from (select v.value, lag(v.value) over (order by v.value) as previous from unnest(ascending) as v (value)) as n
$$;
revoke all on function job_scheduler.least_step(integer[]) from public;

-- The least number of seconds between two due instants of a cron expression, as far as its fields say without a calendar:
-- within a day, and from each day to the next where it is due every day. Null where nothing can be said.
create or replace function job_scheduler.cron_interval(expression text)
returns integer
language plpgsql
immutable
set search_path = ''
as $$
declare
    field constant text[] := job_scheduler.cron_split(expression);
    seconds integer[];
    minutes integer[];
    hours integer[];
    first integer; -- the first second of a minute, then of an hour, then of a day that is due
    last integer;
    shortest integer;
begin
    if ltrim(expression, E' \t') like '@%' and field[2] = '0' then
        return 86400; -- @daily, or less often
    end if;
    seconds := job_scheduler.cron_times(coalesce(field[6], '0'), 59);
    minutes := job_scheduler.cron_times(field[1], 59);
    hours := job_scheduler.cron_times(field[2], 23);
    first := seconds[1];
    last := seconds[cardinality(seconds)];
    shortest := job_scheduler.least_step(seconds);
    shortest := least(shortest, 60 * job_scheduler.least_step(minutes) - last + first);
    first := first + 60 * minutes[1];
    last := last + 60 * minutes[cardinality(minutes)];
    shortest := least(shortest, 3600 * job_scheduler.least_step(hours) - last + first);
    if array[field[3], field[4], field[5]] <@ '{*,?}' then
        first := first + 3600 * hours[1];
        last := last + 3600 * hours[cardinality(hours)];
        shortest := least(shortest, 86400 - last + first);
    end if;
    return shortest;
end
$$;
revoke all on function job_scheduler.cron_interval(text) from public;

-- The least number of seconds between due instants of a job, or null where it has only one, or where that is unknown.
create or replace function job_scheduler.least_interval(trigger_type text, schedule jsonb)
returns numeric
language sql
immutable
set search_path = ''
as $$
    select case trigger_type
        when 'interval' then (schedule ->> 'seconds')::numeric
        when 'cron' then job_scheduler.cron_interval(schedule ->> 'expression')
        when 'once' then null
        else 86400
    end
$$;
revoke all on function job_scheduler.least_interval(text, jsonb) from public;

-- Quotas: how much of the scheduler a tenant may use. A workspace's own stand in job_workspaces.settings; where they say
-- nothing, and for private rows, the installation's hold (job_scheduler.limits). They hold for signed-in users; the service
-- key is held to them only in a workspace whose settings say "limit_service": true.

-- A tenant's bound, or null where there is none for this writer.
create or replace function job_scheduler.quota_of(workspace uuid, quota text, by_client boolean)
returns numeric
language sql
stable
set search_path = ''
as $$
    select case
        when by_client then coalesce(max((w.settings ->> quota)::numeric), job_scheduler.limit_of('quota_' || quota))
        else max((w.settings ->> quota)::numeric) filter (where w.settings -> 'limit_service' = 'true')
    end
    from public.job_workspaces as w
    where w.id = workspace
$$;
revoke all on function job_scheduler.quota_of(uuid, text, boolean) from public;

-- Refuse because of a quota, by name: PostgREST answers PT403 with HTTP 403.
create or replace function job_scheduler.refuse_quota(quota text, message text, bound numeric, used numeric)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    raise exception using
        errcode = 'PT403',
        message = format('quota %s: %s; limit %s, used %s, left %s', quota, message, bound, used, greatest(bound - used, 0)),
        detail = jsonb_build_object('quota', quota, 'limit', bound, 'used', used, 'left', greatest(bound - used, 0))::text,
        hint = 'Nothing was written. Quotas are set by the operator, in job_workspaces.settings or job_scheduler.limits.';
end
$$;
revoke all on function job_scheduler.refuse_quota(text, text, numeric, numeric) from public;

-- Refuse because of a quota that bounds one job, by name, column, value and what is allowed.
create or replace function job_scheduler.refuse_shape(
    quota text, what text, given text, bound numeric, used numeric, allowed text
)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    raise exception using
        errcode = 'PT403',
        message = format('quota %s: scheduled_jobs.%s: %s is not allowed; expected %s', quota, what, given, allowed),
        detail = jsonb_build_object('quota', quota, 'limit', bound, 'used', used)::text,
        hint = 'Nothing was written. Quotas are set by the operator, in job_workspaces.settings or job_scheduler.limits.';
end
$$;
revoke all on function job_scheduler.refuse_shape(text, text, text, numeric, numeric, text) from public;

-- Refuses a job that may run for too long, or one-time job that was due too long ago: thousands of those go before whatever
-- else its tenant has due. What stands at its default always passes.
create or replace function job_scheduler.check_time_quotas(
    workspace uuid, trigger_type text, run_date timestamptz, timeout_seconds numeric, by_client boolean
)
returns void
language plpgsql
stable
security definer -- see check_shape_quotas
set search_path = ''
as $$
declare
    longest constant numeric := job_scheduler.quota_of(workspace, 'max_timeout_seconds', by_client);
    oldest constant numeric := job_scheduler.quota_of(workspace, 'max_past_seconds', by_client);
    past constant numeric := extract(epoch from now() - run_date);
begin
    if timeout_seconds > longest and timeout_seconds <> 300 then
        perform job_scheduler.refuse_shape(
            'max_timeout_seconds', 'timeout_seconds', timeout_seconds::text, longest, timeout_seconds,
            format('at most %s', longest)
        );
    elsif trigger_type = 'once' and past > oldest then
        perform job_scheduler.refuse_shape(
            'max_past_seconds', 'run_date', to_jsonb(run_date)::text, oldest, round(past),
            format('an instant at most %s s ago', oldest)
        );
    end if;
end
$$;

-- Refuses a job that is due too often or that carries too much for its tenant.
create or replace function job_scheduler.check_shape_quotas(
    workspace uuid, trigger_type text, schedule jsonb, metadata jsonb, by_client boolean
)
returns void
language plpgsql
stable
security definer -- a tenant's quotas are the operator's to see and write
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.quota_of(workspace, 'max_payload_bytes', by_client);
    shortest numeric;
    step numeric;
    bytes constant integer := octet_length(metadata::text);
begin
    if bytes > most then
        perform job_scheduler.refuse_quota(
            'max_payload_bytes', format('scheduled_jobs.metadata of %s bytes is not allowed', bytes), most, bytes
        );
    end if;
    if trigger_type <> 'once' then
        shortest := job_scheduler.quota_of(workspace, 'min_interval_seconds', by_client);
        step := job_scheduler.least_interval(trigger_type, schedule);
        if step < shortest then
            raise exception using
                errcode = 'PT403',
                message = format(
                    'quota min_interval_seconds: scheduled_jobs.schedule %s is due every %s s at times; limit %s',
                    left(schedule::text, 120), step, shortest
                ),
                detail = jsonb_build_object('quota', 'min_interval_seconds', 'limit', shortest, 'used', step)::text,
                hint = 'Nothing was written. Let at least that many seconds lie between any two due instants.';
        end if;
    end if;
end
$$;

-- How many jobs of a tenant have not ended, looked up without reading those that have: these have neither a run to come
-- nor one under way. Planned anew at each call, like a listener's requests (docs/adr/0008).
create or replace function job_scheduler.active_jobs(tenant uuid)
returns bigint
language plpgsql
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
as $$
declare
    to_come bigint;
    under_way bigint; -- with no run to come
begin
    select count(*) into to_come
    from public.scheduled_jobs as j
    where
        coalesce(j.workspace_id, j.created_by) = tenant and j.status in ('scheduled', 'running', 'paused')
        and (j.next_run_at is not null or j.queued_runs > 0 or j.due_at is not null or not j.is_planned);
    select count(*) into under_way
    from public.scheduled_jobs as j
    where
        j.id = any(array(
            select e.scheduled_job_id from public.job_executions as e
            where e.lease_expires_at is not null and coalesce(e.workspace_id, e.created_by) = tenant
        ))
        and j.status in ('scheduled', 'running', 'paused')
        and not (j.next_run_at is not null or j.queued_runs > 0 or j.due_at is not null or not j.is_planned);
    return to_come + under_way;
end
$$;
revoke all on function job_scheduler.active_jobs(uuid) from public;

-- Refuses more active jobs than a tenant may have; `added` of them were written by this statement. Writers of one
-- tenant's jobs wait for each other, and for nobody else; each then sees the other's rows.
create or replace function job_scheduler.check_active_quota(
    workspace uuid, owner uuid, added bigint, by_client boolean
)
returns void
language plpgsql
security definer -- see check_shape_quotas
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.quota_of(workspace, 'max_active_jobs', by_client);
    used bigint;
begin
    if most is null or added = 0 then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler quota of ' || coalesce(workspace, owner), 0));
    used := job_scheduler.active_jobs(coalesce(workspace, owner));
    if used > most then
        used := used - added;
        perform job_scheduler.refuse_quota(
            'max_active_jobs',
            format(case when added = 1 then '%s more job is not allowed' else '%s more jobs are not allowed' end, added),
            most, used
        );
    end if;
end
$$;

-- Whether the service key is held to the quotas of any of these workspaces.
create or replace function job_scheduler.any_limits_service(workspaces uuid[])
returns boolean
language sql
stable
security definer -- see check_shape_quotas
set search_path = ''
as $$
    select exists (
        select from public.job_workspaces as w where w.id = any(workspaces) and w.settings -> 'limit_service' = 'true'
    )
$$;

-- Refuses more runs manually than may wait for one job: each of them costs the job a look at all that wait.
create or replace function job_scheduler.check_queued_runs(job bigint, by_client boolean)
returns void
language plpgsql
security definer -- see check_shape_quotas
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.quota_of(
        (select j.workspace_id from public.scheduled_jobs as j where j.id = job), 'max_queued_runs', by_client
    );
    waiting bigint;
    used bigint;
begin
    if most is null then
        return;
    end if;
    select count(*), count(*) filter (where e.xmin <> pg_current_xact_id()::xid) into waiting, used
    from public.job_executions as e
    where e.scheduled_job_id = job and e.status = 'queued' and e.cause = 'manual';
    if waiting > most then
        perform job_scheduler.refuse_quota(
            'max_queued_runs', format('%s more of job %s must not wait', waiting - used, job), most, used
        );
    end if;
end
$$;
revoke all on function
job_scheduler.check_queued_runs(bigint, boolean), job_scheduler.check_shape_quotas(uuid, text, jsonb, jsonb, boolean),
job_scheduler.check_time_quotas(uuid, text, timestamptz, numeric, boolean),
job_scheduler.check_active_quota(uuid, uuid, bigint, boolean), job_scheduler.any_limits_service(uuid[])
from public;
grant execute on function
job_scheduler.check_queued_runs(bigint, boolean), job_scheduler.check_shape_quotas(uuid, text, jsonb, jsonb, boolean),
job_scheduler.check_time_quotas(uuid, text, timestamptz, numeric, boolean),
job_scheduler.check_active_quota(uuid, uuid, bigint, boolean), job_scheduler.any_limits_service(uuid[])
to authenticated, service_role; -- their writes fire the triggers

-- Quotas of a user over all workspaces: the installation's bounds hold for a user's private rows and those in workspaces
-- without a bound of their own together. A workspace whose settings name a bound counts by itself.

-- How many jobs of a user in workspaces without a bound of their own have not ended. See active_jobs.
create or replace function job_scheduler.active_jobs_in_workspaces(owner uuid)
returns bigint
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    select count(*)
    from public.scheduled_jobs as j
    where
        j.created_by = owner and j.workspace_id is not null and j.status in ('scheduled', 'running', 'paused')
        and (j.next_run_at is not null or j.queued_runs > 0 or j.due_at is not null or not j.is_planned)
        and not exists (select from public.job_workspaces as w where w.id = j.workspace_id and w.settings ? 'max_active_jobs')
$$;
revoke all on function job_scheduler.active_jobs_in_workspaces(uuid) from public;

-- Refuses more active jobs than a user may have; this statement added one in each of `workspaces`, or private ones.
create or replace function job_scheduler.check_active_quota_of(owner uuid, workspaces uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.limit_of('quota_max_active_jobs');
    added constant bigint := (
        select count(*)
        from unnest(workspaces) as a (workspace)
        left join public.job_workspaces as w on a.workspace = w.id
        where not coalesce(w.settings ? 'max_active_jobs', false)
    );
    used bigint;
begin
    if owner is null or added = 0 then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler quota of user ' || owner, 0));
    used := job_scheduler.active_jobs_in_workspaces(owner);
    if used > 0 then -- else the quota of the user's private rows says it all
        used := used + job_scheduler.active_jobs(owner);
    end if;
    if used > most then
        perform job_scheduler.refuse_quota(
            'max_active_jobs', 'no more jobs of this user in all workspaces together', most, used - added
        );
    end if;
end
$$;

revoke all on function job_scheduler.check_active_quota_of(uuid, uuid[]) from public;

-- The same for the caller.
create or replace function job_scheduler.check_active_quota_of_user(workspaces uuid[])
returns void
language sql
security definer -- see check_shape_quotas
set search_path = ''
as $$
    select job_scheduler.check_active_quota_of(job_scheduler.caller(), workspaces)
$$;

-- How many bytes of metadata the active jobs of a tenant have; of a user, also those in workspaces without a bound of their
-- own. What is stored compressed counts in full.
create or replace function job_scheduler.stored_bytes(workspace uuid, owner uuid)
returns numeric
language plpgsql
stable
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
as $$
begin
    return (
        select coalesce(sum(
            case
                when pg_column_compression(j.metadata) is null then pg_column_size(j.metadata)
                else octet_length(j.metadata::text)
            end
        ), 0)
        from (
            select s.metadata, s.status from public.scheduled_jobs as s
            where
                coalesce(s.workspace_id, s.created_by) in (workspace, owner)
                and (s.next_run_at is not null or s.queued_runs > 0 or s.due_at is not null or not s.is_planned)
            union all
            select s.metadata, s.status from public.scheduled_jobs as s
            where
                s.created_by = owner and s.workspace_id is not null and s.workspace_id is distinct from workspace
                and (s.next_run_at is not null or s.queued_runs > 0 or s.due_at is not null or not s.is_planned)
                and not exists (
                    select from public.job_workspaces as w where w.id = s.workspace_id and w.settings ? 'max_stored_bytes'
                )
        ) as j
        where j.status in ('scheduled', 'running', 'paused')
    );
end
$$;
revoke all on function job_scheduler.stored_bytes(uuid, uuid) from public;

-- Refuses more metadata than a tenant's active jobs may have together.
create or replace function job_scheduler.check_stored_bytes(workspace uuid, owner uuid, by_client boolean)
returns void
language plpgsql
security definer -- see check_shape_quotas
set search_path = ''
as $$
declare
    most constant numeric := job_scheduler.quota_of(workspace, 'max_stored_bytes', by_client);
    is_own constant boolean := exists (
        select from public.job_workspaces as w where w.id = workspace and w.settings ? 'max_stored_bytes'
    );
    used numeric;
begin
    if most is null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler quota of ' || coalesce(workspace, owner), 0));
    used := job_scheduler.stored_bytes(workspace, case when not is_own then owner end);
    if used > most then
        perform job_scheduler.refuse_quota('max_stored_bytes', 'scheduled_jobs.metadata of all active jobs', most, used);
    end if;
end
$$;

-- Refuses more runs asked for manually in a minute than a tenant may have, and than its user may.
create or replace function job_scheduler.check_manual_runs(workspace uuid, owner uuid, by_client boolean)
returns void
language plpgsql
security definer -- see check_shape_quotas
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
as $$
declare
    most constant numeric := job_scheduler.quota_of(workspace, 'max_manual_runs_per_minute', by_client);
    used bigint;
begin
    if most is null then
        return;
    end if;
    select count(*) into used
    from public.job_executions as e
    where
        coalesce(e.workspace_id, e.created_by) = coalesce(workspace, owner) and e.cause = 'manual'
        and e.scheduled_for > clock_timestamp() - interval '1 minute';
    if workspace is not null and owner is not null and not exists (
        select from public.job_workspaces as w where w.id = workspace and w.settings ? 'max_manual_runs_per_minute'
    ) then
        used := greatest(used, (
            select count(*)
            from public.job_executions as e
            where
                e.created_by = owner and e.workspace_id is not null and e.cause = 'manual'
                and e.scheduled_for > clock_timestamp() - interval '1 minute'
        ));
    end if;
    if used > most then
        perform job_scheduler.refuse_quota(
            'max_manual_runs_per_minute', 'one more manual run in this minute is not allowed', most, used - 1
        );
    end if;
end
$$;
revoke all on function
job_scheduler.check_active_quota_of_user(uuid[]), job_scheduler.check_stored_bytes(uuid, uuid, boolean),
job_scheduler.check_manual_runs(uuid, uuid, boolean)
from public;
grant execute on function
job_scheduler.check_active_quota_of_user(uuid[]), job_scheduler.check_stored_bytes(uuid, uuid, boolean),
job_scheduler.check_manual_runs(uuid, uuid, boolean)
to authenticated, service_role; -- their writes fire the triggers

-- Applies quotas at inserts, edits, revivals and manual runs.

-- All of a statement's new jobs at once. Tenants in order, so that two statements for the same ones cannot deadlock.
create or replace function job_scheduler.admit_to_quotas()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    by_client constant boolean := row_security_active('public.scheduled_jobs'::regclass);
    workspaces constant uuid[] := array(select distinct n.workspace_id from new_rows as n where n.workspace_id is not null);
begin
    if not by_client and (workspaces = '{}' or not job_scheduler.any_limits_service(workspaces)) then
        return null;
    end if;
    perform job_scheduler.check_shape_quotas(n.workspace_id, n.trigger_type, n.schedule, n.metadata, by_client)
    from new_rows as n
    where n.trigger_type <> 'once' or n.metadata <> '{}';
    perform job_scheduler.check_time_quotas(n.workspace_id, n.trigger_type, n.run_date, n.timeout_seconds, by_client)
    from new_rows as n
    where n.timeout_seconds <> 300 or n.run_date < now();
    if by_client then
        perform job_scheduler.check_active_quota_of_user(array(select n.workspace_id from new_rows as n));
    end if;
    perform job_scheduler.check_active_quota(t.workspace_id, t.owner, t.added, by_client)
    from (
        select
            n.workspace_id, case when n.workspace_id is null then n.created_by end as owner, count(*) as added
        from new_rows as n
        group by 1, 2
        order by 1, 2
    ) as t;
    perform job_scheduler.check_stored_bytes(t.workspace_id, t.created_by, by_client)
    from (
        select distinct n.workspace_id, n.created_by from new_rows as n where n.metadata <> '{}'
        order by n.workspace_id, n.created_by
    ) as t;
    return null;
end
$$;
revoke all on function job_scheduler.admit_to_quotas() from public;

-- An edit of what the quotas bound.
create or replace function job_scheduler.admit_edit_to_quotas()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    by_client constant boolean := row_security_active('public.scheduled_jobs'::regclass);
begin
    if by_client or job_scheduler.any_limits_service(array[new.workspace_id]) then
        perform job_scheduler.check_shape_quotas(
            new.workspace_id, new.trigger_type, new.schedule, new.metadata, by_client
        );
        if (new.trigger_type, new.run_date, new.timeout_seconds)
            is distinct from (old.trigger_type, old.run_date, old.timeout_seconds) then
            perform job_scheduler.check_time_quotas(
                new.workspace_id, case when not job_scheduler.is_due_alike(new, old) then new.trigger_type end, new.run_date,
                case when new.timeout_seconds <> old.timeout_seconds then new.timeout_seconds end, by_client
            );
        end if;
        if new.metadata <> old.metadata then
            perform job_scheduler.check_stored_bytes(new.workspace_id, new.created_by, by_client);
        end if;
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.admit_edit_to_quotas() from public;

-- Finished jobs that are scheduled again are counted for the end of the statement, however many they are.
create or replace function job_scheduler.count_revived(workspace uuid, owner uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
    tenant constant text := coalesce(workspace::text, 'of ' || owner, 'none');
    counted constant jsonb := coalesce(nullif(current_setting('job_scheduler.revived', true), ''), '{}');
begin
    perform set_config(
        'job_scheduler.revived',
        (counted || jsonb_build_object(tenant, coalesce((counted -> tenant)::bigint, 0) + 1))::text, true
    );
end
$$;
revoke all on function job_scheduler.count_revived(uuid, uuid) from public;
grant execute on function job_scheduler.count_revived(uuid, uuid)
to authenticated, service_role; -- their writes fire the trigger that calls it

create or replace function job_scheduler.admit_revived()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    by_client constant boolean := row_security_active('public.scheduled_jobs'::regclass);
    counted constant jsonb := current_setting('job_scheduler.revived', true);
begin
    perform set_config('job_scheduler.revived', '', true);
    if by_client then
        perform job_scheduler.check_active_quota_of_user(array(
            select case when e.key not like 'of %' then e.key::uuid end
            from jsonb_each_text(counted) as e
            cross join generate_series(1, e.value::integer)
            where e.key <> 'none'
        ));
    end if;
    perform job_scheduler.check_active_quota(
        case when t.tenant not like 'of %' then t.tenant::uuid end,
        case when t.tenant like 'of %' then substr(t.tenant, 4)::uuid end,
        t.added::bigint, by_client
    )
    from (select e.key as tenant, e.value as added from jsonb_each_text(counted) as e where e.key <> 'none' order by e.key) as t;
    return null;
end
$$;
revoke all on function job_scheduler.admit_revived() from public;

create or replace function job_scheduler.admit_manual_run_to_quotas()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    by_client constant boolean := row_security_active('public.scheduled_jobs'::regclass);
begin
    perform job_scheduler.check_queued_runs(new.scheduled_job_id, by_client);
    perform job_scheduler.check_manual_runs(new.workspace_id, new.created_by, by_client);
    return null;
end
$$;
revoke all on function job_scheduler.admit_manual_run_to_quotas() from public;

-- Finds the values that a schema marks secret, and removes them from a payload.

-- Whether a schema marks a value as a secret: SecretStr, or json_schema_extra={"secret": True}.
create or replace function job_scheduler.is_secret(property jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select property @> '{"secret": true}' or property @> '{"format": "password", "writeOnly": true}'
$$;
revoke all on function job_scheduler.is_secret(jsonb) from public;

-- Whether anything in a schema is marked as a secret.
create or replace function job_scheduler.has_secrets(schema jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select schema::text ~ '"secret": (true|"by_name")|"writeOnly": true'
$$;
revoke all on function job_scheduler.has_secrets(jsonb) from public;

-- A value without what its schema marks as secret, for the audit.
create or replace function job_scheduler.without_secrets(given jsonb, property jsonb, definitions jsonb, depth integer)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
    covered jsonb := given;
    choice jsonb;
begin
    if jsonb_typeof(property) is distinct from 'object' or given = 'null' then
        return given;
    elsif depth <= 0 or job_scheduler.is_secret(property) then
        return '"[redacted]"';
    end if;
    if property ? '$ref' then
        covered := job_scheduler.without_secrets(
            covered, definitions -> substr(property ->> '$ref', 9), definitions, depth - 1
        );
    end if;
    for choice in
        select c.value
        from unnest(array[property -> 'anyOf', property -> 'oneOf', property -> 'allOf']) as branches (choices)
        cross join jsonb_array_elements(coalesce(branches.choices, '[]')) as c (value)
    loop
        covered := job_scheduler.without_secrets(covered, choice, definitions, depth - 1);
    end loop;
    if jsonb_typeof(covered) = 'object' and property ?| array['properties', 'additionalProperties', 'secret'] then
        return (
            select coalesce(jsonb_object_agg(m.key, case
                when property @> '{"secret": "by_name"}' then '"[redacted]"'
                else job_scheduler.without_secrets(
                    m.value, coalesce(property -> 'properties' -> m.key, property -> 'additionalProperties'),
                    definitions, depth - 1
                )
            end), '{}')
            from jsonb_each(covered) as m
        );
    elsif jsonb_typeof(covered) = 'array' and property ?| array['items', 'prefixItems'] then
        return (
            select coalesce(jsonb_agg(job_scheduler.without_secrets(
                i.item, coalesce(property -> 'prefixItems' -> (i.number::integer - 1), property -> 'items'),
                definitions, depth - 1
            ) order by i.number), '[]')
            from jsonb_array_elements(covered) with ordinality as i (item, number)
        );
    end if;
    return covered;
end
$$;
revoke all on function job_scheduler.without_secrets(jsonb, jsonb, jsonb, integer) from public;

-- Whether a payload can fit the schema of its handler.

-- Whether a value may be of the kind that a property's JSON schema says. Only what no reading of it could fix is refused
-- ("5" may be a number, 0 a boolean, a number an instant); the handler's own model has the last word when the job runs.
create or replace function job_scheduler.may_be(given jsonb, property jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select case
        when property ->> 'type' = 'string' and jsonb_typeof(given) = 'string' then
            coalesce(property -> 'enum' @> given, true) and coalesce(property -> 'const' = given, true)
        else case property ->> 'type'
            when 'string' then jsonb_typeof(given) = 'number' and property ? 'format'
            when 'integer' then case jsonb_typeof(given)
                when 'number' then (given #>> '{}')::numeric % 1 = 0
                when 'string' then given #>> '{}' ~ '[0-9]'
                else jsonb_typeof(given) = 'boolean'
            end
            when 'number' then jsonb_typeof(given) in ('number', 'boolean')
                or jsonb_typeof(given) = 'string' and given #>> '{}' ~* '[0-9]|inf|nan'
            when 'boolean' then jsonb_typeof(given) in ('boolean', 'number')
                or jsonb_typeof(given) = 'string' and lower(given #>> '{}') = any(
                    array['true', 'false', 't', 'f', 'yes', 'no', 'y', 'n', 'on', 'off', '1', '0']
                )
            when 'array' then jsonb_typeof(given) = 'array'
            when 'object' then jsonb_typeof(given) = 'object'
            when 'null' then jsonb_typeof(given) = 'null'
            else true
        end
    end
$$;
revoke all on function job_scheduler.may_be(jsonb, jsonb) from public;

-- A bound that a schema sets, or null.
create or replace function job_scheduler.bound_of(property jsonb, bound text)
returns numeric
language sql
immutable
set search_path = ''
as $$
    select case jsonb_typeof(property -> bound) when 'number' then (property ->> bound)::numeric end
$$;
revoke all on function job_scheduler.bound_of(jsonb, text) from public;

-- Whether a number lies within the bounds; by less than a double's precision it may lie outside.
create or replace function job_scheduler.is_within(given numeric, property jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select
        given >= coalesce(b.least - abs(b.least) * 1e-12, given) and given <= coalesce(b.most + abs(b.most) * 1e-12, given)
        and coalesce(given <> b.above and given > b.above - abs(b.above) * 1e-12, true)
        and coalesce(given <> b.below and given < b.below + abs(b.below) * 1e-12, true)
    from (
        select
            job_scheduler.bound_of(property, 'minimum') as least, job_scheduler.bound_of(property, 'maximum') as most,
            job_scheduler.bound_of(property, 'exclusiveMinimum') as above,
            job_scheduler.bound_of(property, 'exclusiveMaximum') as below
    ) as b
$$;
revoke all on function job_scheduler.is_within(numeric, jsonb) from public;

-- Whether a text has the length and the form that it should. A model may strip it first. Of patterns only those are looked
-- at that mean the same here as in the handler's language, and of texts those of one line in ASCII.
create or replace function job_scheduler.is_formed(given text, property jsonb)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
declare
    stripped constant text := btrim(given, E' \t\r\n\f\v');
    pattern constant text := property ->> 'pattern';
begin
    if property ? 'format' then
        return true; -- what it is read as has a length of its own
    elsif char_length(given) < job_scheduler.bound_of(property, 'minLength')
        or char_length(stripped) > job_scheduler.bound_of(property, 'maxLength') then
        return false;
    elsif pattern is null or char_length(given) > 1000 or given ~ '[^ -~]' or char_length(pattern) > 200
        or pattern !~ E'^([A-Za-z0-9 @:,_/=#~^$.|()-]|\\[[A-Za-z0-9 ^@:,_./+-]+\\][*+?]?|[])}A-Za-z0-9.][*+?]|\\{[0-9]{1,2}(,[0-9]{0,2})?\\}|\\\\[dws.+/-][*+?]?)+$' then
        return true;
    end if;
    return given ~ pattern or stripped ~ pattern;
exception when invalid_regular_expression then
    return true;
end
$$;
revoke all on function job_scheduler.is_formed(text, jsonb) from public;

-- The type and limits of a property, in words.
create or replace function job_scheduler.words_for(property jsonb)
returns text
language sql
immutable
set search_path = ''
as $$
    select case
        when property ?| array['anyOf', 'oneOf'] then (
            select string_agg(job_scheduler.words_for(choice), ' or ')
            from jsonb_array_elements(coalesce(property -> 'anyOf', property -> 'oneOf')) as choice
        )
        when property ? 'enum' then 'one of ' || left(btrim((property -> 'enum')::text, '[]'), 300)
        when property ? 'const' then left((property -> 'const')::text, 300)
        when property ? '$ref' then regexp_replace(property ->> '$ref', '.*/', '')
        else coalesce(property ->> 'type', 'something else') || coalesce(' ' || (
            select string_agg(format(b.words, left(property ->> b.bound, 200)), ' and ' order by b.place)
            from (
                values
                (1, 'minimum', 'of at least %s'), (2, 'exclusiveMinimum', 'above %s'), (3, 'maximum', 'of at most %s'),
                (4, 'exclusiveMaximum', 'below %s'), (5, 'minLength', 'of at least %s characters'),
                (6, 'maxLength', 'of at most %s characters'), (7, 'pattern', 'of the form %s'),
                (8, 'minItems', 'of at least %s items'), (9, 'maxItems', 'of at most %s items')
            ) as b (place, bound, words)
            where property ? b.bound
        ), '')
    end
$$;
revoke all on function job_scheduler.words_for(jsonb) from public;

-- The first part of a value that cannot fit its schema: {kind: missing | surplus | wrong, place, value, property}; null
-- where all of it may. `depth` bounds how deep it looks; of a list, and of keys that the schema does not name, it looks at
-- the first 200.
create or replace function job_scheduler.misfit(given jsonb, property jsonb, definitions jsonb, place text, depth integer)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
    wrong constant jsonb := jsonb_build_object('kind', 'wrong', 'place', place, 'value', given, 'property', property);
    within constant text := case when place = '' then '' else place || '.' end;
    found jsonb;
    deepest jsonb;
    part record;
begin
    if jsonb_typeof(property) is distinct from 'object' or depth <= 0 or property ? 'x-lenient' then
        return null; -- the last: the model may make more of the value than its schema says
    elsif property ? '$ref' then
        return job_scheduler.misfit(
            given, definitions -> substr(property ->> '$ref', 9), definitions, place, depth - 1
        );
    elsif jsonb_typeof(coalesce(property -> 'anyOf', property -> 'oneOf')) = 'array' then
        for part in select c.choice from jsonb_array_elements(coalesce(property -> 'anyOf', property -> 'oneOf')) as c (choice) loop
            found := job_scheduler.misfit(given, part.choice, definitions, place, depth - 1);
            if found is null then
                return null;
            end if;
            deepest := coalesce(deepest, case when found ->> 'place' <> place then found end);
        end loop;
        return coalesce(deepest, wrong);
    elsif jsonb_typeof(property -> 'allOf') = 'array' then
        for part in select c.choice from jsonb_array_elements(property -> 'allOf') as c (choice) loop
            found := job_scheduler.misfit(given, part.choice, definitions, place, depth - 1);
            if found is not null then
                return found;
            end if;
        end loop;
    end if;
    if not job_scheduler.may_be(given, property) then
        return wrong;
    end if;
    case jsonb_typeof(given)
        when 'number' then
            if property ->> 'type' in ('integer', 'number')
                and not job_scheduler.is_within((given #>> '{}')::numeric, property) then
                return wrong;
            end if;
        when 'string' then
            if property ->> 'type' = 'string' and not job_scheduler.is_formed(given #>> '{}', property) then
                return wrong;
            end if;
        when 'array' then
            if jsonb_array_length(given) < job_scheduler.bound_of(property, 'minItems')
                or jsonb_array_length(given) > job_scheduler.bound_of(property, 'maxItems')
                and property -> 'uniqueItems' is distinct from 'true' then
                return wrong;
            elsif jsonb_typeof(property -> 'items') = 'object' and not property ? 'prefixItems' then
                for part in
                    select i.item, i.number - 1 as number
                    from jsonb_array_elements(given) with ordinality as i (item, number) limit 200
                loop
                    found := job_scheduler.misfit(
                        part.item, property -> 'items', definitions, within || part.number, depth - 1
                    );
                    exit when found is not null;
                end loop;
            end if;
        when 'object' then
            return job_scheduler.misfit_of_object(given, property, definitions, wrong, within, depth);
        else null;
    end case;
    return found;
end
$$;
revoke all on function job_scheduler.misfit(jsonb, jsonb, jsonb, text, integer) from public;

-- The part of an object that cannot fit `property`: a missing key, one too many, or a value; `wrong` is the answer for the whole.
create or replace function job_scheduler.misfit_of_object(
    given jsonb, property jsonb, definitions jsonb, wrong jsonb, within text, depth integer
)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
    found jsonb;
    part record;
begin
    if jsonb_typeof(property -> 'required') = 'array' then
        for part in
            select k.key from jsonb_array_elements_text(property -> 'required') as k (key)
            where not given ? k.key limit 1
        loop
            return wrong || jsonb_build_object('kind', 'missing', 'place', within || part.key);
        end loop;
    end if;
    if property -> 'additionalProperties' = 'false' and not property ? 'patternProperties' then
        for part in
            select m.key, m.value from jsonb_each(given) as m
            where (property -> 'properties' ? m.key) is not true limit 1
        loop
            return wrong || jsonb_build_object(
                'kind', 'surplus', 'place', within || part.key, 'value', part.value
            );
        end loop;
    end if;
    for part in
        select p.key, given -> p.key as value, p.value as property
        from jsonb_each(
            case jsonb_typeof(property -> 'properties') when 'object' then property -> 'properties' else '{}' end
        ) as p
        where given ? p.key
        union all (
            select m.key, m.value, property -> 'additionalProperties' as property
            from jsonb_each(given) as m
            where
                jsonb_typeof(property -> 'additionalProperties') = 'object' and not property ? 'patternProperties'
                and (property -> 'properties' ? m.key) is not true
            limit 200
        )
    loop
        found := job_scheduler.misfit(part.value, part.property, definitions, within || part.key, depth - 1);
        exit when found is not null;
    end loop;
    return found;
end
$$;
revoke all on function job_scheduler.misfit_of_object(jsonb, jsonb, jsonb, jsonb, text, integer) from public;

-- The catalogue of handlers: those that the listeners have, and those that a signed-in user may schedule.

-- Stores the handlers that a listener has, and deletes those that no listener has published for a week.
-- {listener, handlers: [{name, description, payload_schema, exposed}]} -> {now, published}
create or replace function public.publish_handlers_v1(request jsonb)
returns json
language plpgsql
security definer -- the catalogue decides what users may schedule, so it is nobody's to write
set search_path = ''
set lock_timeout = '2s'
as $$
declare
    published integer;
begin
    insert into public.job_handlers as h (name, description, payload_schema, exposed)
    select distinct on (p.name)
        p.name, coalesce(p.description, ''), coalesce(p.payload_schema, '{}'), coalesce(p.exposed, false)
    from jsonb_to_recordset(request -> 'handlers')
        as p (name text, description text, payload_schema jsonb, exposed boolean)
    order by p.name -- two listeners that start together take the rows in the same order
    on conflict (name) do update
    set
        description = excluded.description, payload_schema = excluded.payload_schema, exposed = excluded.exposed,
        updated_at = now();
    get diagnostics published = row_count;
    delete from public.job_handlers
    where name = any(array(
        select h.name from public.job_handlers as h where h.updated_at < now() - interval '7 days' for update skip locked
    ));
    return json_build_object('now', clock_timestamp(), 'published', published);
end
$$;
revoke all on function public.publish_handlers_v1(jsonb) from public, anon, authenticated;
grant execute on function public.publish_handlers_v1(jsonb) to service_role;

-- The names of the handlers that a job may have, for messages.
create or replace function job_scheduler.handler_names(exposed_only boolean)
returns text
language sql
stable
set search_path = ''
as $$
    select
        coalesce(string_agg(to_jsonb(h.name)::text, ', ' order by h.name) filter (where h.place <= 20), 'none')
        || case when count(*) > 20 then format(' and %s more', count(*) - 20) else '' end
    from (
        select c.name, row_number() over (order by c.name) as place
        from public.job_handlers as c
        where c.exposed or not handler_names.exposed_only
    ) as h
$$;
revoke all on function job_scheduler.handler_names(boolean) from public;

-- Refuses a handler that the catalogue does not have, or does not have for clients. Before the first listener has started
-- the catalogue is empty, and only the service's own jobs are let through.
create or replace function job_scheduler.check_handler(handler text, by_client boolean)
returns void
language plpgsql
stable
security definer -- it decides about the catalogue as it is, not as the caller sees it
set search_path = ''
as $$
begin
    if exists (select from public.job_handlers as h where h.name = handler and (h.exposed or not by_client)) then
        return;
    elsif not exists (select from public.job_handlers) then
        if by_client then
            perform job_scheduler.refuse(
                'handler', to_jsonb(handler), 'a handler that a listener has published, and none has published any yet',
                'Start a listener: it publishes its handlers when it starts.'
            );
        end if;
    elsif by_client then
        perform job_scheduler.refuse(
            'handler', to_jsonb(handler),
            'a handler that is exposed to signed-in users: ' || job_scheduler.handler_names(exposed_only => true),
            'A handler is exposed by its declaration, @handler(…, exposed=True); else only the service key may schedule it.'
        );
    else
        perform job_scheduler.refuse(
            'handler', to_jsonb(handler),
            'a handler that a listener has published: ' || job_scheduler.handler_names(exposed_only => false),
            'A listener publishes its handlers when it starts: start the one that has this handler first.'
        );
    end if;
end
$$;

-- Refuses a payload that cannot fit the handler's schema: a missing key, one too many, a value of another kind, at any
-- depth. Where a schema has secrets, only plain values of fields that are none are shown.
create or replace function job_scheduler.check_payload(handler text, payload jsonb)
returns void
language plpgsql
stable
security definer -- see check_handler
set search_path = ''
as $$
declare
    schema constant jsonb := (select h.payload_schema from public.job_handlers as h where h.name = handler);
    -- a large payload costs no more than its size: beneath its top the model alone looks
    found constant jsonb := case when jsonb_typeof(payload) = 'object' then job_scheduler.misfit(
        payload, schema, schema -> '$defs', '', case when octet_length(payload::text) <= 16384 then 32 else 3 end
    ) end;
    property constant jsonb := found -> 'property';
    place constant text := coalesce(nullif(found ->> 'place', ''), 'metadata');
    may_show boolean;
begin
    if found is null then
        return;
    end if;
    may_show := not job_scheduler.has_secrets(schema)
        or found ->> 'kind' = 'wrong' and jsonb_typeof(found -> 'value') not in ('object', 'array')
        and property ->> 'type' in ('string', 'integer', 'number', 'boolean') and not job_scheduler.is_secret(property);
    perform job_scheduler.refuse(
        'metadata',
        case
            when found ->> 'kind' = 'missing' and may_show then found -> 'value'
            when found ->> 'kind' = 'missing' then to_jsonb('[redacted]'::text)
            else jsonb_build_object(place, case when may_show then found -> 'value' else '"[redacted]"' end)
        end,
        case found ->> 'kind'
            when 'missing' then format('the key "%s", which handler "%s" requires', place, handler)
            when 'surplus' then format('only the keys that handler "%s" has: %s', handler, coalesce((
                select left(string_agg(k.key, ', '), 300) from jsonb_object_keys(property -> 'properties') as k (key)
            ), 'none'))
            else format('"%s" of handler "%s" to be %s', place, handler, job_scheduler.words_for(property))
        end
    );
end
$$;

-- The handlers among these that may be scheduled, and those of them whose schema says something of the payload.
create or replace function job_scheduler.allowed_handlers(
    handlers text[], by_client boolean, out allowed text[], out demanding text[]
)
language plpgsql
stable
security definer -- see check_handler
set search_path = ''
set plan_cache_mode = force_generic_plan -- each insert calls it: planning anew costs a seventh of one
as $$
begin
    select
        array_agg(h.name),
        array_agg(h.name) filter (
            where h.payload_schema ?| array[
                'required', 'properties', 'additionalProperties', '$ref', 'anyOf', 'oneOf', 'allOf'
            ]
        )
    into allowed, demanding
    from public.job_handlers as h
    where h.name = any(handlers) and (h.exposed or not by_client);
end
$$;

-- All of a statement's new jobs at once, so that thousands cost about as much as one.
create or replace function job_scheduler.admit_handlers()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    by_client constant boolean := row_security_active('public.scheduled_jobs'::regclass);
    handlers constant text[] := array(select distinct n.handler from new_rows as n);
    found constant record := job_scheduler.allowed_handlers(handlers, by_client);
begin
    if (handlers <@ found.allowed) is not true then
        perform job_scheduler.check_handler(h.name, by_client) from unnest(handlers) as h (name);
    end if;
    if found.demanding is not null then
        perform job_scheduler.check_payload(n.handler, n.metadata) from new_rows as n where n.handler = any(found.demanding);
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.admit_handlers() from public;

-- Notes whether a signed-in user defined a new job.
create or replace function job_scheduler.note_client()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if new.exposed_only is distinct from (case when tg_op = 'UPDATE' then old.exposed_only else false end) then
        raise exception 'scheduled_jobs.exposed_only is written by the service only; leave it out'
        using errcode = '42501', hint = 'A client writes the definition of a job and its status.';
    end if;
    if tg_op = 'INSERT' then
        new.exposed_only := true;
    end if;
    return new;
end
$$;
revoke all on function job_scheduler.note_client() from public;

-- An edited job is looked at like a new one, and is from then on the job of whoever edited what it runs.
create or replace function job_scheduler.admit_edit()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.exposed_only := row_security_active('public.scheduled_jobs'::regclass);
    perform job_scheduler.check_handler(new.handler, new.exposed_only);
    perform job_scheduler.check_payload(new.handler, new.metadata);
    return new;
end
$$;
revoke all on function job_scheduler.admit_edit() from public;
revoke all on function
job_scheduler.check_handler(text, boolean), job_scheduler.check_payload(text, jsonb),
job_scheduler.allowed_handlers(text[], boolean)
from public;
grant execute on function
job_scheduler.check_handler(text, boolean), job_scheduler.check_payload(text, jsonb),
job_scheduler.allowed_handlers(text[], boolean)
to authenticated, service_role; -- their writes fire the triggers

-- The audit: the changes that clients of the API made to jobs, not those of the service.

-- A value as the audit shows it.
create or replace function job_scheduler.audited(value jsonb)
returns jsonb
language sql
immutable
set search_path = ''
as $$
    select case when octet_length(value::text) > 4096 then to_jsonb(octet_length(value::text) || ' bytes') else value end
$$;
revoke all on function job_scheduler.audited(jsonb) from public;

-- A payload as the audit shows it: without its secrets, which are unknown where the handler is in no catalogue any more,
-- or where its fields have names that the schema does not show.
create or replace function job_scheduler.audited_payload(handler text, payload jsonb)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select job_scheduler.audited(case
        when payload = '{}' then payload
        when h.name is null or (
            job_scheduler.has_secrets(h.payload_schema) and h.payload_schema::text like '%"x-lenient": true%'
        ) then to_jsonb(octet_length(payload::text) || ' bytes')
        when job_scheduler.has_secrets(h.payload_schema) then
            job_scheduler.without_secrets(payload, h.payload_schema, h.payload_schema -> '$defs', 32)
        else payload
    end)
    from (values (handler)) as named (name)
    left join public.job_handlers as h on named.name = h.name
$$;
revoke all on function job_scheduler.audited_payload(text, jsonb) from public;

-- The columns of a definition, and the status, that differ between two rows: {column: [old, new]}.
create or replace function job_scheduler.differences(before jsonb, after jsonb)
returns jsonb
language sql
immutable
set search_path = ''
as $$
    select coalesce(
        jsonb_object_agg(
            c.name,
            jsonb_build_array(job_scheduler.audited(before -> c.name), job_scheduler.audited(after -> c.name))
        ),
        '{}'
    )
    from unnest(array[
        'job_id', 'name', 'description', 'handler', 'metadata', 'trigger_type', 'run_date', 'schedule', 'timezone',
        'ends_at', 'max_runs', 'status', 'max_attempts', 'retry_delay_seconds', 'retry_backoff', 'timeout_seconds',
        'priority', 'overlap', 'misfire', 'misfire_grace_seconds', 'dst_gap', 'dst_fold', 'concurrency_key',
        'cleanup_after_days', 'store_result', 'job_type', 'test_mode', 'traceparent'
    ]) as c (name)
    where before -> c.name is distinct from after -> c.name
$$;
revoke all on function job_scheduler.differences(jsonb, jsonb) from public;

-- Enters one act.
create or replace function job_scheduler.enter_act(job public.scheduled_jobs, act text, changes jsonb)
returns void
language sql
set search_path = ''
as $$
    insert into public.job_audit (scheduled_job_id, job_id, workspace_id, created_by, actor, role, action, changes)
    values (
        job.id, job.job_id, job.workspace_id, job.created_by, job_scheduler.caller(),
        coalesce(auth.role(), session_user), act, changes
    )
$$;
revoke all on function job_scheduler.enter_act(public.scheduled_jobs, text, jsonb) from public;

-- Edits and changes of status.
create or replace function job_scheduler.audit_change()
returns trigger
language plpgsql
security definer -- nobody may write the audit
set search_path = ''
as $$
declare
    changes jsonb := job_scheduler.differences(to_jsonb(old), to_jsonb(new));
begin
    if changes ? 'metadata' then
        changes := changes || jsonb_build_object('metadata', jsonb_build_array(
            job_scheduler.audited_payload(old.handler, old.metadata),
            job_scheduler.audited_payload(new.handler, new.metadata)
        ));
    end if;
    if changes <> '{}' then
        perform job_scheduler.enter_act(new, case
            when new.status = old.status then 'update'
            when new.status = 'cancelled' then 'cancel'
            when new.status = 'paused' then 'pause'
            when old.status = 'paused' then 'resume'
            else 'retry'
        end, changes);
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.audit_change() from public;

create or replace function job_scheduler.audit_deletion()
returns trigger
language plpgsql
security definer -- see audit_change
set search_path = ''
as $$
begin
    perform job_scheduler.enter_act(old, 'delete', jsonb_build_object(
        'handler', jsonb_build_array(old.handler, null), 'name', jsonb_build_array(old.name, null),
        'metadata', jsonb_build_array(job_scheduler.audited_payload(old.handler, old.metadata), null)
    ));
    return null;
end
$$;
revoke all on function job_scheduler.audit_deletion() from public;

-- The jobs that a signed-in user made; those of the service say themselves when they were made, and may be thousands.
create or replace function job_scheduler.audit_insertions()
returns trigger
language plpgsql
security definer -- see audit_change
set search_path = ''
as $$
begin
    insert into public.job_audit (scheduled_job_id, job_id, workspace_id, created_by, actor, role, action)
    select n.id, n.job_id, n.workspace_id, n.created_by, job_scheduler.caller(), coalesce(auth.role(), session_user), 'insert'
    from new_rows as n;
    return null;
end
$$;
revoke all on function job_scheduler.audit_insertions() from public;

create or replace function job_scheduler.audit_manual_run(run public.job_executions)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform job_scheduler.enter_act(
        j, 'run_now', jsonb_build_object('execution_id', jsonb_build_array(null, run.id), 'test_mode', run.test_mode)
    )
    from public.scheduled_jobs as j
    where j.id = run.scheduled_job_id;
end
$$;
revoke all on function job_scheduler.audit_manual_run(public.job_executions) from public;
$file$;
    left_alone constant text := null;
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090400') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090400', 'add_clients_and_tenancy', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
