-- The failures of a tenant, newest first, and those alike. A run that completes is in neither. Not by coalesce, which
-- PostgreSQL does not look up where policies hold: it takes it for something that might show rows that it hides.
create index if not exists job_executions_failed_idx
on public.job_executions (
    (case when workspace_id is null then created_by else workspace_id end), completed_at desc, id desc -- noqa: ST02
)
where status = 'failed';
create index if not exists job_executions_fingerprint_idx
on public.job_executions (error_fingerprint, completed_at desc) where status = 'failed';

-- Runs that ended since, for roll_up_activity_v1, or long ago, for clean_ledger_v1.
create index if not exists job_executions_ended_idx
on public.job_executions (completed_at) where completed_at is not null;
