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
