-- Quotas: how much of the scheduler a tenant may use. A workspace's own stand in workspaces.settings; where they say
-- nothing, and for private rows, the installation's hold (job_scheduler.limits). They hold for signed-in users; the service
-- key is held to them only in a workspace whose settings say "limit_service": true.

insert into job_scheduler.limits (name, value, description) values
('quota_max_active_jobs', 10000, 'jobs of a tenant that have not ended, unless its workspace says otherwise'),
('quota_min_interval_seconds', 1, 'seconds between due instants of a tenant''s job, unless its workspace says otherwise'),
('quota_max_payload_bytes', 262144, 'metadata as text of a tenant''s job, unless its workspace says otherwise'),
('quota_max_queued_runs', 100, 'runs asked for by hand that wait, of one job, unless its workspace says otherwise')
on conflict (name) do nothing;

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
    from public.workspaces as w
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
        hint = 'Nothing was written. Quotas are set by the operator, in workspaces.settings or job_scheduler.limits.';
end
$$;
revoke all on function job_scheduler.refuse_quota(text, text, numeric, numeric) from public;

-- All values of a cron field, in order.
create or replace function job_scheduler.cron_times(field text, highest integer)
returns integer[]
language sql
immutable
set search_path = ''
as $$
    select array_agg(distinct v.value order by v.value)
    from unnest(job_scheduler.cron_field(regexp_replace(field, '^\*$', '0-' || highest), 0, highest, '{}')) as v (value)
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
    field constant text[] := case lower(btrim(expression, E' \t'))
        when '@hourly' then '{0,*,*,*,*}'
        else regexp_split_to_array(btrim(lower(expression), E' \t'), '[ \t]+')
    end;
    seconds integer[];
    minutes integer[];
    hours integer[];
    first integer; -- the first second of a minute, then of an hour, then of a day that is due
    last integer;
    shortest integer;
begin
    if expression like '@%' and cardinality(field) = 1 then
        return 86400; -- daily, or less often
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

-- The least number of seconds between due instants of a job, or null where it has one only or none can be told.
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
-- nor one under way. Planned anew at each call, like what a listener asks for (docs/adr/0008).
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
        and (j.next_run_at is not null or j.queued_runs > 0 or j.due_at is distinct from '9999-01-01Z');
    select count(*) into under_way
    from public.scheduled_jobs as j
    where
        j.id = any(array(
            select e.scheduled_job_id from public.job_executions as e
            where e.lease_expires_at is not null and coalesce(e.workspace_id, e.created_by) = tenant
        ))
        and j.status in ('scheduled', 'running', 'paused')
        and not (j.next_run_at is not null or j.queued_runs > 0 or j.due_at is distinct from '9999-01-01Z');
    return to_come + under_way;
end
$$;
revoke all on function job_scheduler.active_jobs(uuid) from public;

-- Refuses more active jobs than a tenant may have; `added` of them were written by this statement. Whoever adds jobs to a
-- tenant waits for whoever else does, and for nobody else; what the other has written is then seen.
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
        select from public.workspaces as w where w.id = any(workspaces) and w.settings -> 'limit_service' = 'true'
    )
$$;

-- All of a statement's new jobs at once. Tenants in order, so that two statements for the same ones cannot wait in a ring.
create or replace function job_scheduler.admit_to_quotas()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    by_client constant boolean := row_security_active('public.scheduled_jobs'::regclass);
begin
    if not by_client and not job_scheduler.any_limits_service(
        array(select distinct n.workspace_id from new_rows as n where n.workspace_id is not null)
    ) then
        return null;
    end if;
    perform job_scheduler.check_shape_quotas(n.workspace_id, n.trigger_type, n.schedule, n.metadata, by_client)
    from new_rows as n
    where n.trigger_type <> 'once' or n.metadata <> '{}';
    perform job_scheduler.check_active_quota(t.workspace_id, t.owner, t.added, by_client)
    from (
        select
            n.workspace_id, case when n.workspace_id is null then n.created_by end as owner, count(*) as added
        from new_rows as n
        group by 1, 2
        order by 1, 2
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
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.admit_edit_to_quotas() from public;

-- Finished jobs that are scheduled again are counted for the end of the statement, however many they are.
create or replace function job_scheduler.count_revived()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    tenant constant text := coalesce(new.workspace_id::text, 'of ' || new.created_by, 'none');
    counted constant jsonb := coalesce(nullif(current_setting('job_scheduler.revived', true), ''), '{}');
begin
    perform set_config(
        'job_scheduler.revived',
        (counted || jsonb_build_object(tenant, coalesce((counted -> tenant)::bigint, 0) + 1))::text, true
    );
    return new;
end
$$;
revoke all on function job_scheduler.count_revived() from public;

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

-- Refuses more runs by hand than may wait for one job: each of them costs the job a look at all that wait.
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

create or replace function job_scheduler.admit_manual_run_to_quotas()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform job_scheduler.check_queued_runs(new.scheduled_job_id, row_security_active('public.scheduled_jobs'::regclass));
    return null;
end
$$;
revoke all on function job_scheduler.admit_manual_run_to_quotas() from public;

revoke all on function
job_scheduler.check_queued_runs(bigint, boolean), job_scheduler.check_shape_quotas(uuid, text, jsonb, jsonb, boolean),
job_scheduler.check_active_quota(uuid, uuid, bigint, boolean), job_scheduler.any_limits_service(uuid[])
from public;
grant execute on function
job_scheduler.check_queued_runs(bigint, boolean), job_scheduler.check_shape_quotas(uuid, text, jsonb, jsonb, boolean),
job_scheduler.check_active_quota(uuid, uuid, bigint, boolean), job_scheduler.any_limits_service(uuid[])
to authenticated, service_role; -- their writes fire the triggers

create or replace trigger h_admit_to_quotas
after insert on public.scheduled_jobs
referencing new table as new_rows
for each statement execute function job_scheduler.admit_to_quotas();

create or replace trigger h_admit_edit_to_quotas
after update of metadata, trigger_type, schedule on public.scheduled_jobs
for each row when (
    (old.metadata, old.trigger_type, old.schedule) is distinct from (new.metadata, new.trigger_type, new.schedule)
)
execute function job_scheduler.admit_edit_to_quotas();

create or replace trigger c_admit_to_quotas -- of thousands at once the first is refused, before any other is looked at
after insert on public.job_executions
for each row when (
    new.cause = 'manual'
    and coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
)
execute function job_scheduler.admit_manual_run_to_quotas();

-- Before the row is written, because whether the statement's trigger fires is decided before what comes after rows.
create or replace trigger h_count_revived
before update of status on public.scheduled_jobs
for each row when (
    coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
    and old.status in ('completed', 'failed', 'cancelled') and new.status = 'scheduled'
)
execute function job_scheduler.count_revived();

create or replace trigger i_admit_revived
after update of status on public.scheduled_jobs
for each statement when (coalesce(current_setting('job_scheduler.revived', true), '') <> '')
execute function job_scheduler.admit_revived();
