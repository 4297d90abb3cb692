-- One row for each statement that a listener should receive, however many rows it changed: Realtime limits events per
-- second, so listening to the jobs themselves would lose events whenever many change at once.
create table if not exists job_scheduler.signals (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    message jsonb not null
);

comment on table job_scheduler.signals is 'Notifications of the listeners through postgres_changes; deleted after an hour.';

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

-- Reports of stopped runs, for polls: a channel may be stale, notifications muted, and no row of a job shows it. Not published.
create table if not exists job_scheduler.stops (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    xid bigint not null default pg_current_xact_id()::text::bigint,
    message jsonb not null
);

comment on table job_scheduler.stops is 'What stopped runs, as polls report it; deleted after an hour.';

create index if not exists stops_xid_idx on job_scheduler.stops (xid);

alter table job_scheduler.stops enable row level security;

-- Until when listeners poll at short intervals, and no statement notifies them through Realtime; and until when not by NOTIFY
-- either. At most one row.
create table if not exists job_scheduler.mute (
    is_only boolean primary key default true check (is_only),
    until timestamptz not null,
    notify_until timestamptz
);

comment on table job_scheduler.mute is 'Until when no statement notifies the listeners, because they poll: see mute_v1.';

alter table job_scheduler.mute enable row level security;

-- Until when statements also send a NOTIFY, because a listener with a connection of its own receives it; and until when they
-- send nothing else, because every live listener does. At most one row.
create table if not exists job_scheduler.listening (
    is_only boolean primary key default true check (is_only),
    until timestamptz not null,
    spared_until timestamptz
);

comment on table job_scheduler.listening is 'Until when statements send a NOTIFY to the listeners: see listen_v1.';
comment on column job_scheduler.listening.spared_until is 'Until when they do not notify through Realtime: see spare_realtime.';

alter table job_scheduler.listening enable row level security;
