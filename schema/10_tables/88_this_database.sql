-- Where this database is at home. A dump contains the row, too, but whoever restores it writes the row anew, in another
-- transaction and as a rule into a table of another number; see job_scheduler.is_restored.
create table if not exists job_scheduler.this_database (
    is_only boolean primary key default true check (is_only),
    database_oid bigint not null,
    table_oid bigint not null,
    written_in bigint not null,
    confirmed_at timestamptz not null default now()
);

comment on table job_scheduler.this_database is 'Distinguishes a database from one that was restored from its dump.';
comment on column job_scheduler.this_database.written_in is
'The transaction that wrote the row, as the row''s own xmin says it.';
