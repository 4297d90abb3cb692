-- The tables that `n_more_real_frames` was made with, beside those of tables.sql.
create table t1 (id bigint primary key, status text, amount numeric, n int);
create table t2 (a int, b text, v text, primary key (a, b));
create table t3 (id uuid primary key, m mood, ts timestamptz, b bool, big text, j jsonb, arr int[]);
alter table t3 replica identity full;

create table own (id bigint primary key, owner uuid, status text);
alter table own replica identity full;
alter table own enable row level security;
create policy own on own for select to authenticated using (owner = auth.uid());

alter publication supabase_realtime add table t1, t2, t3, own;
grant select on t1, t2, t3, own to anon, authenticated, service_role;

create policy read_rw on realtime.messages for select to authenticated using (realtime.topic() like 'rw:%');
create policy write_rw on realtime.messages for insert to authenticated with check (realtime.topic() like 'rw:%');
create policy read_ro on realtime.messages for select to authenticated using (realtime.topic() like 'ro:%');
