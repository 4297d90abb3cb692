-- The IANA zone database of each listener. Two listeners with different ones compute different instants for a zone whose
-- rules changed.
create table if not exists job_scheduler.zone_databases (
    listener uuid primary key,
    version text not null,
    noted_at timestamptz not null default now()
);

comment on table job_scheduler.zone_databases is 'The version of the zone database of each listener, such as 2026a.';

-- The version by which all due instants are planned; some may be planned by a later one.
create table if not exists job_scheduler.planned_by (
    is_only boolean primary key default true check (is_only),
    version text not null
);

comment on table job_scheduler.planned_by is 'The oldest zone database by which a due instant may have been planned.';

alter table job_scheduler.zone_databases enable row level security;
alter table job_scheduler.planned_by enable row level security;
