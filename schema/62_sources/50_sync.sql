-- Chooses the rows of sources that the service checks next, and checks them.

-- Takes changed rows of these sources off the list, at most about `most`: of each tenant its share, the longest waiting
-- first, tenants in turn after `after`. `turn` is the tenant to go on after, null at the end of the round. Where `most`
-- allows it, rows that failed a minute ago are among them.
create or replace function job_scheduler.take_changed_rows(
    names text[], after uuid, most integer, out sources text[], out keys text[], out turn uuid
)
language plpgsql
set search_path = ''
as $$
declare
    tenants uuid[];
begin
    with recursive turns as (
        (
            select c.tenant from job_scheduler.changed_rows as c
            where c.tenant > coalesce(after, '00000000-0000-0000-0000-000000000000') and c.source = any(names)
            order by c.tenant limit 1
        )
        union all
        select (
            select c.tenant from job_scheduler.changed_rows as c
            where c.tenant > t.tenant and c.source = any(names)
            order by c.tenant limit 1
        )
        from turns as t
        where t.tenant is not null
    )
    select array_agg(t.tenant) into tenants
    from (select turns.tenant from turns where turns.tenant is not null limit most) as t;
    turn := case when cardinality(tenants) = most then tenants[most] end;
    with chosen as (
        select distinct c.source, c.key
        from unnest(tenants) as t (tenant)
        cross join lateral (
            select q.source, q.key from job_scheduler.changed_rows as q
            where q.tenant = t.tenant and q.source = any(names)
            order by q.id
            limit greatest(1, most / cardinality(tenants))
        ) as c
    )
    select coalesce(array_agg(c.source order by c.source), '{}'), coalesce(array_agg(c.key order by c.source), '{}')
    into sources, keys
    from chosen as c;
    -- Later reads see all of these changes.
    delete from job_scheduler.changed_rows as c
    using unnest(sources, keys) as t (source, key)
    where c.source = t.source and (c.key = t.key or c.key is null and t.key is null);
    if cardinality(keys) < most / 2 then
        with again as (
            update job_scheduler.source_errors as e set tried_at = now()
            where (e.source, e.key) in (
                select f.source, f.key from job_scheduler.source_errors as f
                where f.tried_at < now() - interval '1 minute' and f.source = any(names)
                order by f.tried_at limit most / 4
            )
            returning e.source, e.key
        )
        select sources || coalesce(array_agg(a.source), '{}'), keys || coalesce(array_agg(a.key), '{}')
        into sources, keys
        from again as a;
    end if;
end
$$;
revoke all on function job_scheduler.take_changed_rows(text[], uuid, integer) from public;

-- The keys of active jobs of a source whose row is gone or does not meet the condition.
create or replace function job_scheduler.orphans_of(this job_scheduler.sources)
returns text[]
language plpgsql
set search_path = ''
as $$
declare
    keys text[] := '{}';
    page text[];
    rows jsonb;
    reached text := '';
begin
    loop
        page := array(
            select job.job_id from public.scheduled_jobs as job
            where job.source = this.name and job.job_id > reached and job.status in ('scheduled', 'paused')
            order by job.job_id limit 1000
        );
        exit when cardinality(page) = 0;
        reached := page[cardinality(page)];
        page := array(select substr(p.job_id, length(this.name) + 2) from unnest(page) as p (job_id));
        begin
            execute format('select job_scheduler.%I($1)', this.rows_function) into rows using page;
        exception when others then
            keys := keys || page; -- one by one, it shows which rows they are
            continue;
        end;
        keys := keys || array(select p.key from unnest(page) as p (key) where rows -> p.key ->> 'due_at' is null);
    end loop;
    return keys;
end
$$;
revoke all on function job_scheduler.orphans_of(job_scheduler.sources) from public;

-- Makes the jobs of a page of all rows right: those that meet the condition, by key; on the first page also those of jobs
-- whose row does not. -> as settle_each, and `after`, null after the last page.
create or replace function job_scheduler.check_rows(
    this job_scheduler.sources, after text, most integer, restart boolean
)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    keys text[];
    settled jsonb;
    orphans text[];
    cancelled bigint := 0;
    broken text;
    page text;
begin
    begin
        execute format('select job_scheduler.%I($1, $2)', this.keys_function) into keys using after, most;
    exception when others then
        broken := sqlerrm;
        begin -- the condition fails on one of the rows, perhaps
            select format(
                'select array(select %s from %s as r where $1 is null or (%s) > (%s) order by %3$s limit $2)',
                k.as_text, this.relation, k.key, k.given
            ) into page
            from job_scheduler.key_expressions(this.key_columns, this.key_types, 'r', '$1') as k;
            execute page into keys using after, most;
            broken := null;
        exception when others then -- the table is gone, or its key is
            keys := '{}';
        end;
    end;
    settled := job_scheduler.settle_each(this, keys, restart);
    if broken is not null then
        settled := settled || jsonb_build_object(
            'errors', 1, 'failures', jsonb_build_array(jsonb_build_object('key', null, 'error', broken))
        );
    end if;
    if after is null then
        -- Rows that failed may be gone as well; the rest of many is tried again within minutes.
        orphans := job_scheduler.orphans_of(this) || array(
            select e.key from job_scheduler.source_errors as e
            where e.source = this.name and e.key <> all(keys) order by e.tried_at limit greatest(most, 100)
        );
        if cardinality(orphans) > 0 then
            cancelled := (job_scheduler.settle_each(this, orphans, false) ->> 'jobs_cancelled')::bigint;
        end if;
    end if;
    return settled || jsonb_build_object(
        'jobs_cancelled', (settled ->> 'jobs_cancelled')::bigint + cancelled,
        'after', case when cardinality(keys) = most then keys[most] end
    );
end
$$;
revoke all on function job_scheduler.check_rows(job_scheduler.sources, text, integer, boolean) from public;
