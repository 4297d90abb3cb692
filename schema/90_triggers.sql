-- Every trigger, table by table in firing order: PostgreSQL fires those of one kind (before the row, after it, after the
-- statement) by name, so the name begins with a number. docs/sql.md has them as a table. It reads each condition anew for
-- each statement, 4 to 10 µs: a claim and an end pay for every trigger of an update, so these are few and their conditions short.

create or replace trigger t10_keep_workspace
before update of workspace_id on public.scheduled_jobs
for each row when (old.workspace_id is distinct from new.workspace_id)
execute function job_scheduler.keep_workspace();

create or replace trigger t20_note_client
before insert on public.scheduled_jobs
for each row when (new.exposed_only is not false or row_security_active('public.scheduled_jobs'::regclass))
execute function job_scheduler.note_client();

create or replace trigger t20_note_client_still
before update of exposed_only on public.scheduled_jobs
for each row when (old.exposed_only is distinct from new.exposed_only)
execute function job_scheduler.note_client();

create or replace trigger t30_refuse_changed_owned_columns
before update on public.scheduled_jobs
for each row when (
    (
        coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
        or current_user in ('authenticated', 'service_role')
    )
)
execute function job_scheduler.refuse_owned_columns();

-- Before triggers fire in the order of their names.
create or replace trigger t30_refuse_owned_columns
before insert on public.scheduled_jobs
for each row when (
    coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
    or current_user in ('authenticated', 'service_role')
)
execute function job_scheduler.refuse_owned_columns();

create or replace trigger t35_keep_to_source
before update of
job_id, name, description, handler, metadata, trigger_type, run_date, schedule, timezone, ends_at, max_runs, max_attempts,
retry_delay_seconds, retry_backoff, timeout_seconds, priority, overlap, misfire, misfire_grace_seconds, dst_gap, dst_fold,
concurrency_key, cleanup_after_days, store_result, test_mode, traceparent
on public.scheduled_jobs
for each row when (old.source is not null and row_security_active('public.scheduled_jobs'::regclass))
execute function job_scheduler.keep_to_source();

create or replace trigger t35_keep_to_source_deleted
before delete on public.scheduled_jobs
for each row when (old.source is not null and row_security_active('public.scheduled_jobs'::regclass))
execute function job_scheduler.keep_to_source();

-- The state machine. The test of docs/state_machine.md reads this very list.
create or replace trigger t40_check_status
before update of status on public.scheduled_jobs
for each row when (
    old.status <> new.status and (old.status || ' > ' || new.status) not in (
        'scheduled > running', 'scheduled > paused', 'scheduled > cancelled',
        'running > scheduled', 'running > completed', 'running > failed', 'running > cancelled', 'running > paused',
        'paused > scheduled', 'paused > cancelled',
        'completed > scheduled', 'failed > scheduled', 'cancelled > scheduled'
    )
)
execute function job_scheduler.refuse_transition();

create or replace trigger t50_check_optional
before insert or update of cleanup_after_days, traceparent on public.scheduled_jobs
for each row when (new.cleanup_after_days is not null or not job_scheduler.is_trace(new.traceparent))
execute function job_scheduler.check_optional();

create or replace trigger t60_define_job
before insert on public.scheduled_jobs
for each row execute function job_scheduler.define_job();

create or replace trigger t60_redefine_job
before update of
job_id, workspace_id, name, description, handler, metadata, trigger_type, run_date, schedule, timezone, ends_at, max_runs,
job_type, max_attempts, retry_delay_seconds, retry_backoff, timeout_seconds, priority, overlap, misfire, misfire_grace_seconds,
dst_gap, dst_fold, concurrency_key, test_mode
on public.scheduled_jobs
for each row execute function job_scheduler.redefine_job();

create or replace trigger t70_admit_edit
before update of handler, metadata on public.scheduled_jobs
for each row when (old.handler is distinct from new.handler or old.metadata is distinct from new.metadata)
execute function job_scheduler.admit_edit();

create or replace trigger t80_change_status
before update of status on public.scheduled_jobs
for each row when (
    old.status <> new.status and (
        coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
        or current_user in ('authenticated', 'service_role')
    )
)
execute function job_scheduler.change_status();

-- Before the queue is settled, because what may start next depends on the status.
create or replace trigger t05_settle_status
after update of status on public.scheduled_jobs
for each row when (
    coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
    or current_user in ('authenticated', 'service_role')
)
execute function job_scheduler.settle_status();

create or replace trigger t10_settle_queue
after update on public.scheduled_jobs
for each row when (
    (old.queued_runs > 0 or new.status = 'cancelled')
    and (
        coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
        or current_user in ('authenticated', 'service_role')
    )
)
execute function job_scheduler.settle_queue();

create or replace trigger t40_admit_edit_to_quotas
after update of metadata, trigger_type, schedule, run_date, timeout_seconds on public.scheduled_jobs
for each row when (
    (old.metadata, old.trigger_type, old.schedule, old.run_date, old.timeout_seconds)
    is distinct from (new.metadata, new.trigger_type, new.schedule, new.run_date, new.timeout_seconds)
)
execute function job_scheduler.admit_edit_to_quotas();

-- The service marks its writes by job_scheduler.stage, or, where the rules for clients hold for it too,
-- by job_scheduler.actor; neither counts where a client is who writes.
create or replace trigger t50_audit_change
after update of
job_id, name, description, handler, metadata, trigger_type, run_date, schedule, timezone, ends_at, max_runs, status,
max_attempts, retry_delay_seconds, retry_backoff, timeout_seconds, priority, overlap, misfire, misfire_grace_seconds,
dst_gap, dst_fold, concurrency_key, cleanup_after_days, store_result, job_type, test_mode
on public.scheduled_jobs
for each row when (
    (
        coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
        or current_user in ('authenticated', 'service_role')
    )
    and (coalesce(current_setting('job_scheduler.actor', true), '') <> 'service' or current_user = 'authenticated')
)
execute function job_scheduler.audit_change();

create or replace trigger t50_audit_deletion
after delete on public.scheduled_jobs
for each row when (
    (
        coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
        or current_user in ('authenticated', 'service_role')
    )
    and (coalesce(current_setting('job_scheduler.actor', true), '') <> 'service' or current_user = 'authenticated')
)
execute function job_scheduler.audit_deletion();

create or replace trigger t60_notify_deleted
after delete on public.scheduled_jobs
referencing old table as old_rows
for each statement execute function job_scheduler.notify_deleted();

create or replace trigger t60_notify_inserted
after insert on public.scheduled_jobs
referencing new table as new_rows
for each statement execute function job_scheduler.notify_inserted();

-- Notifies of every change that makes a revision: a listener counts those without a notification as missed.
create or replace trigger t60_notify_updated
after update of
job_id, workspace_id, name, description, handler, metadata, trigger_type, run_date, schedule, timezone, ends_at, max_runs,
job_type, max_attempts, retry_delay_seconds, retry_backoff, timeout_seconds, priority, overlap, misfire, misfire_grace_seconds,
dst_gap, dst_fold, concurrency_key, test_mode, status
on public.scheduled_jobs
for each statement when (
    coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
    or current_user in ('authenticated', 'service_role')
)
execute function job_scheduler.notify_changed();

create or replace trigger t70_admit_handlers
after insert on public.scheduled_jobs
referencing new table as new_rows
for each statement execute function job_scheduler.admit_handlers();

create or replace trigger t80_admit_revived
after update of status on public.scheduled_jobs
for each statement when (coalesce(current_setting('job_scheduler.revived', true), '') <> '')
execute function job_scheduler.admit_revived();

create or replace trigger t80_admit_to_quotas
after insert on public.scheduled_jobs
referencing new table as new_rows
for each statement execute function job_scheduler.admit_to_quotas();

create or replace trigger t90_audit_insertions
after insert on public.scheduled_jobs
referencing new table as new_rows
for each statement when (job_scheduler.caller() is not null)
execute function job_scheduler.audit_insertions();

create or replace trigger t10_admit_manual_run
before insert on public.job_executions
for each row when (
    new.cause = 'manual' and (
        coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
        or current_user in ('authenticated', 'service_role')
    )
)
execute function job_scheduler.admit_manual_run();

create or replace trigger t20_admit_to_quotas -- of thousands at once the first is refused, before any other is looked at
after insert on public.job_executions
for each row when (
    new.cause = 'manual'
    and (
        coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
        or current_user in ('authenticated', 'service_role')
    )
)
execute function job_scheduler.admit_manual_run_to_quotas();

create or replace trigger t30_queue_manual_run
after insert on public.job_executions
for each row when (
    new.cause = 'manual' and (
        coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
        or current_user in ('authenticated', 'service_role')
    )
)
execute function job_scheduler.queue_manual_run();

create or replace trigger t50_count_skipped
after insert on public.job_executions
for each row when (new.status = 'skipped')
execute function job_scheduler.count_skipped();

create or replace trigger t50_count_skipped_later
after update of status on public.job_executions
for each row when (new.status = 'skipped' and old.status <> 'skipped')
execute function job_scheduler.count_skipped();

-- An end that is written a minute or more after it happened: the next count of activity would not find it.
create or replace trigger t60_note_late_end
after insert or update of status on public.job_executions
for each row when (
    new.status in ('completed', 'failed', 'cancelled', 'skipped')
    and coalesce(new.completed_at < clock_timestamp() - interval '1 minute', true)
)
execute function job_scheduler.note_late_end();
