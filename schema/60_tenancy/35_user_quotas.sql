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
