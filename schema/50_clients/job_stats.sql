-- Statistics of a job: counters of its whole life, durations of the runs that the ledger still holds.
create or replace function public.job_stats(job bigint)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
    stats jsonb;
begin
    select jsonb_build_object(
        'total_runs', j.total_runs,
        'successful_runs', j.successful_runs,
        'failed_runs', j.failed_runs,
        'success_rate', j.successful_runs::double precision / nullif(j.successful_runs + j.failed_runs, 0),
        'avg_duration_ms', ran.average,
        'p95_duration_ms', ran.p95,
        'last_run_at', j.last_run_at,
        'next_run_at', j.next_run_at
    ) into stats
    from public.scheduled_jobs as j
    cross join lateral (
        select
            avg(e.duration_ms) as average,
            percentile_cont(0.95) within group (order by e.duration_ms) as p95
        from (
            select l.duration_ms, l.status
            from public.job_executions as l
            where l.scheduled_job_id = j.id
            order by l.scheduled_for desc
            limit 10000
        ) as e
        where e.status in ('completed', 'failed')
    ) as ran
    where j.id = job;
    if stats is null then
        perform job_scheduler.refuse_unknown_job(job, 'see');
    end if;
    return stats;
end
$$;
revoke all on function public.job_stats(bigint) from public, anon, authenticated, service_role;
grant execute on function public.job_stats(bigint) to authenticated, service_role;
