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
