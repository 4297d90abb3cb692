-- A day in the library, so that each job finds something to do.
insert into public.books (isbn) values ('9780374266424'), ('9780140449136'), ('9999999999999');
insert into public.assets (book_id, path, created_at)
values (1, 'covers/9780374266424.jpg', now()), (null, 'covers/of-a-book-that-went.jpg', now() - interval '3 days');
insert into public.sessions (reader_id, book_id, started_at, expires_at, ended_at, pages_read)
select 'aaaaaaaa-0000-4000-8000-000000000001'::uuid, s.book_id, date_trunc('day', now(), 'UTC'), s.expires_at, s.ended_at, s.pages
from
    (
        values
        (1, now() + interval '10 minutes', now(), 12),
        (2, now() - interval '1 minute', null, 40)
    ) as s (book_id, expires_at, ended_at, pages);
insert into public.oauth_tokens (provider, refresh_token, expires_at)
values ('catalogue', 'first', now() + interval '1 hour'), ('reviews', 'withdrawn', now() + interval '1 hour');
