-- One row for each statement that a listener should receive, however many rows it changed: Realtime limits events per
-- second, so listening to the jobs themselves would lose events whenever many change at once.
create table if not exists job_scheduler.signals (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    message jsonb not null
);

comment on table job_scheduler.signals is 'Notifications of the listeners through postgres_changes; deleted after an hour.';

-- Polls also read the signals that stop runs: a channel may be stale.
create index if not exists signals_stops_idx on job_scheduler.signals (((message ->> 'xid')::bigint))
where message ->> 'table' in ('cancelled_runs', 'stopped_runs', 'deleted_jobs');

alter table job_scheduler.signals enable row level security;

grant select on job_scheduler.signals to service_role;

do $$
begin
    if not exists (
        select from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'job_scheduler' and tablename = 'signals'
    ) then
        alter publication supabase_realtime add table job_scheduler.signals;
    end if;
end
$$;
