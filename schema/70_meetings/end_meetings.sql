-- The ends of meetings, many at a time.

-- Sets those of these meetings to done that are upcoming and have ended; answers which. A row that somebody else holds is
-- passed over: it is requested for again.
create or replace function job_scheduler.end_meetings(requested jsonb)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
    ended uuid[];
begin
    with free as (
        select m.id
        from (
            select (a ->> 'id')::uuid as id, max((a ->> 'ended_by')::timestamptz) as ended_by
            from jsonb_array_elements(requested) as a
            where a -> 'test_mode' is distinct from 'true'
            group by 1
        ) as wanted
        inner join public.meetings as m on wanted.id = m.id
        where m.status = 'upcoming' and m.end_time <= wanted.ended_by
        for update of m skip locked
    ), done as (
        update public.meetings as m set status = 'done'
        where m.id in (select f.id from free as f)
        returning m.id
    )
    select coalesce(array_agg(d.id), '{}') into ended from done as d;
    return ended;
end
$$;
revoke all on function job_scheduler.end_meetings(jsonb) from public;
grant execute on function job_scheduler.end_meetings(jsonb) to service_role;

-- {meetings: [{id, ended_by, test_mode}]} -> {now, meetings: [{id, updated, status, end_time, error}]}, one for each requested,
-- in any order; status is null where there is no such meeting. One that cannot be written stops no other.
create or replace function public.end_meetings_v1(request jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    ended uuid[] := '{}';
    errors jsonb := '{}';
    one jsonb;
begin
    begin
        ended := job_scheduler.end_meetings(request -> 'meetings');
    exception when others then -- a trigger of the project's own, perhaps: the slow way says which it is
        for one in select a from jsonb_array_elements(request -> 'meetings') as a loop
            begin
                ended := ended || job_scheduler.end_meetings(jsonb_build_array(one));
            exception when others then
                errors := errors || jsonb_build_object(one ->> 'id', sqlerrm);
            end;
        end loop;
    end;
    return jsonb_build_object('now', clock_timestamp(), 'meetings', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'id', a.id, 'updated', a.id = any(ended), 'status', m.status, 'end_time', m.end_time,
            'error', errors ->> a.id::text
        )), '[]')
        from (select distinct (e ->> 'id')::uuid as id from jsonb_array_elements(request -> 'meetings') as e) as a
        left join public.meetings as m on a.id = m.id
    ));
end
$$;
revoke all on function public.end_meetings_v1(jsonb) from public, anon, authenticated;
grant execute on function public.end_meetings_v1(jsonb) to service_role;
