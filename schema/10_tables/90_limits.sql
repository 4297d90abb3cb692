create table if not exists job_scheduler.limits (
    name text primary key,
    value numeric not null check (value > 0 and value < 'Infinity'),
    description text not null
);

comment on table job_scheduler.limits is
    'Bounds that an operator may change. A column at its default always passes, and the bounds of a schedule can only be'
    ' tightened, because the listener has them too.';

insert into job_scheduler.limits (name, value, description) values
('max_metadata_bytes', 262144, 'metadata as text'),
('max_expression_length', 255, 'a cron expression, in characters'),
('min_interval_seconds', 1, 'schedule.seconds of an interval'),
('max_interval_seconds', 315360000, 'schedule.seconds of an interval'),
('max_timeout_seconds', 604800, 'timeout_seconds'),
('max_attempts', 100, 'max_attempts'),
('max_retry_delay_seconds', 2592000, 'retry_delay_seconds'),
('max_misfire_grace_seconds', 31536000, 'misfire_grace_seconds'),
('max_workspaces', 20, 'workspaces that a signed-in user has created'),
('quota_max_active_jobs', 10000, 'jobs of a tenant that have not ended, unless its workspace says otherwise'),
('quota_min_interval_seconds', 1, 'seconds between due instants of a tenant''s job, unless its workspace says otherwise'),
('quota_max_payload_bytes', 262144, 'metadata as text of a tenant''s job, unless its workspace says otherwise'),
('quota_max_queued_runs', 100, 'runs asked for manually that wait, of one job, unless its workspace says otherwise')
on conflict (name) do nothing;
