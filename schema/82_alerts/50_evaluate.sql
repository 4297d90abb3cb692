-- The evaluation of the rules, which a listener asks for while there are rules or deliveries to settle.

-- Whether there is anything to evaluate: a listener learns it with its heartbeats.
create or replace function job_scheduler.has_alerts()
returns boolean
language sql
stable
set search_path = ''
as $$
    select exists (select from public.job_alert_rules as r where r.enabled)
        or exists (select from public.job_alert_deliveries as d where d.status = 'queued')
        or exists (select from public.job_alerts as a where a.status <> 'resolved')
$$;
revoke all on function job_scheduler.has_alerts() from public;

-- Notes everything that rules ask for, of the ends between two horizons, see roll_up_activity_v1.
create or replace function job_scheduler.note_trouble(
    seen pg_snapshot, present pg_snapshot, horizon bigint, many bigint, since timestamptz
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    failing constant uuid[] := array(
        select distinct r.tenant_id from public.job_alert_rules as r
        where r.enabled and r.condition in ('failed', 'failing')
    );
    others constant uuid[] := array(
        select distinct r.tenant_id from public.job_alert_rules as r
        where r.enabled and r.condition in ('late', 'long_running', 'missed')
    );
    late double precision;
    long double precision;
    missed double precision;
begin
    select
        min(r.threshold) filter (where r.condition = 'late'), min(r.threshold) filter (where r.condition = 'long_running'),
        min(r.threshold) filter (where r.condition = 'missed')
    into late, long, missed
    from public.job_alert_rules as r
    where r.enabled;
    update job_scheduler.troubled_jobs as t
    set hits = 0, is_new = false
    where t.hits > 0;
    perform job_scheduler.note_failures(failing, seen, present, since);
    if late is not null or long is not null or missed is not null then
        perform job_scheduler.note_ended(others, horizon, many, since, late, long, missed is not null);
    end if;
    if long is not null or missed is not null then
        perform job_scheduler.note_states(others, long, missed);
    end if;
    perform job_scheduler.forget_states();
    delete from job_scheduler.late_ends_for_alerts as l
    where not exists (
        select from public.job_executions as e
        where e.id = l.execution_id and (horizon - 1 - e.xmin::text::bigint) & 4294967295 > 2147483648 -- not yet evaluated
    );
end
$$;
revoke all on function job_scheduler.note_trouble(pg_snapshot, pg_snapshot, bigint, bigint, timestamptz) from public;

-- Evaluates all rules, at most every ten seconds whatever the number of listeners, and one at a time; the others return at once.
-- {limit: transactions} -> {now, wait_seconds: until the next evaluation, opened, resolved, deliveries}
create or replace function public.evaluate_alerts_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    every constant interval := interval '10 seconds';
    present pg_snapshot;
    present_at timestamptz;
    horizon xid8;
    last job_scheduler.alert_cursor;
    gap interval;
    since timestamptz;
    finding record;
    opened bigint := 0;
    resolved bigint;
    is_more boolean := false;
begin
    select c.* into last from job_scheduler.alert_cursor as c for update skip locked;
    -- Taken once the cursor is locked: a snapshot from before another evaluation would let the next one count again what that
    -- one has counted.
    present := pg_current_snapshot();
    present_at := clock_timestamp();
    horizon := pg_snapshot_xmin(present);
    if last.seen is null or last.evaluated_at > present_at - every * 0.9 or job_scheduler.is_restored() then
        return json_build_object(
            'now', clock_timestamp(), 'opened', 0, 'resolved', 0, 'deliveries', 0, 'wait_seconds', extract(
                epoch from least(greatest(coalesce(last.evaluated_at + every - present_at, every), interval '1 second'), every)
            )
        );
    end if;
    perform set_config('job_scheduler.stage', 'service', true);
    if last.horizon > horizon then -- restored into another cluster, whose counter is behind
        last := row(true, horizon, present_at, pg_snapshot_xmax(present), present_at, present, present_at);
    end if;
    if job_scheduler.plus(last.horizon, (request ->> 'limit')::bigint) < horizon then
        horizon := job_scheduler.plus(last.horizon, (request ->> 'limit')::bigint);
        is_more := true;
    end if;
    delete from public.job_alert_rules as r
    where r.scheduled_job_id is not null
        and not exists (select from public.scheduled_jobs as j where j.id = r.scheduled_job_id);
    -- Before the first rule nobody evaluated; what ended before then is of no interest.
    since := greatest(
        last.since - interval '1 minute', (select min(r.active_since) from public.job_alert_rules as r where r.enabled)
    );
    gap := present_at - last.evaluated_at - every;
    perform job_scheduler.note_trouble(
        last.seen, present, horizon::text::bigint,
        least(horizon::text::bigint - last.horizon::text::bigint, 2147483647), since
    );
    for finding in
        select r as rule, f.*
        from job_scheduler.findings(gap) as f
        inner join public.job_alert_rules as r on f.rule_id = r.id
        order by f.rule_id, f.subject
    loop
        opened := opened + job_scheduler.raise_alert(
            finding.rule, finding.subject, finding.scheduled_job_id, finding.handler, finding.jobs, finding.hits,
            finding.is_worse, finding.first_execution_id, finding.last_execution_id, finding.first_at, finding.last_at,
            finding.measure
        )::integer;
    end loop;
    resolved := job_scheduler.resolve_alerts();
    last.horizon := horizon;
    if last.next_xid <= horizon then
        last.since := last.next_at;
        last.next_xid := pg_snapshot_xmax(present);
        last.next_at := present_at;
    end if;
    update job_scheduler.alert_cursor as c
    set
        horizon = last.horizon, since = last.since, next_xid = last.next_xid, next_at = last.next_at, seen = present,
        evaluated_at = case when is_more then c.evaluated_at else present_at end;
    perform job_scheduler.settle_deliveries();
    return json_build_object(
        'now', clock_timestamp(), 'opened', opened, 'resolved', resolved,
        'deliveries', job_scheduler.notify_of_alerts(), 'wait_seconds', case when is_more then 0.2 else extract(epoch from every) end
    );
end
$$;
revoke all on function public.evaluate_alerts_v1(jsonb) from public, anon, authenticated;
grant execute on function public.evaluate_alerts_v1(jsonb) to service_role;
