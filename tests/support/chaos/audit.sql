-- Records every transition of jobs and runs, whoever makes it, so that the checker sees what the final rows no longer show.

create schema chaos;
grant usage on schema chaos to public;

create table chaos.job_changes (
    n bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    job bigint not null,
    by_service boolean not null,
    old_status text,
    status text not null,
    old_due timestamptz,
    due timestamptz,
    defined_at timestamptz not null,
    definition jsonb
);
create index on chaos.job_changes (job);

create table chaos.run_changes (
    n bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    run uuid not null,
    old_status text,
    status text not null,
    old_listener uuid,
    listener uuid,
    old_lease timestamptz,
    reason text
);

create table chaos.listeners (
    id uuid primary key,
    name text not null,
    at timestamptz not null default clock_timestamp()
);

create function chaos.definition(j public.scheduled_jobs) returns jsonb language sql immutable as $$
    select jsonb_build_object(
        'type', j.trigger_type, 'run_date', j.run_date, 'schedule', j.schedule, 'timezone', j.timezone,
        'ends_at', j.ends_at, 'dst_gap', j.dst_gap, 'dst_fold', j.dst_fold
    )
$$;

-- Null while it is not planned, the year 9999 when none is to come, also of a paused job that has run for the last time.
create function chaos.due(j public.scheduled_jobs) returns timestamptz language sql immutable as $$
    select case
        when j.is_planned then coalesce(j.due_at, '9999-01-01Z'::timestamptz)
        when j.due_at is not null then '9999-01-01Z'::timestamptz
    end
$$;

create function chaos.note_job() returns trigger language plpgsql security definer as $$
declare
    is_new constant boolean := tg_op = 'INSERT';
begin
    insert into chaos.job_changes (job, by_service, old_status, status, old_due, due, defined_at, definition) values (
        new.id, coalesce(current_setting('job_scheduler.stage', true), '') = 'service',
        case when not is_new then old.status end, new.status, case when not is_new then chaos.due(old) end, chaos.due(new),
        new.defined_at,
        case when is_new or new.defined_at <> old.defined_at then chaos.definition(new) end
    );
    return null;
end
$$;
create trigger z_chaos_insert after insert on public.scheduled_jobs
for each row execute function chaos.note_job();
create trigger z_chaos_update after update on public.scheduled_jobs
for each row when (
    old.status <> new.status or old.due_at is distinct from new.due_at or old.is_planned <> new.is_planned or old.defined_at <> new.defined_at
) execute function chaos.note_job();

create function chaos.note_run() returns trigger language plpgsql security definer as $$
begin
    insert into chaos.run_changes (run, old_status, status, old_listener, listener, old_lease, reason) values (
        new.id, case when tg_op = 'UPDATE' then old.status end, new.status,
        case when tg_op = 'UPDATE' then old.listener_id end, new.listener_id,
        case when tg_op = 'UPDATE' then old.lease_expires_at end, new.reason
    );
    return null;
end
$$;
create trigger z_chaos_insert after insert on public.job_executions
for each row execute function chaos.note_run();
create trigger z_chaos_update after update on public.job_executions
for each row when (
    old.status <> new.status or old.listener_id is distinct from new.listener_id
    or old.status not in ('queued', 'running') -- a final row is final
) execute function chaos.note_run();

create function chaos.note_listener() returns trigger language plpgsql security definer as $$
begin
    insert into chaos.listeners (id, name) values (new.id, new.name) on conflict do nothing;
    return null;
end
$$;
create trigger z_chaos_insert after insert on public.job_listeners
for each row execute function chaos.note_listener();
