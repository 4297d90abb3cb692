-- Failures alike: what differs between two of a kind, such as ids, instants and amounts, is left out.

-- The first line of an error without ids and words that have digits, unless those are said to be a status or a code; null
-- for a run that has not failed.
create or replace function job_scheduler.error_fingerprint(status text, reason text, error text)
returns text
language sql
immutable
set search_path = ''
as $$
    select case
        when status = 'failed' then
            md5(
                coalesce(reason, '') || ':'
                || regexp_replace(
                    left(split_part(coalesce(error, ''), e'\n', 1), 300),
                    E'\\m[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\M|(?<!(http|status|code)[ :=]*)\\m\\w*\\d\\w*', '#', 'gi'
                )
            )
    end
$$;
revoke all on function job_scheduler.error_fingerprint(text, text, text) from public;
grant execute on function job_scheduler.error_fingerprint(text, text, text) to authenticated, service_role;

-- Computed by the write that ends a run; for one that completed that is a comparison of its status.
alter table public.job_executions add column if not exists error_fingerprint text
generated always as (
    case when status = 'failed' then job_scheduler.error_fingerprint(status, reason, error) end
) stored;

comment on column public.job_executions.error_fingerprint is
    'The same for failures that differ only in ids, instants and amounts; null for a run that has not failed.';
