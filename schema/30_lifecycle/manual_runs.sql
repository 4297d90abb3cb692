-- Admits a client's manual run: whatever else it wrote, the ledger row is a queued manual run of that job, by its owner.
create or replace function job_scheduler.admit_manual_run()
returns trigger
language plpgsql
security definer -- a client may not write the ledger's other columns
set search_path = ''
as $$
begin
    select j.workspace_id, j.created_by into new.workspace_id, new.created_by
    from public.scheduled_jobs as j
    where j.id = new.scheduled_job_id
    for update; -- the job's wake time is computed next: two runs requested at once must not miss each other
    new.status := 'queued';
    new.attempt := 1;
    new.scheduled_for := clock_timestamp();
    new.run_at := new.scheduled_for;
    new.listener_id := null;
    new.lease_expires_at := null;
    return new;
end
$$;
revoke all on function job_scheduler.admit_manual_run() from public;

create or replace function job_scheduler.queue_manual_run()
returns trigger
language plpgsql
security definer -- see refresh_wake, notify and audit_change
set search_path = ''
as $$
begin
    perform job_scheduler.refresh_wake(new.scheduled_job_id);
    perform job_scheduler.notify('scheduled_jobs', null);
    perform job_scheduler.audit_manual_run(new);
    return null;
end
$$;
revoke all on function job_scheduler.queue_manual_run() from public;
