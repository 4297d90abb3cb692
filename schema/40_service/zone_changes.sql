-- Due instants are planned anew when a listener has a newer zone database than they were planned by. Only the newer one does
-- that: two listeners with different ones do not undo each other's plans.

-- Notes the zone database of a listener. An older one than all plans are by may have planned something from now on. With
-- `replanned`, the version that the caller found and has planned anew, its own takes that place, unless a listener with an
-- older one is alive.
-- {listener, version, replanned: version | null} -> {now, planned_by, older}: the oldest that plans may be by, and whether a
-- listener that has an older one than the caller's is alive
create or replace function public.zone_database_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    mine constant text := request ->> 'version';
    older boolean;
    oldest text;
begin
    insert into job_scheduler.zone_databases as z (listener, version)
    values ((request ->> 'listener')::uuid, mine)
    on conflict (listener) do update set version = mine, noted_at = now();
    delete from job_scheduler.zone_databases as z
    where
        z.noted_at < now() - interval '1 minute' -- one that starts takes no share of the jobs yet
        and not exists (select from public.job_listeners as l where l.id = z.listener);
    older := exists (select from job_scheduler.zone_databases as z where z.version collate "C" < mine);

    insert into job_scheduler.planned_by (version) values (mine) on conflict do nothing;
    update job_scheduler.planned_by as p
    set version = mine
    where p.version collate "C" > mine or not older and p.version = request ->> 'replanned';
    select p.version into oldest from job_scheduler.planned_by as p;
    return json_build_object('now', clock_timestamp(), 'planned_by', oldest, 'older', older);
end
$$;
revoke all on function public.zone_database_v1(jsonb) from public, anon, authenticated;
grant execute on function public.zone_database_v1(jsonb) to service_role;

-- Of the next jobs by id those that are planned by a zone's rules.
-- {after: id | null, limit} -> {now, cursor, rows, after}
create or replace function public.planned_jobs_v1(request jsonb)
returns json
language sql
stable
security definer
set search_path = ''
as $$
    with page as (
        select j.id
        from public.scheduled_jobs as j
        where j.id > coalesce((request ->> 'after')::bigint, 0)
        order by j.id
        limit (request ->> 'limit')::int
    )

    select json_build_object(
        'now', clock_timestamp(),
        'cursor', job_scheduler.horizon(),
        'rows', (
            select coalesce(json_agg(r.job_row order by r.id), '[]')
            from job_scheduler.job_rows as r
            inner join public.scheduled_jobs as j on r.id = j.id
            where
                r.id = any(array(select p.id from page as p)) and j.id = any(array(select p.id from page as p))
                and j.trigger_type not in ('once', 'interval') and j.timezone not in ('UTC', 'Etc/UTC')
                and j.is_planned and j.due_at is not null and j.status in ('scheduled', 'running')
        ),
        'after', (select max(p.id) from page as p where (select count(*) from page) = (request ->> 'limit')::int)
    )
$$;
revoke all on function public.planned_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.planned_jobs_v1(jsonb) to service_role;

-- Replaces due instants by those of a newer zone database, where the job is still the same and still has the old one.
-- {plans: [{id, revision, was, due}]} -> {now, replanned}
create or replace function public.replan_jobs_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = force_custom_plan -- these as in claim_runs_v1
set enable_seqscan = off
as $$
declare
    ids constant bigint[] := array(select (p ->> 'id')::bigint from jsonb_array_elements(request -> 'plans') as p);
    replanned integer;
begin
    perform set_config('job_scheduler.stage', 'service', true);
    with found as (
        select j.id, p.due
        from public.scheduled_jobs as j
        inner join jsonb_to_recordset(request -> 'plans') as p (id bigint, revision bigint, was timestamptz, due timestamptz)
            on j.id = p.id and j.revision = p.revision and j.due_at = p.was
        where j.id = any(ids) and j.is_planned and j.status in ('scheduled', 'running')
        for update of j skip locked
    )
    update public.scheduled_jobs as j
    set
        due_at = f.due,
        next_run_at = case when j.next_run_at = j.due_at then f.due else least(j.next_run_at, f.due) end,
        revision = job_scheduler.next_revision(j.revision),
        changed_in = pg_current_xact_id()::text::bigint,
        updated_at = now()
    from found as f
    where j.id = any(ids) and j.id = f.id;
    get diagnostics replanned = row_count;
    if replanned > 0 then
        perform job_scheduler.notify('scheduled_jobs', null);
    end if;
    return json_build_object('now', clock_timestamp(), 'replanned', replanned);
end
$$;
revoke all on function public.replan_jobs_v1(jsonb) from public, anon, authenticated;
grant execute on function public.replan_jobs_v1(jsonb) to service_role;
