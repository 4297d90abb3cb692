create table if not exists public.job_execution_logs (
    id bigint generated always as identity primary key,
    execution_id uuid not null references public.job_executions (id) on delete cascade,
    at timestamptz not null default now(),
    level text not null default 'info',
    message text not null,
    fields jsonb not null default '{}'
);

comment on table public.job_execution_logs is 'What a handler logged during one execution; append only.';

create index if not exists job_execution_logs_execution_id_idx on public.job_execution_logs (execution_id, id);

-- Projects made before new tables lost their default grants would otherwise leave it open to anon.
revoke all on table public.job_execution_logs from public, anon, authenticated, service_role;
grant select on table public.job_execution_logs to authenticated;
grant select, insert, delete on table public.job_execution_logs to service_role;

alter table public.job_execution_logs enable row level security;

-- The policy of job_executions holds inside of the subquery.
drop policy if exists job_execution_logs_select on public.job_execution_logs;
create policy job_execution_logs_select on public.job_execution_logs
for select to authenticated
using (
    exists (
        select 1 from public.job_executions as run
        where run.id = job_execution_logs.execution_id
    )
);
