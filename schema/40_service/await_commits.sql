-- Waits a moment for jobs that no query shows, and returns those that one shows: a channel reports a commit shortly before it
-- becomes visible.
create or replace function job_scheduler.await_commits(jobs bigint[])
returns bigint[]
language plpgsql
set search_path = ''
set enable_indexonlyscan = off -- an index that has the id in its second place looks as good while the table is empty
as $$
declare
    visible bigint[];
begin
    for attempt in 1 .. 5 loop
        visible := array(select j.id from public.scheduled_jobs as j where j.id = any(jobs));
        exit when cardinality(visible) = cardinality(jobs);
        perform pg_sleep(0.001);
    end loop;
    return visible;
end
$$;
revoke all on function job_scheduler.await_commits(bigint[]) from public;
