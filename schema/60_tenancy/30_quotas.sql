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
