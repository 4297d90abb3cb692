-- A project's own public.meetings is left alone, whatever its shape.

-- Whether public.meetings is the table of these migrations.
create or replace function job_scheduler.has_meetings()
returns boolean
language sql
stable
set search_path = ''
as $$
    select coalesce(
        obj_description(to_regclass('public.meetings'), 'pg_class')
        = 'A meeting that is upcoming has one job, meeting-status:<id>, due at end_time.',
        false
    )
$$;
revoke all on function job_scheduler.has_meetings() from public;
grant execute on function job_scheduler.has_meetings() to service_role;

-- Why the migration of meetings is not applied: null where it may be. The message has the statement that gives the
-- project's table jobs, made of its columns.
create or replace function job_scheduler.meetings_left_alone()
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
    relation constant regclass := to_regclass('public.meetings');
    message text := 'public.meetings is a table of this project and is left alone; its rows get no jobs';
    key name;
    due name;
    owner name;
begin
    if relation is null or job_scheduler.has_meetings() then
        return null;
    end if;
    select a.attname into key
    from pg_index as i
    inner join pg_attribute as a on i.indrelid = a.attrelid and a.attnum = i.indkey[0]
    where i.indrelid = relation and i.indisprimary and i.indnatts = 1;
    select a.attname into due
    from pg_attribute as a
    where a.attrelid = relation and not a.attisdropped
        and a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
    order by array_position('{end_time,ends_at,end_at,due_at,starts_at,start_time,start_at}'::name[], a.attname), a.attnum
    limit 1;
    select a.attname into owner
    from pg_attribute as a
    where a.attrelid = relation and a.atttypid = 'uuid'::regtype
        and a.attname in ('created_by', 'user_id', 'owner_id', 'organizer_id')
    order by a.attnum
    limit 1;
    if key is null or due is null then
        return message;
    end if;
    return message || format(
        '. This statement gives them some: select job_scheduler.add_source(name => %L, source => %L, due_at => %L, '
        'handler => %L, condition => %L, metadata => %L%s);',
        'meeting', 'public.meetings', quote_ident(due), 'your_handler',
        format('%I >= %L', due, current_date), -- else those of years ago would run at once
        format('jsonb_build_object(''meeting_id'', %I)', key), format(', owner => %L', quote_ident(owner))
    );
end
$$;
revoke all on function job_scheduler.meetings_left_alone() from public;

-- The same as sync_sources_v1, of meetings alone. It finds none where the migration of meetings is not applied.
-- {changed: true, after: uuid | null, limit: int}: meetings that changed, users in turn; `after` continues the round.
-- {ids: [uuid]}: these meetings, a deleted one included. {after: uuid | null, limit: int}: a page of all that are upcoming.
-- -> {total_meetings, jobs_scheduled, jobs_already_exist, jobs_moved, jobs_cancelled, jobs_locked, errors, failures, after,
--   more}
create or replace function public.sync_meetings_v1(request jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    is_round constant boolean := request -> 'changed' is not distinct from 'true';
    answer jsonb;
    counts jsonb;
begin
    answer := public.sync_sources_v1((request - 'ids') || jsonb_build_object(
        'only', 'meeting-status',
        'keys', request -> 'ids',
        'after', case when is_round then request ->> 'after' else 'meeting-status:' || (request ->> 'after') end
    ));
    counts := jsonb_build_object(
        'total', 0, 'jobs_scheduled', 0, 'jobs_already_exist', 0, 'jobs_moved', 0, 'jobs_cancelled', 0, 'jobs_locked', 0,
        'errors', 0, 'failures', '[]'::jsonb
    ) || coalesce(answer -> 'sources' -> 'meeting-status', '{}');
    return (counts - 'total') || jsonb_build_object(
        'total_meetings', counts -> 'total',
        'failures', (
            select coalesce(jsonb_agg(jsonb_build_object('meeting_id', f -> 'key', 'error', f -> 'error')), '[]')
            from jsonb_array_elements(counts -> 'failures') as f
        ),
        'after', case when is_round then answer ->> 'after' else split_part(answer ->> 'after', ':', 2) end,
        'more', answer -> 'more'
    );
end
$$;
revoke all on function public.sync_meetings_v1(jsonb) from public, anon, authenticated;
grant execute on function public.sync_meetings_v1(jsonb) to service_role;
