-- A database that was restored from a dump has the jobs of another one, which may still run them. Its own jobs wait until
-- somebody confirms that they are to run here; docs/day-two.md says more.

-- Whether the row of this_database was written by a restore: by another transaction than it says, or in another table or
-- database. Vacuum, a physical copy, a failover and pg_upgrade keep all three; so they are not noticed, and need not be.
create or replace function job_scheduler.is_restored()
returns boolean
language sql
stable
set search_path = ''
as $$
    select not exists (
        select from job_scheduler.this_database as t
        where
            t.xmin::text::bigint = t.written_in and t.tableoid::bigint = t.table_oid
            and t.database_oid = (select d.oid::bigint from pg_catalog.pg_database as d where d.datname = current_database())
    )
$$;
revoke all on function job_scheduler.is_restored() from public;

-- Says that the jobs of this database are to run here, whether it was restored or not.
create or replace function job_scheduler.confirm_restore()
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('job_scheduler.confirm_restore', 0)); -- several listeners may
    delete from job_scheduler.this_database;
    insert into job_scheduler.this_database (database_oid, table_oid, written_in)
    select d.oid::bigint, 'job_scheduler.this_database'::regclass::oid::bigint, 0
    from pg_catalog.pg_database as d
    where d.datname = current_database();
    update job_scheduler.this_database set written_in = xmin::text::bigint; -- of this very transaction
end
$$;
revoke all on function job_scheduler.confirm_restore() from public;

do $$
begin
    if not exists (select from job_scheduler.this_database) then
        perform job_scheduler.confirm_restore();
    end if;
end
$$;

-- Refuses to go on in a restored database, unless the listener was set to run restored jobs.
-- {run_restored: boolean}
create or replace function job_scheduler.refuse_restored(request jsonb)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if not job_scheduler.is_restored() then
        return;
    elsif (request ->> 'run_restored')::boolean then
        perform job_scheduler.confirm_restore();
    else
        raise exception 'this database was restored from a dump, and another one may run the same jobs: here they wait for a confirmation'
        using errcode = 'JS001', hint = 'To run them here: select job_scheduler.confirm_restore()';
    end if;
end
$$;
revoke all on function job_scheduler.refuse_restored(jsonb) from public;

-- Forgets, for some rows at a time, the transactions of another cluster, which this one's counter has not reached: once it
-- does, they would look like changes. Rows are locked first: what changed them before that is seen by the second look.
create or replace function job_scheduler.forget_transactions(most integer)
returns integer
language plpgsql
set search_path = ''
set enable_seqscan = off
as $$
declare
    ids bigint[];
    next bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    forgotten integer := 0;
begin
    ids := array(
        select j.id from public.scheduled_jobs as j
        where j.changed_in > next
        order by j.changed_in, j.id
        limit most
        for update of j skip locked
    );
    if cardinality(ids) > 0 then
        next := greatest(pg_snapshot_xmax(pg_current_snapshot()), pg_current_xact_id())::text::bigint;
        update public.scheduled_jobs as j set changed_in = 0 where j.id = any(ids) and j.changed_in > next;
        get diagnostics forgotten = row_count;
    end if;
    return forgotten;
end
$$;
revoke all on function job_scheduler.forget_transactions(integer) from public;
