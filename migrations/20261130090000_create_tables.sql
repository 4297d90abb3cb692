-- Nothing that was there before, under a name that is needed here, is taken over.
do $preflight$
declare
    tables constant text[] := array[
        'public.job_workspaces', 'public.job_workspace_invitations', 'public.job_workspace_members',
        'public.scheduled_jobs', 'public.job_executions', 'public.job_execution_logs', 'public.job_listeners',
        'public.job_handlers', 'public.job_audit', 'public.job_notifications', 'public.job_activity',
        'public.job_alert_channels', 'public.job_alert_rules', 'public.job_alerts', 'public.job_alert_deliveries'
    ]::text[];
    indexes constant text[] := array[
        'public.job_workspaces_created_by_idx', 'public.job_workspace_invitations_user_id_idx',
        'public.job_workspace_members_user_id_idx', 'public.scheduled_jobs_job_id_key',
        'public.scheduled_jobs_next_run_at_idx', 'public.scheduled_jobs_handler_idx',
        'public.scheduled_jobs_unplanned_idx', 'public.scheduled_jobs_changed_in_idx',
        'public.scheduled_jobs_party_idx', 'public.scheduled_jobs_urgent_idx',
        'public.scheduled_jobs_concurrency_key_idx', 'public.scheduled_jobs_cleanup_idx',
        'public.scheduled_jobs_created_by_idx', 'public.scheduled_jobs_workspace_id_idx',
        'public.scheduled_jobs_active_idx', 'public.scheduled_jobs_active_user_idx',
        'public.scheduled_jobs_source_idx', 'public.job_executions_lease_idx', 'public.job_executions_running_idx',
        'public.job_executions_manual_idx', 'public.job_executions_manual_user_idx',
        'public.job_executions_queued_idx', 'public.job_executions_blocked_idx',
        'public.job_executions_given_key_idx', 'public.job_executions_created_by_idx',
        'public.job_executions_workspace_id_idx', 'public.job_execution_logs_execution_id_idx',
        'public.job_audit_job_idx', 'public.job_audit_created_by_idx', 'public.job_audit_workspace_id_idx',
        'public.job_audit_at_idx', 'public.job_notifications_recipient_id_idx',
        'public.job_notifications_created_at_idx', 'public.job_executions_failed_idx',
        'public.job_executions_fingerprint_idx', 'public.job_executions_ended_idx', 'public.job_activity_hour_idx',
        'public.job_alert_channels_tenant_id_idx', 'public.job_alert_rules_tenant_id_idx',
        'public.job_alert_rules_enabled_idx', 'public.job_alerts_open_key', 'public.job_alerts_rule_id_idx',
        'public.job_alerts_created_by_idx', 'public.job_alerts_workspace_id_idx', 'public.job_alerts_resolved_at_idx',
        'public.job_alert_deliveries_alert_id_idx', 'public.job_alert_deliveries_channel_id_idx',
        'public.job_alert_deliveries_tenant_idx', 'public.job_alert_deliveries_queued_idx',
        'public.job_alert_deliveries_created_by_idx', 'public.job_alert_deliveries_workspace_id_idx',
        'public.job_alert_deliveries_created_at_idx'
    ]::text[];
    functions constant text[] := array[
        'public.examine_topic_v1(jsonb)', 'public.claim_runs_v1(jsonb)', 'public.clean_ledger_v1(jsonb)',
        'public.finish_runs_v1(jsonb)', 'public.extend_leases_v1(jsonb)', 'public.leave_v1(jsonb)',
        'public.poll_jobs_v1(jsonb)', 'public.jobs_v1(jsonb)', 'public.unplanned_jobs_v1(jsonb)',
        'public.listen_v1(jsonb)', 'public.missing_handlers_v1(jsonb)', 'public.end_unhandled_v1(jsonb)',
        'public.mute_v1(jsonb)', 'public.note_runs_v1(jsonb)', 'public.park_runs_v1(jsonb)',
        'public.plan_jobs_v1(jsonb)', 'public.send_probe_v1(jsonb)', 'public.rescue_runs_v1(jsonb)',
        'public.due_jobs_v1(jsonb)', 'public.zone_database_v1(jsonb)', 'public.planned_jobs_v1(jsonb)',
        'public.replan_jobs_v1(jsonb)', 'public.cancel_job(bigint)', 'public.pause_job(bigint)',
        'public.resume_job(bigint)', 'public.retry_job(bigint)', 'public.job_stats(bigint)',
        'public.run_job_now(bigint, boolean)', 'public.accept_invitation(uuid)', 'public.decline_invitation(uuid)',
        'public.check_memberships_v1(jsonb)', 'public.publish_handlers_v1(jsonb)', 'public.sync_sources_v1(jsonb)',
        'public.delivery_v1(jsonb)', 'public.send_queue_message_v1(jsonb)', 'public.sync_meetings_v1(jsonb)',
        'public.roll_up_activity_v1(jsonb)', 'public.list_listeners()', 'public.dashboard_overview(uuid)',
        'public.list_runs(uuid, jsonb, jsonb, integer)', 'public.job_outcomes(bigint[])', 'public.list_failures(uuid,
        integer, integer)', 'public.bulk_jobs(text, jsonb, integer, boolean)', 'public.list_quotas(uuid)',
        'public.list_workspaces()', 'public.list_member_emails(uuid)', 'public.alert_delivery_v1(jsonb)',
        'public.end_alert_delivery_v1(jsonb)', 'public.evaluate_alerts_v1(jsonb)', 'public.acknowledge_alert(uuid)',
        'public.resolve_alert(uuid)', 'public.mute_alert_rule(uuid, integer)', 'public.test_alert_channel(uuid)',
        'public.request_alert_confirmation(uuid)', 'public.confirm_alert_channel(uuid, text)',
        'public.alert_on_failure(uuid, text)', 'public.preview_alert_rule(jsonb, integer)',
        'public.end_meetings_v1(jsonb)'
    ]::text[];
    taken text;
begin
    if obj_description(to_regnamespace('job_scheduler'), 'pg_namespace')
        = 'Internals of the job scheduler; not exposed through the API.' then
        return;
    end if;
    select string_agg(found.what, ', ') into taken
    from (
        select 'schema job_scheduler' as what where to_regnamespace('job_scheduler') is not null
        union all
        select t.name as what from unnest(tables) as t (name) where to_regclass(t.name) is not null
        union all
        select f.name from unnest(functions) as f (name) where to_regprocedure(f.name) is not null
        union all
        select 'index ' || x.name
        from unnest(indexes) as x (name)
        where to_regclass(x.name) is not null and not exists (
            select from pg_catalog.pg_index as i
            inner join unnest(tables) as t (name) on i.indrelid = to_regclass(t.name)
            where i.indexrelid = to_regclass(x.name)
        )
    ) as found;
    if taken is not null then
        raise exception 'nothing was changed; the database has objects of its own with names that are needed: %', taken
        using errcode = 'duplicate_object', hint = case when (
            select count(*) from pg_catalog.pg_attribute as a
            where a.attrelid = to_regclass('public.scheduled_jobs')
                and a.attname in ('job_id', 'run_date', 'metadata', 'status')
        ) = 4 then
            '`listener migrate --adopt` keeps public.scheduled_jobs as scheduled_jobs_before and moves its pending jobs'
            ' into the new table; rename other objects, or move them to another schema'
        else
            'rename them, or move them to another schema (alter … rename to …, alter … set schema …)'
        end;
    end if;
end
$preflight$;

-- The migrations that this database has applied. Each file of migrations/ writes its own row, whatever program applies it, and
-- does nothing where it finds one: `listener migrate` and `supabase db push` continue where the other stopped.

create schema if not exists job_scheduler;
comment on schema job_scheduler is 'Internals of the job scheduler; not exposed through the API.';

create table if not exists job_scheduler.migrations (
    version text primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
);

comment on table job_scheduler.migrations is 'The migrations of the job scheduler that this database has applied.';
comment on column job_scheduler.migrations.checksum is 'SHA-256 of what the file executed, without carriage returns.';

do $migration$
declare
    body constant text := $file$
-- `schema/` defines the database, one subject a file; `migrations/` has what was released.
-- `make migration NAME=verb_object` writes the difference. Files are read in the order of their names.

revoke all on schema job_scheduler from public;
-- Triggers run with the rights of the row's writer, so clients need access to the schema of the functions.
grant usage on schema job_scheduler to authenticated, service_role;

do $$
begin
    if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
        comment on publication supabase_realtime is 'Made by the job scheduler.';
    end if;
end
$$;

-- Rights: a signed-in user sees and writes their own private rows and those of their workspaces (viewers only see),
-- anon nothing, service_role everything (it bypasses RLS).
--
-- A policy must never raise: Realtime evaluates the policies of all subscribers of a table, and one that raises
-- silences all of them. So nothing here casts a claim without checking its form first.

-- The caller's id, or null where the token's subject is no uuid (auth.uid() would raise for it).
create or replace function job_scheduler.caller()
returns uuid
language sql
stable
set search_path = ''
as $$
    select case
        when claims.sub ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then claims.sub::uuid
    end
    from (select auth.jwt() ->> 'sub' as sub) as claims
$$;

-- The policies' functions are declared before the tables that they read.
set check_function_bodies = off;

-- The workspaces that the caller belongs to, and the role there. All policies rest on it: a project with teams of its own
-- replaces it by one select over its own tables, and it must not raise. A migration never overwrites it.
do $do$
begin
    if to_regprocedure('job_scheduler.memberships()') is null then
        -- Security definer: the policy of job_workspace_members calls it, so that it cannot be subject to that policy.
        execute $create$
            create function job_scheduler.memberships()
            returns table (workspace_id uuid, role text)
            language sql
            stable
            security definer
            set search_path = ''
            as $body$
                select m.workspace_id, m.role::text
                from public.job_workspace_members as m
                where m.user_id = job_scheduler.caller()
            $body$
        $create$;
        revoke all on function job_scheduler.memberships() from public;
        grant execute on function job_scheduler.memberships() to authenticated, service_role;
    end if;
end
$do$;

-- The workspaces whose rows the caller may see. A policy calls it once a statement, in a select of its own.
create or replace function job_scheduler.readable_workspaces()
returns uuid[]
language sql
stable
set search_path = ''
as $$
    select coalesce(array_agg(m.workspace_id), '{}') from job_scheduler.memberships() as m
$$;

-- The workspaces whose jobs and meetings the caller may write.
create or replace function job_scheduler.writable_workspaces()
returns uuid[]
language sql
stable
set search_path = ''
as $$
    select coalesce(array_agg(m.workspace_id), '{}')
    from job_scheduler.memberships() as m
    where m.role in ('editor', 'admin')
$$;

-- The workspaces whose name and members the caller may write.
create or replace function job_scheduler.administered_workspaces()
returns uuid[]
language sql
stable
set search_path = ''
as $$
    select coalesce(array_agg(m.workspace_id), '{}') from job_scheduler.memberships() as m where m.role = 'admin'
$$;

reset check_function_bodies;

revoke all on function
job_scheduler.caller(), job_scheduler.readable_workspaces(), job_scheduler.writable_workspaces(),
job_scheduler.administered_workspaces()
from public;
grant execute on function
job_scheduler.caller(), job_scheduler.readable_workspaces(), job_scheduler.writable_workspaces(),
job_scheduler.administered_workspaces()
to authenticated, service_role;

create table if not exists public.job_workspaces (
    id uuid primary key default gen_random_uuid(),
    name text not null check (char_length(btrim(name)) between 1 and 200),
    settings jsonb not null default '{}',
    created_by uuid default job_scheduler.caller(),
    created_at timestamptz not null default now()
);

comment on table public.job_workspaces is 'A tenant: its members see and write the same jobs and meetings.';
comment on column public.job_workspaces.settings is
    'Quotas and what else the operator says of the workspace; written with the service key only.';

create index if not exists job_workspaces_created_by_idx on public.job_workspaces (created_by) where created_by is not null;

revoke all on table public.job_workspaces from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.job_workspaces to service_role;
grant select, delete on table public.job_workspaces to authenticated;

-- Not the id: a workspace with the id of a user would share the keys of that user's private jobs. Not the settings:
-- they hold the quotas.
grant insert (name), update (name) on table public.job_workspaces to authenticated;

alter table public.job_workspaces enable row level security;

-- A trigger makes the creator an admin after the statement, which may have to return the row before that.
drop policy if exists workspaces_select on public.job_workspaces;
create policy workspaces_select on public.job_workspaces
for select to authenticated
using (
    id = any((select job_scheduler.readable_workspaces())::uuid[])
    or (created_by = (select job_scheduler.caller()) and created_at = now())
);

drop policy if exists workspaces_insert on public.job_workspaces;
create policy workspaces_insert on public.job_workspaces
for insert to authenticated
with check (created_by = (select job_scheduler.caller()));

drop policy if exists workspaces_update on public.job_workspaces;
create policy workspaces_update on public.job_workspaces
for update to authenticated
using (id = any((select job_scheduler.administered_workspaces())::uuid[]))
with check (id = any((select job_scheduler.administered_workspaces())::uuid[]));

drop policy if exists workspaces_delete on public.job_workspaces;
create policy workspaces_delete on public.job_workspaces
for delete to authenticated
using (id = any((select job_scheduler.administered_workspaces())::uuid[]));

-- Invitations into workspaces that are not answered: a table apart, so that nothing that reads the members sees them.

create table if not exists public.job_workspace_invitations (
    workspace_id uuid not null references public.job_workspaces (id) on delete cascade,
    user_id uuid not null,
    role text not null default 'viewer' check (role in ('viewer', 'editor', 'admin')),
    workspace_name text,
    invited_by uuid default job_scheduler.caller(),
    created_at timestamptz not null default now(),
    primary key (workspace_id, user_id)
);

comment on table public.job_workspace_invitations is
    'Who may become a member of a workspace by accepting; declining, accepting and taking it back delete the row.';
comment on column public.job_workspace_invitations.workspace_name is
    'The name when the invitation was written: the invited user cannot see the workspace.';

create index if not exists job_workspace_invitations_user_id_idx on public.job_workspace_invitations (user_id);

revoke all on table public.job_workspace_invitations from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.job_workspace_invitations to service_role;
grant select, delete on table public.job_workspace_invitations to authenticated;
grant insert (workspace_id, user_id, role) on table public.job_workspace_invitations to authenticated;

alter table public.job_workspace_invitations enable row level security;

drop policy if exists workspace_invitations_select on public.job_workspace_invitations;
create policy workspace_invitations_select on public.job_workspace_invitations
for select to authenticated
using (
    user_id = (select job_scheduler.caller())
    or workspace_id = any((select job_scheduler.administered_workspaces())::uuid[])
);

-- `user_id` refers to nothing, so that the answer does not reveal whether there is such a user.
drop policy if exists workspace_invitations_insert on public.job_workspace_invitations;
create policy workspace_invitations_insert on public.job_workspace_invitations
for insert to authenticated
with check (workspace_id = any((select job_scheduler.administered_workspaces())::uuid[]));

drop policy if exists workspace_invitations_delete on public.job_workspace_invitations;
create policy workspace_invitations_delete on public.job_workspace_invitations
for delete to authenticated
using (
    user_id = (select job_scheduler.caller())
    or workspace_id = any((select job_scheduler.administered_workspaces())::uuid[])
);

create table if not exists public.job_workspace_members (
    workspace_id uuid not null references public.job_workspaces (id) on delete cascade,
    user_id uuid not null,
    role text not null default 'viewer' check (role in ('viewer', 'editor', 'admin')),
    created_at timestamptz not null default now(),
    primary key (workspace_id, user_id)
);

comment on table public.job_workspace_members is 'Who belongs to a workspace, and as what: viewer, editor or admin.';

create index if not exists job_workspace_members_user_id_idx on public.job_workspace_members (user_id);

revoke all on table public.job_workspace_members from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.job_workspace_members to service_role;
grant select, delete on table public.job_workspace_members to authenticated;
grant insert (workspace_id, user_id, role), update (role) on table public.job_workspace_members to authenticated;

alter table public.job_workspace_members enable row level security;

drop policy if exists workspace_members_select on public.job_workspace_members;
create policy workspace_members_select on public.job_workspace_members
for select to authenticated
using (workspace_id = any((select job_scheduler.readable_workspaces())::uuid[]));

-- Nobody becomes a member without consent: users enter themselves, as what their invitation says, which that uses up.
drop policy if exists workspace_members_insert on public.job_workspace_members;
create policy workspace_members_insert on public.job_workspace_members
for insert to authenticated
with check (
    user_id = (select job_scheduler.caller())
    and exists (
        select from public.job_workspace_invitations as i
        where
            i.workspace_id = job_workspace_members.workspace_id and i.user_id = job_workspace_members.user_id
            and i.role = job_workspace_members.role
    )
);

drop policy if exists workspace_members_update on public.job_workspace_members;
create policy workspace_members_update on public.job_workspace_members
for update to authenticated
using (workspace_id = any((select job_scheduler.administered_workspaces())::uuid[]))
with check (workspace_id = any((select job_scheduler.administered_workspaces())::uuid[]));

-- Every member may also leave.
drop policy if exists workspace_members_delete on public.job_workspace_members;
create policy workspace_members_delete on public.job_workspace_members
for delete to authenticated
using (
    user_id = (select job_scheduler.caller())
    or workspace_id = any((select job_scheduler.administered_workspaces())::uuid[])
);

-- One row is one job: columns that clients write, columns that the service writes, and columns that only it reads.

-- Whether a text has the form of a W3C trace context. A bounded repetition in the expression would cost ten times as much.
create or replace function job_scheduler.is_trace(text)
returns boolean
language plpgsql
immutable
strict
set search_path = ''
as $$
begin
    return $1 like '__-________________________________-________________-__' and $1 ~ '^[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$';
end
$$;

-- The trace context of the request's header; null where it is malformed. The column's default calls it only where there is one.
create or replace function job_scheduler.sent_trace()
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
    sent constant text := current_setting('request.headers', true)::json ->> 'traceparent';
begin
    return case when job_scheduler.is_trace(sent) then sent end;
end
$$;
revoke all on function job_scheduler.is_trace(text), job_scheduler.sent_trace() from public;
grant execute on function
job_scheduler.is_trace(text), job_scheduler.sent_trace()
to authenticated, service_role; -- their inserts call them

create table if not exists public.scheduled_jobs (
    id bigint generated always as identity primary key,
    -- columns that clients write
    job_id text not null default ( -- as the id of job_executions
        lpad(to_hex((date_part('epoch', clock_timestamp()) * 1000)::bigint), 12, '0')
        || to_hex(28672 + (random() * 4095)::integer) -- 7000 to 7fff
        || to_hex('-9223372036854775808'::bigint + (random() * 4611686018427387000)::bigint) -- 8000… to bfff…
    )::uuid::text,
    workspace_id uuid,
    name text,
    description text,
    handler text not null,
    job_type text,
    metadata jsonb not null default '{}',
    trigger_type text not null default 'once',
    run_date timestamptz not null default now(),
    schedule jsonb not null default '{}',
    timezone text not null default 'UTC',
    ends_at timestamptz,
    max_runs integer,
    status text not null default 'scheduled',
    max_attempts integer not null default 4,
    retry_delay_seconds numeric not null default 5,
    retry_backoff numeric not null default 2.0,
    timeout_seconds numeric not null default 300,
    priority smallint not null default 0,
    overlap text not null default 'skip',
    misfire text not null default 'run_once',
    misfire_grace_seconds integer not null default 60,
    dst_gap text not null default 'run_after',
    dst_fold text not null default 'first',
    test_mode boolean not null default false,
    concurrency_key text,
    cleanup_after_days numeric check (cleanup_after_days between 0.00001 and 36500),
    store_result boolean not null default true,
    traceparent text default case
        when strpos(current_setting('request.headers', true), '"traceparent"') > 0 then job_scheduler.sent_trace()
    end,
    -- columns that the service writes
    source text,
    created_by uuid default auth.uid(),
    next_run_at timestamptz,
    attempt integer not null default 0,
    last_run_at timestamptz,
    last_run_status text,
    last_run_duration_ms double precision,
    total_runs bigint not null default 0,
    successful_runs bigint not null default 0,
    failed_runs bigint not null default 0,
    result jsonb,
    error text,
    progress double precision check (progress between 0 and 1),
    step text,
    claimed_by uuid,
    lease_expires_at timestamptz,
    revision bigint not null default 0,
    changed_in bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- columns that only the service reads
    due_at timestamptz,
    is_planned boolean not null default false,
    defined_at timestamptz not null default now(),
    queued_runs integer not null default 0,
    scheduled_runs bigint not null default 0,
    exposed_only boolean not null default false
) with (fillfactor = 70); -- free space for the end of a run beside its start, so that no index is updated

comment on table public.scheduled_jobs is 'One row is one job: insert it, it runs on time, watch its status.';
comment on column public.scheduled_jobs.next_run_at is
    'When the service next acts on the job: the earlier of its next due instant and its earliest queued run.';
comment on column public.scheduled_jobs.cleanup_after_days is
    'How long the job''s ledger, and the job itself once it ended, are kept; null: as long as the listener''s setting says.';
comment on column public.scheduled_jobs.job_type is
    'The kind of job, for people and programs; null: the one with the name of the handler. The service does not read it.';
comment on column public.scheduled_jobs.progress is
    'How far the present or the last run is or was, from 0 to 1: what its handler reported, 1 once it completed.';
comment on column public.scheduled_jobs.step is
    'What the present or the last run was at: the message that its handler last reported with its progress while it ran.';
comment on column public.scheduled_jobs.store_result is
    'Whether what the handler returns is kept, here and in the ledger; false: a run says that it completed, and no more.';
comment on column public.scheduled_jobs.test_mode is
    'Whether the runs of its schedule rehearse: the handler reports what it would do. Manual runs say so themselves.';
comment on column public.scheduled_jobs.traceparent is
    'The W3C trace context in which the job was made, of the request''s header unless it is written: its runs belong to it.';
comment on column public.scheduled_jobs.revision is
    'Grows with each change of what the job is: at least to the transaction of it, and beyond what it was.';
comment on column public.scheduled_jobs.changed_in is
    'The transaction (xid8) of the last change of what the job is; the service polls by it.';
comment on column public.scheduled_jobs.due_at is
    'The next due instant of the schedule; null when none is to come, and until the service has planned it.';
comment on column public.scheduled_jobs.is_planned is 'Whether due_at is known: without an instant, that none is to come.';
comment on column public.scheduled_jobs.defined_at is
    'When the schedule was last written or resumed; due instants before it belong to nobody.';
comment on column public.scheduled_jobs.queued_runs is 'How many runs of the job wait in the ledger.';
comment on column public.scheduled_jobs.source is
'The source whose row the job follows (job_scheduler.add_source); null for all other jobs.';
comment on column public.scheduled_jobs.exposed_only is
'Whether a signed-in user wrote the handler or its payload, so that it may only run a handler that is exposed.';
comment on column public.scheduled_jobs.scheduled_runs is
    'How many of total_runs the schedule asked for; only these use up max_runs.';

-- A job's key is its own within its workspace, or within its owner's private rows.
create unique index if not exists scheduled_jobs_job_id_key
on public.scheduled_jobs (coalesce(workspace_id, created_by), job_id) nulls not distinct;
create index if not exists scheduled_jobs_next_run_at_idx
on public.scheduled_jobs (next_run_at, id) where next_run_at is not null;

-- Finds the handlers of due jobs, a step for each: see job_scheduler.missing_handlers.
create index if not exists scheduled_jobs_handler_idx
on public.scheduled_jobs (handler, next_run_at) where next_run_at is not null;

-- No index mentions status: the end of a run changes it.
create index if not exists scheduled_jobs_unplanned_idx
on public.scheduled_jobs (id) where not is_planned;
create index if not exists scheduled_jobs_changed_in_idx on public.scheduled_jobs (changed_in, id);

-- Each party's jobs when more are near than a listener holds in memory, see job_scheduler.shared_out; of due jobs the most
-- urgent goes first.
create index if not exists scheduled_jobs_party_idx
on public.scheduled_jobs (coalesce(created_by, workspace_id, '00000000-0000-0000-0000-000000000000'), next_run_at, id)
where next_run_at is not null;
create index if not exists scheduled_jobs_urgent_idx
on public.scheduled_jobs (
    coalesce(created_by, workspace_id, '00000000-0000-0000-0000-000000000000'), priority desc, next_run_at, id
) where priority <> 0 and next_run_at is not null;
create index if not exists scheduled_jobs_concurrency_key_idx
on public.scheduled_jobs (concurrency_key) where concurrency_key is not null;
create index if not exists scheduled_jobs_cleanup_idx
on public.scheduled_jobs (cleanup_after_days) where cleanup_after_days is not null;
create index if not exists scheduled_jobs_created_by_idx
on public.scheduled_jobs (created_by, id) where created_by is not null;
create index if not exists scheduled_jobs_workspace_id_idx
on public.scheduled_jobs (workspace_id, id) where workspace_id is not null;

-- Jobs that a tenant's quota counts at each insert, except for jobs whose last run is under way; and what a tenant has due.
create index if not exists scheduled_jobs_active_idx
on public.scheduled_jobs (coalesce(workspace_id, created_by), next_run_at)
where
    coalesce(workspace_id, created_by) is not null
    and (next_run_at is not null or queued_runs > 0 or due_at is not null or not is_planned);

-- The same of a user in workspaces; a workspace without bounds of its own has those of its users.
create index if not exists scheduled_jobs_active_user_idx
on public.scheduled_jobs (created_by)
where
    created_by is not null and workspace_id is not null
    and (next_run_at is not null or queued_runs > 0 or due_at is not null or not is_planned);

alter table public.scheduled_jobs replica identity full;

-- Projects made before new tables lost their default grants would otherwise leave it open to anon.
revoke all on table public.scheduled_jobs from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.scheduled_jobs to authenticated, service_role;

alter table public.scheduled_jobs enable row level security;

drop policy if exists scheduled_jobs_select on public.scheduled_jobs;
create policy scheduled_jobs_select on public.scheduled_jobs
for select to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
);

drop policy if exists scheduled_jobs_insert on public.scheduled_jobs;
create policy scheduled_jobs_insert on public.scheduled_jobs
for insert to authenticated
with check (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
);

drop policy if exists scheduled_jobs_update on public.scheduled_jobs;
create policy scheduled_jobs_update on public.scheduled_jobs
for update to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
)
with check (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
);

drop policy if exists scheduled_jobs_delete on public.scheduled_jobs;
create policy scheduled_jobs_delete on public.scheduled_jobs
for delete to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
);

-- Finds the job of a row, also when the row and with it the owner is gone.
create index if not exists scheduled_jobs_source_idx
on public.scheduled_jobs (source, job_id) where source is not null;

-- Every client watches its jobs through Realtime; adding the table twice is no error.
do $$
begin
    if not exists (
        select from pg_catalog.pg_publication_tables
        where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'scheduled_jobs'
    ) then
        alter publication supabase_realtime add table public.scheduled_jobs;
    end if;
end
$$;

-- The ledger: the outcome of each due instant.

create table if not exists public.job_executions (
    -- A UUID of version 7: in the order of time, so that new rows share pages of the index. By random ones a run of a long ledger
    -- wrote 5 kB more WAL and cost half as much again. Its bits need not be secret: with those of gen_random_uuid() or uuidv7()
    -- it cost a third of the row.
    id uuid primary key default (
        lpad(to_hex((date_part('epoch', clock_timestamp()) * 1000)::bigint), 12, '0')
        || to_hex(28672 + (random() * 4095)::integer) -- 7000 to 7fff
        || to_hex('-9223372036854775808'::bigint + (random() * 4611686018427387000)::bigint) -- 8000… to bfff…
    )::uuid,
    scheduled_job_id bigint not null references public.scheduled_jobs (id) on delete cascade,
    workspace_id uuid,
    created_by uuid,
    scheduled_for timestamptz not null default now(),
    cause text not null default 'manual' check (cause in ('schedule', 'manual')),
    attempt integer not null default 1,
    status text not null default 'queued'
    check (status in ('queued', 'running', 'completed', 'failed', 'cancelled', 'skipped')),
    reason text,
    test_mode boolean not null default false,
    started_at timestamptz,
    completed_at timestamptz,
    duration_ms double precision,
    lateness_ms double precision,
    progress double precision check (progress between 0 and 1),
    result jsonb,
    error text,
    error_details jsonb,
    listener_id uuid,
    -- columns that only the service reads
    run_at timestamptz default now(),
    lease_expires_at timestamptz,
    fence integer not null default 1,
    stopped_at timestamptz,
    blocked_since timestamptz,
    unique (scheduled_job_id, scheduled_for, cause, attempt)
);

comment on table public.job_executions is
    'The ledger: every due instant ends in one final row, also when nothing ran; reason says why.';
comment on column public.job_executions.run_at is
    'When a queued run may start: its due instant or the time of its retry; null while its key is taken.';
comment on column public.job_executions.fence is
    'Which claim of this run is the present one: it grows when a run that waited is claimed, and when one is taken over.';
comment on column public.job_executions.stopped_at is
    'When the job was cancelled while this ran: how it ends says nothing of the job any more.';
comment on column public.job_executions.blocked_since is
    'From when a run that found its key taken could have started; null again once it starts.';
comment on column public.job_executions.lease_expires_at is 'The end of the claim of listener_id unless it is extended.';

-- Not "where status = 'running'": the ends of runs would be looked up through it, past the dead entries of all others.
-- It begins with the job, so that a job's other running runs are found without reading its whole ledger.
create index if not exists job_executions_lease_idx
on public.job_executions (scheduled_job_id, lease_expires_at) where lease_expires_at is not null;
create index if not exists job_executions_running_idx
on public.job_executions (created_by, workspace_id) where lease_expires_at is not null and created_by is not null;
create index if not exists job_executions_manual_idx
on public.job_executions (coalesce(workspace_id, created_by), scheduled_for)
where cause = 'manual' and coalesce(workspace_id, created_by) is not null;
create index if not exists job_executions_manual_user_idx
on public.job_executions (created_by, scheduled_for)
where cause = 'manual' and created_by is not null and workspace_id is not null;
create index if not exists job_executions_queued_idx
on public.job_executions (scheduled_job_id, run_at) where status = 'queued';
create index if not exists job_executions_blocked_idx
on public.job_executions (scheduled_for) where status = 'queued' and run_at is null;
create index if not exists job_executions_given_key_idx
on public.job_executions (run_at) where status = 'queued' and blocked_since is not null and run_at is not null;
create index if not exists job_executions_created_by_idx
on public.job_executions (created_by, scheduled_for desc, id desc) where created_by is not null and workspace_id is null;
create index if not exists job_executions_workspace_id_idx
on public.job_executions (workspace_id, scheduled_for desc, id desc) where workspace_id is not null;

-- Projects made before new tables lost their default grants would otherwise leave it open to anon.
revoke all on table public.job_executions from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.job_executions to service_role;
grant select on table public.job_executions to authenticated;
grant insert (scheduled_job_id, test_mode) on table public.job_executions to authenticated; -- run_job_now writes these

alter table public.job_executions enable row level security;

drop policy if exists job_executions_select on public.job_executions;
create policy job_executions_select on public.job_executions
for select to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
);

-- A trigger has by now copied the owner of the job, so a run of somebody else's job is refused here.
drop policy if exists job_executions_insert on public.job_executions;
create policy job_executions_insert on public.job_executions
for insert to authenticated
with check (
    cause = 'manual' and status = 'queued' and (
        (created_by = (select job_scheduler.caller()) and workspace_id is null)
        or workspace_id = any((select job_scheduler.writable_workspaces())::uuid[])
    )
);

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

create table if not exists public.job_listeners (
    id uuid primary key,
    name text not null,
    started_at timestamptz not null default now(),
    heartbeat_at timestamptz not null default now(),
    handlers text[] not null default '{}',
    version text,
    capacity integer,
    lease_seconds double precision not null default 30,
    receives_notify boolean not null default false
);

comment on table public.job_listeners is 'The listeners that are alive; each shares the due jobs with the others.';
comment on column public.job_listeners.handlers is 'The names of its handlers; it claims only jobs that have one of them.';
comment on column public.job_listeners.capacity is 'How many runs it may have at a time.';
comment on column public.job_listeners.lease_seconds is 'It sends three heartbeats in that time; without any it is not alive.';
comment on column public.job_listeners.receives_notify is 'Whether it received NOTIFY at its last heartbeat: see spare_realtime.';

-- Projects made before new tables lost their default grants would otherwise leave it open to anon.
revoke all on table public.job_listeners from public, anon, authenticated, service_role;
grant select on table public.job_listeners to service_role;

alter table public.job_listeners enable row level security;

create table if not exists public.job_handlers (
    name text primary key,
    description text not null default '',
    payload_schema jsonb not null default '{}',
    exposed boolean not null default false,
    updated_at timestamptz not null default now()
);

comment on table public.job_handlers is
    'The handlers that listeners have; each publishes its own at its start and from time to time.';
comment on column public.job_handlers.payload_schema is 'The JSON schema of scheduled_jobs.metadata for this handler.';
comment on column public.job_handlers.exposed is
    'Whether signed-in users may schedule it; a handler acts with the powers of the service, so it must say so itself.';
comment on column public.job_handlers.updated_at is
    'When a listener last published it; seven days later it is forgotten.';
revoke all on table public.job_handlers from public, anon, authenticated, service_role;
grant select on table public.job_handlers to authenticated, service_role;

alter table public.job_handlers enable row level security;

drop policy if exists job_handlers_select on public.job_handlers;
create policy job_handlers_select on public.job_handlers
for select to authenticated
using ((select job_scheduler.caller()) is not null);

create table if not exists public.job_audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    scheduled_job_id bigint not null, -- no reference: the entry outlives its job
    job_id text,
    workspace_id uuid,
    created_by uuid,
    actor uuid,
    role text not null,
    action text not null
    check (action in ('insert', 'update', 'cancel', 'pause', 'resume', 'retry', 'run_now', 'delete')),
    changes jsonb not null default '{}'
);

comment on table public.job_audit is
    'Who did what to a job; append only. Readable as the job is, also when that is gone.';
comment on column public.job_audit.actor is 'The signed-in user of the change; null for the service key and for SQL.';
comment on column public.job_audit.role is 'The role of the API, else that of the database connection.';
comment on column public.job_audit.changes is 'The columns that changed, each with [old, new]; a long value as its size.';

create index if not exists job_audit_job_idx on public.job_audit (scheduled_job_id, id);
create index if not exists job_audit_created_by_idx on public.job_audit (created_by) where created_by is not null;
create index if not exists job_audit_workspace_id_idx on public.job_audit (workspace_id) where workspace_id is not null;
create index if not exists job_audit_at_idx on public.job_audit using brin (at) with (autosummarize = on);

revoke all on table public.job_audit from public, anon, authenticated, service_role;
grant select on table public.job_audit to authenticated, service_role;

alter table public.job_audit enable row level security;

drop policy if exists job_audit_select on public.job_audit;
create policy job_audit_select on public.job_audit
for select to authenticated
using (
    (created_by = (select job_scheduler.caller()) and workspace_id is null)
    or workspace_id = any((select job_scheduler.readable_workspaces())::uuid[])
);

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

-- A copy, because reading pg_timezone_names opens 1,200 files (about 50 ms), and because PostgreSQL alone would
-- also take "europe/berlin", "+03" and "EST5EDT4", which the listener's zone database does not know.
create table if not exists job_scheduler.timezones (
    name text primary key
);

comment on table job_scheduler.timezones is 'The IANA zones that PostgreSQL knew when this was installed.';

insert into job_scheduler.timezones (name)
select zone.name
from pg_catalog.pg_timezone_names as zone
where zone.name !~ '^(posix|right)/' and zone.name not in ('Factory', 'localtime', 'posixrules')
on conflict (name) do nothing;

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

-- Runs whose end cannot be written, for a trigger of the project's own refuses it: the rescuer looks again at `retry_at`.
create table if not exists job_scheduler.parked_runs (
    execution_id uuid primary key references public.job_executions on delete cascade,
    error text not null,
    tries integer not null default 1,
    retry_at timestamptz not null
);

comment on table job_scheduler.parked_runs is 'Runs whose end cannot be written; each is tried again at growing intervals.';

alter table job_scheduler.parked_runs enable row level security;

create table if not exists job_scheduler.missing_handlers (
    name text primary key,
    since timestamptz not null default now(),
    seen_at timestamptz not null default now()
);

comment on table job_scheduler.missing_handlers is 'The handlers of due jobs that no live listener has.';
comment on column job_scheduler.missing_handlers.since is 'From when on every look at the live listeners found none that has it.';

alter table job_scheduler.missing_handlers enable row level security;
$file$;
    left_alone constant text := null;
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090000') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090000', 'create_tables', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
