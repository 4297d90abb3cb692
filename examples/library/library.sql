-- A migration of the project's own: what a library keeps, who may see it, and what its statistics are made of.
create table public.books (
    id bigint generated always as identity primary key,
    isbn text not null unique,
    title text,
    pages integer,
    metadata_at timestamptz,
    metadata_error text
);
create table public.assets (
    id bigint generated always as identity primary key,
    book_id bigint references public.books (id) on delete set null,
    path text not null unique,
    created_at timestamptz not null default now()
);
create table public.sessions (
    id bigint generated always as identity primary key,
    reader_id uuid not null default auth.uid(),
    book_id bigint not null references public.books (id) on delete cascade,
    started_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '30 minutes',
    ended_at timestamptz,
    pages_read integer not null default 0
);
create table public.loans (
    id bigint generated always as identity primary key,
    reader_id uuid not null default auth.uid(),
    email text not null,
    book_id bigint not null references public.books (id),
    due_on date not null,
    returned_at timestamptz
);
create table public.notification_queue (
    id bigint generated always as identity primary key,
    key text not null unique, -- what it is about, so that nothing is queued twice
    email text not null,
    subject text not null,
    message text not null,
    status text not null default 'queued' check (status in ('queued', 'handed over')),
    created_at timestamptz not null default now()
);
create table public.reading_statistics (
    reader_id uuid not null,
    day date not null,
    sessions integer not null,
    minutes integer not null,
    pages integer not null,
    primary key (reader_id, day)
);
create table public.oauth_tokens (
    id bigint generated always as identity primary key,
    provider text not null unique,
    access_token text,
    refresh_token text not null,
    expires_at timestamptz not null,
    status text not null default 'active' check (status in ('active', 'revoked'))
);
create index on public.assets (book_id);
create index on public.sessions (book_id);
create index on public.sessions (expires_at) where ended_at is null;
create index on public.sessions (started_at);
create index on public.loans (book_id);
create index on public.loans (due_on) where returned_at is null;
create index on public.notification_queue (id) where status = 'queued';

-- Readers see the books, and write and see what is their own. Everything else is for the service alone.
alter table public.books enable row level security;
alter table public.assets enable row level security;
alter table public.sessions enable row level security;
alter table public.loans enable row level security;
alter table public.notification_queue enable row level security;
alter table public.reading_statistics enable row level security;
alter table public.oauth_tokens enable row level security;
grant select, insert, update, delete on
public.books, public.assets, public.sessions, public.loans, public.notification_queue, public.reading_statistics,
public.oauth_tokens
to service_role;
grant select on public.books, public.sessions, public.loans, public.reading_statistics to authenticated;
grant insert (book_id), update (pages_read, ended_at) on public.sessions to authenticated;
grant insert (book_id, email, due_on), update (returned_at) on public.loans to authenticated;
create policy books_select on public.books for select to authenticated using (true);
create policy sessions_select on public.sessions for select to authenticated using (reader_id = (select auth.uid()));
create policy sessions_insert on public.sessions for insert to authenticated with check (reader_id = (select auth.uid()));
create policy sessions_update on public.sessions for update to authenticated
using (reader_id = (select auth.uid())) with check (reader_id = (select auth.uid()));
create policy loans_select on public.loans for select to authenticated using (reader_id = (select auth.uid()));
create policy loans_insert on public.loans for insert to authenticated with check (reader_id = (select auth.uid()));
create policy loans_update on public.loans for update to authenticated
using (reader_id = (select auth.uid())) with check (reader_id = (select auth.uid()));
create policy statistics_select on public.reading_statistics for select to authenticated
using (reader_id = (select auth.uid()));

-- Counts each reader's sessions of the days from `since` on anew; a repetition changes nothing.
create function public.count_reading(since date)
returns integer
language sql
security invoker
set search_path = ''
as $$
    with counted as (
        insert into public.reading_statistics as r (reader_id, day, sessions, minutes, pages)
        select
            s.reader_id, (s.started_at at time zone 'UTC')::date, count(*),
            sum(extract(epoch from s.ended_at - s.started_at) / 60)::integer, sum(s.pages_read)
        from public.sessions as s
        where s.ended_at is not null and s.started_at >= count_reading.since::timestamp at time zone 'UTC'
        group by 1, 2
        on conflict (reader_id, day) do update
        set sessions = excluded.sessions, minutes = excluded.minutes, pages = excluded.pages
        returning 1
    )
    select count(*)::integer from counted
$$;
revoke all on function public.count_reading(date) from public, anon, authenticated;
grant execute on function public.count_reading(date) to service_role;

notify pgrst, 'reload schema'; -- PostgREST learns of the tables
