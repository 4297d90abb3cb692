-- Counts the instants that this transaction skips, by reason, for the listener's metrics. A trigger, so that no function that
-- skips one has to remember it.
create or replace function job_scheduler.count_skipped()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    counts constant jsonb := job_scheduler.skipped();
begin
    perform set_config('job_scheduler.skipped', jsonb_set(
        counts, array[coalesce(new.reason, 'unknown')], to_jsonb(coalesce((counts ->> new.reason)::integer, 0) + 1)
    )::text, true);
    return null;
end
$$;
revoke all on function job_scheduler.count_skipped() from public;

-- Returns what this transaction has skipped so far: {reason: count}.
create or replace function job_scheduler.skipped()
returns jsonb
language sql
stable
set search_path = ''
as $$
    select coalesce(nullif(current_setting('job_scheduler.skipped', true), ''), '{}')::jsonb
$$;
revoke all on function job_scheduler.skipped() from public;
