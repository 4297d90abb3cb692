create table if not exists job_scheduler.limits (
    name text primary key,
    value numeric not null check (value > 0 and value < 'Infinity'),
    description text not null
);

comment on table job_scheduler.limits is
    'Bounds that an operator may change. A column at its default always passes, and the bounds of a schedule can only be'
    ' tightened, because the listener has them too.';

-- How many runs of each user, or of each workspace that has bounds of its own, began in the present minute. Claims of one
-- party take turns at its row, so that its bounds hold over all listeners.
create table if not exists job_scheduler.usage (
    party uuid primary key,
    minute timestamptz not null,
    runs bigint not null
) with (fillfactor = 50);

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
('max_alert_requests_per_hour', 20, 'tests of channels and confirmations of addresses that a signed-in user asks for in an hour'),
('max_alert_confirmations_per_day', 5, 'codes that a signed-in user has sent to one address in a day'),
('max_invitations', 500, 'invitations into a workspace that wait for an answer'),
('quota_max_active_jobs', 10000, 'jobs of a tenant that have not ended, unless its workspace says otherwise'),
('quota_min_interval_seconds', 1, 'seconds between due instants of a tenant''s job, unless its workspace says otherwise'),
('quota_max_payload_bytes', 262144, 'metadata as text of a tenant''s job, unless its workspace says otherwise'),
('quota_max_queued_runs', 100, 'runs asked for manually that wait, of one job, unless its workspace says otherwise'),
('quota_max_manual_runs_per_minute', 600, 'runs asked for manually in a minute, unless the workspace says otherwise'),
('quota_max_running', 1000, 'runs of a user at a time, over all listeners, unless a workspace says otherwise'),
('quota_max_runs_per_minute', 60000, 'runs of a user that start in a minute, unless a workspace says otherwise'),
('quota_max_stored_bytes', 67108864, 'metadata of all active jobs of a tenant or user, unless a workspace says otherwise'),
('quota_max_timeout_seconds', 3600, 'timeout_seconds of a tenant''s job, unless its workspace says otherwise'),
('quota_max_past_seconds', 86400, 'how long ago run_date of a one-time job may be, unless its workspace says otherwise'),
('quota_max_alert_channels', 20, 'channels of a tenant''s alerts, unless its workspace says otherwise'),
('quota_max_alert_rules', 100, 'alert rules of a tenant, unless its workspace says otherwise'),
('quota_max_alert_deliveries_per_hour', 200, 'messages of a tenant''s alerts in an hour, unless its workspace says otherwise')
on conflict (name) do nothing;
