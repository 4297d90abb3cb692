-- What the synchronisation of meetings has still to look at: a row for each change, written by the transaction that made it.
-- Rows are only added and removed, so that no writer of meetings waits for the service, nor the service for one of them.
create table if not exists job_scheduler.changed_meetings (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    tenant uuid not null,
    meeting_id uuid not null
);

comment on table job_scheduler.changed_meetings is
'Meetings whose job may not be right; users take turns, whoever has changed more of them.';
comment on column job_scheduler.changed_meetings.tenant is 'job_scheduler.turn_of the meeting.';

create index if not exists changed_meetings_tenant_idx on job_scheduler.changed_meetings (tenant, id);
create index if not exists changed_meetings_meeting_id_idx on job_scheduler.changed_meetings (meeting_id);

alter table job_scheduler.changed_meetings enable row level security;
