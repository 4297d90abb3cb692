-- Queue a manual run of a job, whatever its status and schedule; returns the id of the run in job_executions. With test_mode
-- true it rehearses, with false it does not, and with null it does what the runs of the job's schedule do.
create or replace function public.run_job_now(job bigint, test_mode boolean default false)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
    run uuid;
    rehearses boolean;
begin
    select coalesce(run_job_now.test_mode, j.test_mode) into rehearses
    from public.scheduled_jobs as j
    where j.id = job
    for no key update;
    if not found then
        perform job_scheduler.refuse_unknown_job(job, 'run');
    end if;
    insert into public.job_executions (scheduled_job_id, test_mode) values (run_job_now.job, rehearses) returning id into run;
    return run;
end
$$;
revoke all on function public.run_job_now(bigint, boolean) from public, anon, authenticated, service_role;
grant execute on function public.run_job_now(bigint, boolean) to authenticated, service_role;
