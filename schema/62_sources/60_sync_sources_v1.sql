-- The service calls these to keep the jobs of sources right.

-- The sums of two counts, and the failures of both.
create or replace function job_scheduler.added_up(a jsonb, b jsonb)
returns jsonb
language sql
immutable
set search_path = ''
as $$
    select jsonb_object_agg(n.key, case
        when jsonb_typeof(n.value) = 'array' then n.value || coalesce(a -> n.key, '[]')
        else to_jsonb(n.value::bigint + coalesce((a -> n.key)::bigint, 0))
    end)
    from jsonb_each(b) as n
$$;
revoke all on function job_scheduler.added_up(jsonb, jsonb) from public;

-- Changed rows, and a page of a source that was added or truncated.
create or replace function job_scheduler.sync_changed(names text[], after uuid, most integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    taken record;
    this job_scheduler.sources;
    counted jsonb := '{}';
    settled jsonb;
    waiting integer := 0;
begin
    select * into taken from job_scheduler.take_changed_rows(names, after, most);
    update job_scheduler.sources as s set is_checked = false, checked_until = null
    from unnest(taken.sources, taken.keys) as t (source, key)
    where s.name = t.source and t.key is null;
    for this in select s.* from job_scheduler.sources as s where s.name = any(taken.sources) order by s.name loop
        settled := job_scheduler.settle_each(
            this, array(
                select t.key from unnest(taken.sources, taken.keys) as t (source, key)
                where t.source = this.name and t.key is not null
            ), false
        );
        waiting := waiting + (settled ->> 'jobs_locked')::integer;
        counted := counted || jsonb_build_object(this.name, settled);
    end loop;
    select s.* into this from job_scheduler.sources as s
    where not s.is_checked and s.name = any(names)
    order by s.name limit 1;
    if found then
        settled := job_scheduler.check_rows(this, this.checked_until, most, false);
        update job_scheduler.sources as s
        set is_checked = settled ->> 'after' is null, checked_until = settled ->> 'after'
        where s.name = this.name;
        counted := counted || jsonb_build_object(
            this.name, job_scheduler.added_up(counted -> this.name, settled - 'after')
        );
    end if;
    return jsonb_build_object(
        'sources', counted,
        'after', taken.turn,
        'more', exists (select from job_scheduler.sources as s where not s.is_checked and s.name = any(names))
        or cardinality(taken.keys) > waiting
        and exists (select from job_scheduler.changed_rows as c where c.source = any(names))
    );
end
$$;
revoke all on function job_scheduler.sync_changed(text[], uuid, integer) from public;

-- Makes the jobs of some rows right; writes nothing where they are.
-- {changed: true, after: uuid | null, limit}: rows that changed, tenants in turn; `after` continues the round.
-- {after: text | null, limit}: a page of all rows that meet the condition of their source; `after` continues.
-- Of all sources, but those of `without`: [name]; or of that of `only`: name, where `keys`: [text] are rows to look at.
-- -> {sources: {name: {total, jobs_scheduled, jobs_already_exist, jobs_moved, jobs_cancelled, jobs_locked, errors,
--     failures: [{key, error}]}}, after, more}
-- Where `after` is not null the page or the round goes on there; `more` says that changed rows are left, and not for a lock
-- alone.
create or replace function public.sync_sources_v1(request jsonb)
returns jsonb
language plpgsql
security definer -- it writes jobs in the name of the row's owner, which no client may
set search_path = ''
as $$
declare
    most constant integer := coalesce((request ->> 'limit')::integer, 500);
    after constant text := request ->> 'after';
    names text[];
    this job_scheduler.sources;
    settled jsonb;
begin
    perform set_config('job_scheduler.actor', 'service', true); -- nobody did what is done here: the audit leaves it out
    -- One at a time over all replicas, so that none waits for rows in another's order. A migration that adds a source may
    -- stay open.
    perform set_config('lock_timeout', '2000', true);
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler.sync_sources', 0));
    perform set_config('lock_timeout', '300', true); -- a client's transaction may stay open
    names := array(
        select s.name from job_scheduler.sources as s
        where s.name = coalesce(request ->> 'only', s.name) and not coalesce(request -> 'without' ? s.name, false)
        order by s.name
    );
    if request -> 'changed' = 'true' then
        return job_scheduler.sync_changed(names, after::uuid, most);
    end if;
    select s.* into this from job_scheduler.sources as s
    where s.name = any(names) and s.name >= split_part(coalesce(after, ''), ':', 1)
    order by s.name limit 1;
    if not found then
        return jsonb_build_object('sources', '{}'::jsonb, 'after', null, 'more', false);
    elsif jsonb_typeof(request -> 'keys') = 'array' then
        settled := job_scheduler.settle_each(this, array(select jsonb_array_elements_text(request -> 'keys')), false);
    else
        settled := job_scheduler.check_rows(
            this, case when starts_with(after, this.name || ':') then nullif(substr(after, length(this.name) + 2), '') end, most, true
        );
    end if;
    return jsonb_build_object(
        'sources', jsonb_build_object(this.name, settled - 'after'),
        'after', case
            when settled ->> 'after' is not null then this.name || ':' || (settled ->> 'after')
            when request -> 'keys' is null then (select min(n) || ':' from unnest(names) as n where n > this.name)
        end,
        'more', false
    );
end
$$;
revoke all on function public.sync_sources_v1(jsonb) from public, anon, authenticated;
grant execute on function public.sync_sources_v1(jsonb) to service_role;
