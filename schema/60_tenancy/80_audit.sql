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
