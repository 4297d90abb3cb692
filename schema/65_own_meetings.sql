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

-- Why the migration of meetings is not applied: null where it may be. Where add_source is there, the message has the
-- statement that gives the project's table jobs, made of its columns.
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
    where a.attrelid = relation and not a.attisdropped and a.atttypid = 'timestamptz'::regtype
    order by array_position('{end_time,ends_at,end_at,due_at,starts_at,start_time,start_at}'::name[], a.attname), a.attnum
    limit 1;
    select a.attname into owner
    from pg_attribute as a
    where a.attrelid = relation and a.atttypid = 'uuid'::regtype
        and a.attname in ('created_by', 'user_id', 'owner_id', 'organizer_id')
    order by a.attnum
    limit 1;
    if to_regproc('job_scheduler.add_source') is null or key is null or due is null then
        return message;
    end if;
    return message || format(
        '. This statement gives them some: select job_scheduler.add_source(name => %L, source => %L, due_at => %L, '
        'handler => %L, metadata => %L%s);',
        'meeting', 'public.meetings', quote_ident(due), 'your_handler',
        format('jsonb_build_object(''meeting_id'', %I)', key), format(', owner => %L', quote_ident(owner))
    );
end
$$;
revoke all on function job_scheduler.meetings_left_alone() from public;

-- No meetings; the migration of meetings replaces it.
create or replace function public.sync_meetings_v1(request jsonb)
returns jsonb
language sql
immutable
set search_path = ''
as $$
    select jsonb_build_object(
        'total_meetings', 0, 'jobs_scheduled', 0, 'jobs_already_exist', 0, 'jobs_moved', 0, 'jobs_cancelled', 0,
        'jobs_locked', 0, 'errors', 0, 'failures', '[]'::jsonb, 'after', null, 'more', false
    )
$$;
revoke all on function public.sync_meetings_v1(jsonb) from public, anon, authenticated;
grant execute on function public.sync_meetings_v1(jsonb) to service_role;
