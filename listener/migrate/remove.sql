-- Removes the job scheduler: all jobs, their ledger, the functions, triggers on other tables that call them, and its policies
-- on realtime.messages.
-- public.scheduled_jobs_before, the table that `listener migrate --adopt` keeps, stays as it is.
do $uninstall$
declare
    tables text[] := array[
        {tables}
    ];
    functions constant text[] := array[
        {functions}
    ];
    one text;
    kept text;
begin
    perform set_config('client_min_messages', 'warning', true); -- else it reports each object that goes with another
    if to_regprocedure('job_scheduler.has_meetings()') is null then
        raise exception 'the job scheduler is not installed here';
    end if;
    if job_scheduler.has_meetings() then
        tables := tables || 'public.meetings'::text;
    end if;
    -- Other objects that depend on it would be dropped with it, unseen: a policy, a view, a default, a foreign key.
    with ours as (
        select 'pg_class'::regclass as class, c.oid, c.oid as relation from pg_catalog.pg_class as c
        where c.relnamespace = 'job_scheduler'::regnamespace
            or c.oid in (select to_regclass(name) from unnest(tables) as name)
        union all
        select 'pg_type'::regclass, t.oid, null from pg_catalog.pg_type as t
        where t.typrelid in (select to_regclass(name) from unnest(tables) as name)
        union all
        select 'pg_proc'::regclass, p.oid, null from pg_catalog.pg_proc as p
        where p.pronamespace = 'job_scheduler'::regnamespace
            or p.oid in (select to_regprocedure(name) from unnest(functions) as name)
    )
    select string_agg(distinct case
        when r.ev_class is null then pg_describe_object(d.classid, d.objid, d.objsubid)
        else pg_describe_object('pg_class'::regclass, r.ev_class, 0)
    end, ', ') into kept
    from pg_catalog.pg_depend as d
    inner join ours on d.refclassid = ours.class and d.refobjid = ours.oid
    left join pg_catalog.pg_rewrite as r on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
    left join pg_catalog.pg_policy as p on d.classid = 'pg_policy'::regclass and d.objid = p.oid
    left join pg_catalog.pg_attrdef as a on d.classid = 'pg_attrdef'::regclass and d.objid = a.oid
    left join pg_catalog.pg_constraint as c on d.classid = 'pg_constraint'::regclass and d.objid = c.oid
    where d.deptype = 'n' and d.classid <> 'pg_trigger'::regclass
        and not exists (select from ours as o where o.class = d.classid and o.oid = d.objid)
        and not exists (
            select from ours as o where o.relation in (r.ev_class, p.polrelid, a.adrelid, c.conrelid)
        );
    if kept is not null then
        raise exception 'nothing was removed; these objects of the project depend on the job scheduler: %', kept
        using errcode = 'dependent_objects_still_exist', hint = 'drop them, or take the job scheduler out of them';
    end if;
    if to_regprocedure('job_scheduler.stop_watching()') is not null then
        perform job_scheduler.stop_watching();
    end if;
    foreach one in array tables loop
        execute format('drop table if exists %s cascade', one);
    end loop;
    foreach one in array functions loop
        execute format('drop function if exists %s cascade', one);
    end loop;
    drop schema job_scheduler cascade;
    for one in
        select p.policyname from pg_catalog.pg_policies as p
        where p.schemaname = 'realtime' and p.tablename = 'messages' and p.policyname like 'job\_scheduler\_topic\_%'
    loop
        execute format('drop policy %I on realtime.messages', one);
    end loop;
    if exists (
        select from pg_catalog.pg_publication as p
        where p.pubname = 'supabase_realtime'
            and obj_description(p.oid, 'pg_publication') = 'Made by the job scheduler.'
            and not exists (select from pg_catalog.pg_publication_tables as t where t.pubname = p.pubname)
    ) then
        drop publication supabase_realtime;
    end if;
end
$uninstall$;
