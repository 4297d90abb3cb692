-- Calls job_scheduler.memberships() as each kind of caller: whoever replaced it may not have met all of them, and one for
-- whom it raises silences Realtime for everybody. With the role of signed-in users, who may lack what it reads.
-- {} -> [{caller, error}] of those for whom it raises
create or replace function public.check_memberships_v1(request jsonb) -- noqa: RF03
returns json
language plpgsql
set search_path = ''
as $$
declare
    me constant text := current_user;
    my_claims constant text := current_setting('request.jwt.claims', true);
    one record;
    faults jsonb := '[]';
begin
    for one in
        values
            ('a user', jsonb_build_object('role', 'authenticated', 'sub', gen_random_uuid())::text),
            ('a subject that is no uuid', '{"role": "authenticated", "sub": "auth0|1"}'),
            ('an empty subject', '{"role": "authenticated", "sub": ""}'),
            ('no subject', '{"role": "authenticated"}'),
            ('anon', '{"role": "anon"}'),
            ('empty claims', '{}'),
            ('no claims', '')
    loop
        begin
            perform set_config('request.jwt.claims', one.column2, true), set_config('role', 'authenticated', true);
            perform count(m.workspace_id), count(m.role) from job_scheduler.memberships() as m;
        exception when others then -- which also takes the settings back
            faults := faults || jsonb_build_object('caller', one.column1, 'error', sqlerrm);
        end;
        perform set_config('role', me, true), set_config('request.jwt.claims', coalesce(my_claims, ''), true);
    end loop;
    return faults;
end
$$;
revoke all on function public.check_memberships_v1(jsonb) from public, anon, authenticated;
grant execute on function public.check_memberships_v1(jsonb) to service_role;
