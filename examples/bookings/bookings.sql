-- A migration of the project's own: its table, who may see and write its rows, and the source that gives each confirmed
-- booking a job.
create table public.bookings (
    id bigint generated always as identity primary key,
    room text not null,
    ends_at timestamptz not null,
    status text not null default 'confirmed' check (status in ('confirmed', 'cancelled', 'ended')),
    user_id uuid not null default auth.uid()
);
create index on public.bookings (user_id);
alter table public.bookings enable row level security;
grant select, insert, update, delete on public.bookings to authenticated, service_role;
create policy bookings_of_their_user on public.bookings to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

select job_scheduler.add_source(
    name => 'booking-ended', source => 'public.bookings', due_at => 'ends_at', handler => 'booking_ended',
    condition => $$status = 'confirmed'$$, metadata => $$jsonb_build_object('booking_id', id)$$, owner => 'user_id',
    title => $$'The booking of room ' || room || ' ends'$$
);

notify pgrst, 'reload schema'; -- PostgREST learns of the table
