-- A migration of the project's own: once a meeting's job has set it to done, a job of the shipped handler `webhook`
-- says so. It has attempts and a ledger of its own, so an app that is down hears of it later.
create table public.meeting_hooks (
    id integer primary key default 1 check (id = 1),
    url text not null,
    token text not null
);
alter table public.meeting_hooks enable row level security;
grant select, insert, update on public.meeting_hooks to service_role;

create function public.call_meeting_hook()
returns trigger
language plpgsql
security definer -- the hook's token is nobody's to read
set search_path = ''
as $$
begin
    insert into public.scheduled_jobs (job_id, handler, metadata)
    select
        'meeting-completed:' || new.id, 'webhook',
        jsonb_build_object(
            'url', h.url,
            'headers', jsonb_build_object('X-Hook-Token', h.token),
            'body', jsonb_build_object('meeting_id', new.id, 'title', new.title, 'ended_at', new.end_time)
        )
    from public.meeting_hooks as h
    where (select auth.uid()) is null -- a user who sets a meeting to done is not its job, and would own this one
    on conflict do nothing;
    return null;
end
$$;
revoke all on function public.call_meeting_hook() from public, anon, authenticated;

create trigger call_meeting_hook
after update of status on public.meetings
for each row when (old.status = 'upcoming' and new.status = 'done')
execute function public.call_meeting_hook();

notify pgrst, 'reload schema'; -- PostgREST learns of the table
