-- The failures of a tenant, newest first, and those alike. A run that completes is in neither.
create index if not exists job_executions_failed_idx
on public.job_executions (coalesce(workspace_id, created_by), completed_at desc, id desc)
where status = 'failed' and coalesce(workspace_id, created_by) is not null;
create index if not exists job_executions_fingerprint_idx
on public.job_executions (error_fingerprint, completed_at desc) where status = 'failed';

-- What ended since: see roll_up_activity_v1.
create index if not exists job_executions_ended_idx
on public.job_executions (completed_at) where completed_at is not null;
