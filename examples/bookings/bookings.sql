-- A migration of the project's own: its table, and the source that gives each confirmed booking a job.
create table public.bookings (
    id bigint generated always as identity primary key,
    room text not null,
    ends_at timestamptz not null,
    status text not null default 'confirmed',
    user_id uuid
);
alter table public.bookings enable row level security;
grant select, insert, update, delete on public.bookings to service_role;

select job_scheduler.add_source(
    name => 'booking-ended', source => 'public.bookings', due_at => 'ends_at', handler => 'booking_ended',
    condition => $$status = 'confirmed'$$, metadata => $$jsonb_build_object('booking_id', id)$$, owner => 'user_id'
);

notify pgrst, 'reload schema'; -- PostgREST learns of the table
