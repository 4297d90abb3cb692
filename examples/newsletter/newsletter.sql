-- A migration of the project's own: what newsletters are made of, and who of a workspace may see and write it.
create table public.newsletter_sources (
    id bigint generated always as identity primary key,
    workspace_id uuid not null,
    name text not null check (length(name) between 1 and 60),
    url text not null check (url ~ '^https?://' and length(url) <= 2000),
    unique (workspace_id, name)
);
create table public.newsletter_subscribers (
    id bigint generated always as identity primary key,
    workspace_id uuid not null,
    email text not null check (email ~ '^[^@\s]+@[^@\s]+$' and length(email) <= 254),
    status text not null default 'active' check (status in ('active', 'unsubscribed')),
    unique (workspace_id, email)
);
create table public.newsletter_issues (
    id bigint generated always as identity primary key,
    workspace_id uuid not null,
    scheduled_job_id bigint not null,
    scheduled_for timestamptz not null,
    subject text not null,
    html text not null,
    text text not null,
    created_at timestamptz not null default now(),
    unique (scheduled_job_id, scheduled_for) -- another attempt at the same due instant writes the same issue
);
create table public.newsletter_deliveries (
    issue_id bigint not null references public.newsletter_issues (id) on delete cascade,
    subscriber_id bigint not null references public.newsletter_subscribers (id) on delete cascade,
    workspace_id uuid not null,
    status text not null check (status in ('sent', 'refused')),
    answer text,
    at timestamptz not null default now(),
    primary key (issue_id, subscriber_id)
);
-- The result of each action as it ends, so that it outlives the failure of a later one.
create table public.newsletter_action_results (
    id bigint generated always as identity primary key,
    workspace_id uuid not null,
    scheduled_job_id bigint not null,
    scheduled_for timestamptz not null,
    execution_id uuid not null,
    attempt integer not null,
    action text not null,
    status text not null check (status in ('completed', 'failed')),
    result jsonb,
    error text,
    test_mode boolean not null,
    ended_at timestamptz not null default now(),
    unique (execution_id, action) -- each attempt has its own
);
create index on public.newsletter_issues (workspace_id);
create index on public.newsletter_deliveries (subscriber_id);
create index on public.newsletter_deliveries (workspace_id);
create index on public.newsletter_action_results (workspace_id);
create index on public.newsletter_action_results (scheduled_job_id, scheduled_for);

-- Members read everything of their workspace; editors and admins write sources and subscribers; the service the rest.
do $$
declare
    name text;
begin
    foreach name in array array['sources', 'subscribers', 'issues', 'deliveries', 'action_results'] loop
        execute format('alter table public.newsletter_%s enable row level security', name);
        execute format('grant select, insert, update, delete on public.newsletter_%s to service_role', name);
        execute format('grant select on public.newsletter_%s to authenticated', name);
        execute format(
            'create policy newsletter_%1$s_select on public.newsletter_%1$s for select to authenticated
            using (workspace_id = any((select job_scheduler.readable_workspaces())::uuid[]))', name
        );
    end loop;
    foreach name in array array['sources', 'subscribers'] loop
        execute format('grant insert, update, delete on public.newsletter_%s to authenticated', name);
        execute format(
            'create policy newsletter_%1$s_insert on public.newsletter_%1$s for insert to authenticated
            with check (workspace_id = any((select job_scheduler.writable_workspaces())::uuid[]))', name
        );
        execute format(
            'create policy newsletter_%1$s_update on public.newsletter_%1$s for update to authenticated
            using (workspace_id = any((select job_scheduler.writable_workspaces())::uuid[]))
            with check (workspace_id = any((select job_scheduler.writable_workspaces())::uuid[]))', name
        );
        execute format(
            'create policy newsletter_%1$s_delete on public.newsletter_%1$s for delete to authenticated
            using (workspace_id = any((select job_scheduler.writable_workspaces())::uuid[]))', name
        );
    end loop;
end
$$;

notify pgrst, 'reload schema'; -- PostgREST learns of the tables
