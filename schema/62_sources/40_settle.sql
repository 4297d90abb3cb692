-- Makes the jobs of rows right. A row is here what a source's rows_function gives; null where there is none.

-- Whether a job is of this row's tenant: the key alone proves nothing, because that of a row that is gone may be used again
-- by another tenant.
create or replace function job_scheduler.is_of_tenant(job public.scheduled_jobs, found jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select job.workspace_id is not distinct from (found ->> 'workspace')::uuid
        and (found ->> 'workspace' is not null or job.created_by is not distinct from (found ->> 'owner')::uuid)
$$;
revoke all on function job_scheduler.is_of_tenant(public.scheduled_jobs, jsonb) from public;

-- A row's title as the name of its job, whatever its length: a job's name has bounds, a row has a job.
create or replace function job_scheduler.name_for(title text)
returns text
language sql
immutable
set search_path = ''
as $$
    select case when btrim(left(title, 500), E' \t\r\n') <> '' or title = '' then left(title, 500) end
$$;
revoke all on function job_scheduler.name_for(text) from public;

-- The step that a job needs, given the row under its key: cancel, write, wait (for its run's end), resume (a paused job whose
-- last run ended: it ends as that run did), or nothing (null).
-- A job that ended runs again where the row is due at another time. Where the source has revisions, it also runs again if
-- the row changed since, and with `restart` in any case, because the run was to end the condition.
create or replace function job_scheduler.source_job_act(
    job public.scheduled_jobs, found jsonb, handler text, restart boolean
)
returns text
language sql
stable
set search_path = ''
as $$
    select case
        when (found ->> 'due_at' is not null and job_scheduler.is_of_tenant(job, found)) is not true then
            case
                -- The run may just have changed the row itself: let it end.
                when (found -> 'finished' = 'true' and job_scheduler.is_of_tenant(job, found)) is not true then
                    case when job.status in ('scheduled', 'paused', 'running') then 'cancel' end
                when job.status = 'running' or job.status = 'paused' and job.claimed_by is not null then 'wait'
                when job.status = 'paused' and job.due_at is not null and not job.is_planned then 'resume' -- see mark_spent
                when job.status in ('scheduled', 'paused') then 'cancel'
            end
        when job.run_date <> (found ->> 'due_at')::timestamptz or job.status = 'cancelled' then 'write'
        when job.status in ('completed', 'failed') then
            case
                when restart and found ->> 'revision' is not null then 'write'
                when (found ->> 'revision')::bigint > case
                    -- the row of another cluster, from which it was restored: it is older than any change made in this one
                    when job.changed_in >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                        and (found ->> 'revision')::bigint < pg_snapshot_xmax(pg_current_snapshot())::text::bigint then 0
                    else job.changed_in
                end then 'write'
            end
        when
            job.name is distinct from job_scheduler.name_for(found ->> 'title')
            or job.handler <> source_job_act.handler
            or job.trigger_type <> 'once'
            or job.metadata <> found -> 'metadata' then 'write'
    end
$$;
revoke all on function job_scheduler.source_job_act(public.scheduled_jobs, jsonb, text, boolean) from public;

-- Holds new and revived jobs of a source to the quotas of their tenants, as if these had written them.
create or replace function job_scheduler.admit_source_jobs(opened bigint[])
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform job_scheduler.check_shape_quotas(j.workspace_id, 'once', '{}', j.metadata, true)
    from public.scheduled_jobs as j
    where j.id = any(opened) and coalesce(j.workspace_id, j.created_by) is not null;
    perform job_scheduler.check_active_quota(t.workspace_id, t.owner, t.added, true)
    from (
        select j.workspace_id, case when j.workspace_id is null then j.created_by end as owner, count(*) as added
        from public.scheduled_jobs as j
        where j.id = any(opened) and coalesce(j.workspace_id, j.created_by) is not null
        group by 1, 2
        order by 1, 2
    ) as t;
    perform job_scheduler.check_active_quota_of(t.created_by, t.workspaces)
    from (
        select j.created_by, array_agg(j.workspace_id) as workspaces
        from public.scheduled_jobs as j
        where j.id = any(opened) and j.created_by is not null
        group by j.created_by
        order by j.created_by
    ) as t;
    perform job_scheduler.check_stored_bytes(t.workspace_id, t.created_by, true)
    from (
        select distinct j.workspace_id, j.created_by from public.scheduled_jobs as j
        where j.id = any(opened) and coalesce(j.workspace_id, j.created_by) is not null
        order by j.workspace_id, j.created_by
    ) as t;
end
$$;
revoke all on function job_scheduler.admit_source_jobs(bigint[]) from public;

-- The jobs among these whose row requires this act (see source_job_act).
create or replace function job_scheduler.source_jobs_to(
    act text, this job_scheduler.sources, ids bigint[], rows jsonb, restart boolean
)
returns bigint[]
language sql
stable
set search_path = ''
as $$
    select coalesce(array_agg(job.id), '{}') from public.scheduled_jobs as job
    where job.id = any(ids) and job_scheduler.source_job_act(
        job, rows -> substr(job.job_id, length(this.name) + 2), this.handler, restart
    ) = act
$$;
revoke all on function job_scheduler.source_jobs_to(text, job_scheduler.sources, bigint[], jsonb, boolean) from public;

-- Makes the jobs of the rows under these keys right and answers what it wrote; `rows` are those rows. `busy` names keys to
-- look at again: somebody holds the row of the job, or its run is to end first. Nothing is deleted: the ledger stays with
-- the tenant whose it is. An update notifies every listener even if it changes no row: there is none without a job to change.
create or replace function job_scheduler.settle_rows(
    this job_scheduler.sources, keys text[], rows jsonb, restart boolean,
    out wanted bigint, out scheduled bigint, out moved bigint, out cancelled bigint, out taken text[], out busy text[]
)
language plpgsql
set search_path = ''
as $$
declare
    start constant integer := length(this.name) + 2; -- of the key in a job_id
    job_ids constant text[] := array(select this.name || ':' || k.key from unnest(keys) as k (key));
    wrong bigint[];
    free bigint[];
    acted bigint[];
    opened bigint[];
    made bigint[];
begin
    wrong := array(
        select job.id from public.scheduled_jobs as job
        where job.source = this.name and job.job_id = any(job_ids)
            and job_scheduler.source_job_act(job, rows -> substr(job.job_id, start), this.handler, restart) is not null
    );
    free := array(select job.id from public.scheduled_jobs as job where job.id = any(wrong) for update skip locked);
    busy := array(
        select distinct substr(job.job_id, start) from public.scheduled_jobs as job
        where job.id = any(wrong) and (
            job.id <> all(free)
            or job_scheduler.source_job_act(job, rows -> substr(job.job_id, start), this.handler, restart) = 'wait'
        )
    );

    acted := job_scheduler.source_jobs_to('cancel', this, free, rows, restart);
    if cardinality(acted) > 0 then
        update public.scheduled_jobs set status = 'cancelled' where id = any(acted);
    end if;
    cancelled := cardinality(acted);
    acted := job_scheduler.source_jobs_to('resume', this, free, rows, restart);
    if cardinality(acted) > 0 then
        update public.scheduled_jobs set status = 'scheduled' where id = any(acted);
    end if;

    acted := job_scheduler.source_jobs_to('write', this, free, rows, restart);
    opened := array(
        select job.id from public.scheduled_jobs as job
        where job.id = any(acted) and job.status in ('completed', 'failed', 'cancelled')
    );
    if cardinality(acted) > 0 then
        update public.scheduled_jobs as job set
            name = job_scheduler.name_for(f.found ->> 'title'),
            run_date = (f.found ->> 'due_at')::timestamptz,
            trigger_type = 'once',
            schedule = '{}',
            handler = this.handler,
            metadata = f.found -> 'metadata',
            status = case when job.status in ('completed', 'failed', 'cancelled') then 'scheduled' else job.status end
        from jsonb_each(rows) as f (key, found)
        where job.id = any(acted) and job.job_id = this.name || ':' || f.key;
    end if;
    moved := cardinality(acted);

    with added as (
        insert into public.scheduled_jobs (job_id, source, workspace_id, created_by, name, handler, metadata, run_date)
        select
            this.name || ':' || f.key, this.name, (f.found ->> 'workspace')::uuid, (f.found ->> 'owner')::uuid,
            job_scheduler.name_for(f.found ->> 'title'), this.handler, f.found -> 'metadata',
            (f.found ->> 'due_at')::timestamptz
        from jsonb_each(rows) as f (key, found)
        where f.found ->> 'due_at' is not null and not exists (
            select from public.scheduled_jobs as job
            where job.source = this.name and job.job_id = this.name || ':' || f.key
                and job_scheduler.is_of_tenant(job, f.found)
        )
        order by f.key
        on conflict do nothing
        returning id
    )
    select coalesce(array_agg(added.id), '{}') into made from added;
    scheduled := cardinality(made);
    if this.limits_owner and cardinality(opened || made) > 0 then
        perform job_scheduler.admit_source_jobs(opened || made);
    end if;

    select count(*), coalesce(array_agg(f.key) filter (where job.id is null), '{}') into wanted, taken
    from jsonb_each(rows) as f (key, found)
    left join public.scheduled_jobs as job
        on job.source = this.name and job.job_id = this.name || ':' || f.key and job_scheduler.is_of_tenant(job, f.found)
    where f.found ->> 'due_at' is not null;
end
$$;
revoke all on function job_scheduler.settle_rows(job_scheduler.sources, text[], jsonb, boolean) from public;
