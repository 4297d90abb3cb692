-- A hand-written public.scheduled_jobs gets another name, and so do its indexes and sequences.
do $$
declare
    part record;
begin
    if to_regclass('public.scheduled_jobs_before') is not null then
        raise exception 'public.scheduled_jobs_before is there already' using hint = 'rename it';
    end if;
    alter table public.scheduled_jobs rename to scheduled_jobs_before;
    for part in -- names of indexes and sequences are those of relations
        select format(
            'alter %s public.%I rename to %I',
            case c.relkind when 'S' then 'sequence' else 'index' end, c.relname,
            left(replace(c.relname, 'scheduled_jobs', 'scheduled_jobs_before'), 63)
        ) as statement
        from pg_catalog.pg_class as c
        where c.relname like 'scheduled\_jobs%' and c.relnamespace = 'public'::regnamespace and (
            c.oid in (
                select i.indexrelid from pg_catalog.pg_index as i
                where i.indrelid = 'public.scheduled_jobs_before'::regclass
            )
            or c.relkind = 'S' and c.oid in (
                select d.objid from pg_catalog.pg_depend as d
                where d.refobjid = 'public.scheduled_jobs_before'::regclass
            )
        )
    loop
        execute part.statement;
    end loop;
end
$$;
