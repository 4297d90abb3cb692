-- The switch that notices when every listener is gone: its settings, and what it reported last. One row.
create table if not exists job_scheduler.watch_state (
    is_only boolean primary key default true check (is_only),
    name text,
    url text,
    headers jsonb not null default '{}',
    silent_after interval not null default '45 seconds',
    late_after interval not null default '120 seconds',
    absent_since timestamptz,
    firing_since timestamptz,
    message jsonb,
    request_id bigint,
    sent_at timestamptz,
    tries integer not null default 0
);

comment on table job_scheduler.watch_state is 'Settings and state of job_scheduler.watch().';
comment on column job_scheduler.watch_state.url is 'Where alerts go; it may hold a key, so only the owner reads this table.';
comment on column job_scheduler.watch_state.absent_since is
    'When watch() first found no row of a listener at all; null while there is one.';
comment on column job_scheduler.watch_state.firing_since is 'Since when something is wrong; null while nothing is.';
comment on column job_scheduler.watch_state.message is 'The alert or recovery that is not known to have arrived; null: none.';

revoke all on table job_scheduler.watch_state from public, anon, authenticated, service_role;
