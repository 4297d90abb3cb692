-- The listeners' private topic is nobody's to join or to send to, whatever a project's other policies allow: restrictive
-- policies, which say nothing of any other topic and cannot raise. service_role and the database's own functions are not
-- bound by policies. Realtime asks them with a row of the topic that is to be joined or sent to.
create or replace function job_scheduler.guard_topic()
returns void
language plpgsql
set search_path = ''
as $$
declare
    act record;
begin
    if to_regclass('realtime.messages') is null then
        return;
    end if;
    for act in
        select * from (values
            ('select', 'using'), ('insert', 'with check'), ('update', 'using'), ('delete', 'using')
        ) as a (verb, clause)
    loop
        execute format('drop policy if exists %I on realtime.messages', 'job_scheduler_topic_' || act.verb);
        execute format(
            'create policy %I on realtime.messages as restrictive for %s to public %s '
            '(topic is distinct from ''job_scheduler'')',
            'job_scheduler_topic_' || act.verb, act.verb, act.clause
        );
    end loop;
exception when others then -- `listener doctor` says that they are missing
    raise warning 'job_scheduler.guard_topic: %', sqlerrm;
end
$$;
revoke all on function job_scheduler.guard_topic() from public;

select job_scheduler.guard_topic();

-- The policies on the listeners' topic: whether ours are there, and the names of those that hold for every topic.
-- {} -> {now, guarded: boolean | null, blanket: [name]}; null where this database has no Realtime
create or replace function public.examine_topic_v1(request jsonb) -- noqa: RF02
returns json
language sql
stable
security definer
set search_path = ''
as $$
    select json_build_object(
        'now', clock_timestamp(),
        'guarded', case
            when to_regclass('realtime.messages') is not null
                then count(*) filter (where p.permissive = 'RESTRICTIVE' and starts_with(p.policyname, 'job_scheduler_topic_')) = 4
        end,
        'blanket', coalesce(json_agg(p.policyname order by p.policyname) filter (
            where p.permissive = 'PERMISSIVE' and p.roles && '{public,anon,authenticated}'::name[]
                and concat(p.qual, p.with_check) not like '%topic%'
        ), '[]')
    )
    from pg_catalog.pg_policies as p
    where p.schemaname = 'realtime' and p.tablename = 'messages' and request is not null
$$;
revoke all on function public.examine_topic_v1(jsonb) from public, anon, authenticated;
grant execute on function public.examine_topic_v1(jsonb) to service_role;
