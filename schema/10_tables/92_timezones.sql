-- A copy, because reading pg_timezone_names opens 1,200 files (about 50 ms), and because PostgreSQL alone would
-- also take "europe/berlin", "+03" and "EST5EDT4", which the listener's zone database does not know.
create table if not exists job_scheduler.timezones (
    name text primary key
);

comment on table job_scheduler.timezones is 'The IANA zones that PostgreSQL knew when this was installed.';

insert into job_scheduler.timezones (name)
select zone.name
from pg_catalog.pg_timezone_names as zone
where zone.name !~ '^(posix|right)/' and zone.name not in ('Factory', 'localtime', 'posixrules')
on conflict (name) do nothing;
