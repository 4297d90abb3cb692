-- Runs whose end cannot be written, for a trigger of the project's own refuses it: the rescuer looks again at `retry_at`.
create table if not exists job_scheduler.parked_runs (
    execution_id uuid primary key references public.job_executions on delete cascade,
    error text not null,
    tries integer not null default 1,
    retry_at timestamptz not null
);

comment on table job_scheduler.parked_runs is 'Runs whose end cannot be written; each is tried again at growing intervals.';

alter table job_scheduler.parked_runs enable row level security;
