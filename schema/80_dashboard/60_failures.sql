-- Failures by their fingerprint, the most frequent first, of the newest 10,000 of so many hours: of a workspace, or, without
-- one, of the caller's private jobs. {groups: [{error_fingerprint, failures, jobs, handlers, first_at, last_at, by_hour,
-- sample: run}], more}; by_hour has the counts of the last 24 hours, the present one last.
create or replace function public.list_failures(
    workspace uuid default null, hours integer default 24, most integer default 50
)
returns jsonb
language sql
stable
set search_path = ''
set enable_seqscan = off
as $$
    with near as (
        select
            e.id, e.scheduled_job_id, e.completed_at, e.reason, e.error, e.error_fingerprint,
            24 - floor(extract(epoch from now() - e.completed_at) / 3600)::integer as hour
        from public.job_executions as e
        where
            case when e.workspace_id is null then e.created_by else e.workspace_id end
            = coalesce(workspace, (select job_scheduler.caller()))
            and e.status = 'failed' and e.completed_at >= now() - make_interval(hours => hours)
        order by e.completed_at desc, e.id desc
        limit 10001
    ), groups as (
        select
            n.error_fingerprint, count(*) as failures, count(distinct n.scheduled_job_id) as jobs,
            min(n.completed_at) as first_at, max(n.completed_at) as last_at,
            (array_agg(n.id order by n.completed_at desc))[1] as sample_id,
            array_agg(distinct n.scheduled_job_id) as job_ids, array_agg(n.hour) as hours
        from near as n
        group by n.error_fingerprint
        order by failures desc, last_at desc
        limit least(greatest(most, 1), 200)
    )
    select jsonb_build_object(
        'more', (select count(*) > 10000 from near),
        'groups', coalesce(jsonb_agg(jsonb_build_object(
            'error_fingerprint', g.error_fingerprint, 'failures', g.failures, 'jobs', g.jobs, 'first_at', g.first_at,
            'last_at', g.last_at,
            'handlers', (
                select jsonb_agg(distinct j.handler) from public.scheduled_jobs as j where j.id = any(g.job_ids)
            ),
            'by_hour', (
                select jsonb_agg((select count(*) from unnest(g.hours) as h where h = p.part) order by p.part)
                from generate_series(1, 24) as p (part)
            ),
            'sample', (
                select jsonb_build_object(
                    'id', e.id, 'scheduled_job_id', j.id, 'job_id', j.job_id, 'name', j.name, 'handler', j.handler,
                    'completed_at', e.completed_at, 'reason', e.reason, 'error', left(e.error, 2000)
                )
                from public.job_executions as e
                inner join public.scheduled_jobs as j on e.scheduled_job_id = j.id
                where e.id = g.sample_id
            )
        ) order by g.failures desc, g.last_at desc), '[]')
    )
    from groups as g
$$;
revoke all on function public.list_failures(uuid, integer, integer) from public, anon, authenticated, service_role;
grant execute on function public.list_failures(uuid, integer, integer) to authenticated, service_role;
