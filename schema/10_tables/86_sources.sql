-- Sources: tables whose rows say when something is to be done. job_scheduler.add_source declares one.
create table if not exists job_scheduler.sources (
    name text primary key,
    relation regclass not null,
    key_columns text[] not null,
    key_types text[] not null,
    handler text not null,
    rows_function text not null,
    keys_function text not null,
    limits_owner boolean not null,
    is_checked boolean not null default false,
    checked_until text
);

comment on table job_scheduler.sources is 'Tables whose rows have jobs; see job_scheduler.add_source.';
comment on column job_scheduler.sources.key_columns is
'The primary key: its columns in order, and key_types their types. job_scheduler.key_text makes one text of their values.';
comment on column job_scheduler.sources.rows_function is
'Compiled of the expressions: the rows under these keys, {key: {finished, owner, workspace}}, and where the condition is met '
'due_at, metadata, title and revision too.';
comment on column job_scheduler.sources.keys_function is 'Compiled of the condition: a page of the keys of rows that meet it.';
comment on column job_scheduler.sources.limits_owner is 'Whether the quotas of signed-in users hold for its jobs.';
comment on column job_scheduler.sources.is_checked is
'Whether all its rows were looked at since it was added or truncated; checked_until is the last of those that were.';

alter table job_scheduler.sources enable row level security;

-- Changes that the synchronisation of sources has not read yet: a row each, written by the transaction that made the change.
-- Rows are only added and removed, so that no writer of a source waits for the service, nor the service for one of them.
create table if not exists job_scheduler.changed_rows (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    source text not null,
    tenant uuid not null,
    key text
);

comment on table job_scheduler.changed_rows is
'Rows of sources whose job may not be right; tenants take turns, whoever has changed more of them.';
comment on column job_scheduler.changed_rows.tenant is 'job_scheduler.turn_of the row.';
comment on column job_scheduler.changed_rows.key is 'The primary key as text; null: the table was truncated.';

create index if not exists changed_rows_tenant_idx on job_scheduler.changed_rows (tenant, id);
create index if not exists changed_rows_key_idx on job_scheduler.changed_rows (source, key);

alter table job_scheduler.changed_rows enable row level security;

-- Rows that failed to get their job, and why; they are tried again.
create table if not exists job_scheduler.source_errors (
    source text not null,
    key text not null,
    error text not null,
    tried_at timestamptz not null default now(),
    primary key (source, key)
);

comment on table job_scheduler.source_errors is 'Rows of sources that failed to get their job, and why; tried again each minute.';

create index if not exists source_errors_tried_at_idx on job_scheduler.source_errors (tried_at);

alter table job_scheduler.source_errors enable row level security;
