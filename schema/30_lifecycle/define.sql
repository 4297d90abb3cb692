-- Checks that every write to scheduled_jobs must pass, and the revision that it gets.
--
-- Service functions announce themselves by the transaction-local setting job_scheduler.stage = 'service', which counts only
-- where they write, as their owner: whoever has SQL access can set it. All else is a client's write.

-- Refuses a client's write of a column that the service owns, by name.
create or replace function job_scheduler.refuse_owned_columns()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    owner_is_forged boolean := current_user in ('anon', 'authenticated', 'service_role')
        and new.created_by is distinct from (case when tg_op = 'INSERT' then auth.uid() else old.created_by end);
    source_is_forged boolean := current_user in ('anon', 'authenticated', 'service_role')
        and new.source is distinct from (case when tg_op = 'UPDATE' then old.source end);
    offender text;
begin
    if tg_op = 'INSERT' then
        offender := case
            when owner_is_forged then 'created_by'
            when source_is_forged then 'source'
            when new.next_run_at is not null then 'next_run_at'
            when new.attempt <> 0 then 'attempt'
            when new.last_run_at is not null then 'last_run_at'
            when new.last_run_status is not null then 'last_run_status'
            when new.last_run_duration_ms is not null then 'last_run_duration_ms'
            when new.total_runs <> 0 then 'total_runs'
            when new.successful_runs <> 0 then 'successful_runs'
            when new.failed_runs <> 0 then 'failed_runs'
            when new.result is not null then 'result'
            when new.error is not null then 'error'
            when new.progress is not null then 'progress'
            when new.step is not null then 'step'
            when new.claimed_by is not null then 'claimed_by'
            when new.lease_expires_at is not null then 'lease_expires_at'
            when new.revision <> 0 then 'revision'
            when new.changed_in <> 0 then 'changed_in'
            when new.created_at <> now() then 'created_at'
            when new.updated_at <> now() then 'updated_at'
            when new.due_at is not null then 'due_at'
            when new.is_planned then 'is_planned'
            when new.defined_at <> now() then 'defined_at'
            when new.queued_runs <> 0 then 'queued_runs'
            when new.scheduled_runs <> 0 then 'scheduled_runs'
        end;
    else
        offender := case
            when owner_is_forged then 'created_by'
            when source_is_forged then 'source'
            when new.next_run_at is distinct from old.next_run_at then 'next_run_at'
            when new.attempt <> old.attempt then 'attempt'
            when new.last_run_at is distinct from old.last_run_at then 'last_run_at'
            when new.last_run_status is distinct from old.last_run_status then 'last_run_status'
            when new.last_run_duration_ms is distinct from old.last_run_duration_ms then 'last_run_duration_ms'
            when new.total_runs <> old.total_runs then 'total_runs'
            when new.successful_runs <> old.successful_runs then 'successful_runs'
            when new.failed_runs <> old.failed_runs then 'failed_runs'
            when new.result is distinct from old.result then 'result'
            when new.error is distinct from old.error then 'error'
            when new.progress is distinct from old.progress then 'progress'
            when new.step is distinct from old.step then 'step'
            when new.claimed_by is distinct from old.claimed_by then 'claimed_by'
            when new.lease_expires_at is distinct from old.lease_expires_at then 'lease_expires_at'
            when new.revision <> old.revision then 'revision'
            when new.changed_in <> old.changed_in then 'changed_in'
            when new.created_at <> old.created_at then 'created_at'
            when new.updated_at <> old.updated_at then 'updated_at'
            when new.due_at is distinct from old.due_at then 'due_at'
            when new.is_planned <> old.is_planned then 'is_planned'
            when new.defined_at <> old.defined_at then 'defined_at'
            when new.queued_runs <> old.queued_runs then 'queued_runs'
            when new.scheduled_runs <> old.scheduled_runs then 'scheduled_runs'
        end;
    end if;
    if offender is not null then
        raise exception 'scheduled_jobs.% is written by the service only; leave it out', offender
        using errcode = '42501', hint = 'A client writes the definition of a job and its status.';
    end if;
    return new;
end
$$;

-- The revision of a row that changes: this transaction, but more than before, because a transaction that began earlier may
-- change the row later, and listeners ignore older revisions. Polls go by the column changed_in, which has no more and no
-- less than the transaction.
create or replace function job_scheduler.next_revision(previous bigint)
returns bigint
language sql
volatile
set search_path = ''
as $$
    select greatest(previous + 1, pg_current_xact_id()::text::bigint)
$$;
revoke all on function job_scheduler.next_revision(bigint) from public;
grant execute on function job_scheduler.next_revision(bigint) to authenticated, service_role; -- their writes fire triggers

-- The first due instant of a job of trigger `interval` that is defined as of defined_at, the same as listener/domain/schedule.py
-- computes. Null, for the service to compute it: if that lies after the end, or if the interval has parts of a microsecond.
create or replace function job_scheduler.first_multiple(job public.scheduled_jobs)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
    step constant numeric := (job.schedule ->> 'seconds')::numeric * 1000000;
    passed constant numeric := extract(epoch from job.defined_at - job.run_date) * 1000000;
    first constant timestamptz := job.run_date + greatest(div(passed + step - 1, step), 0) * step * interval '1 microsecond';
begin
    return case when step % 1 = 0 and (job.ends_at is null or first <= job.ends_at) then first end;
end
$$;
revoke all on function job_scheduler.first_multiple(public.scheduled_jobs) from public;
grant execute on function job_scheduler.first_multiple(public.scheduled_jobs)
to authenticated, service_role; -- as next_revision

-- A new job: checked, dated, and due at once if it runs once. Other recurring jobs than intervals are planned by the service.
create or replace function job_scheduler.define_job()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if new.status not in ('scheduled', 'paused') then
        raise exception 'scheduled_jobs.status: "%" is not allowed in a new job; expected "scheduled" or "paused"', new.status
        using errcode = '22023';
    end if;
    perform job_scheduler.check_definition(new);
    new.changed_in := pg_current_xact_id()::text::bigint;
    new.revision := new.changed_in;
    if new.trigger_type = 'once' then
        new.due_at := new.run_date;
        new.is_planned := true;
        new.next_run_at := case when new.status = 'scheduled' then new.run_date end;
    elsif new.trigger_type = 'interval' and new.status = 'scheduled' then
        new.due_at := job_scheduler.first_multiple(new);
        new.is_planned := new.due_at is not null;
        new.next_run_at := new.due_at;
    end if;
    return new;
end
$$;

-- Whether two states of a job are due at the same instants.
create or replace function job_scheduler.is_due_alike(a public.scheduled_jobs, b public.scheduled_jobs)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select
        (a.trigger_type, a.run_date, a.schedule, a.timezone, a.ends_at, a.max_runs, a.dst_gap, a.dst_fold)
        is not distinct from
        (b.trigger_type, b.run_date, b.schedule, b.timezone, b.ends_at, b.max_runs, b.dst_gap, b.dst_fold)
$$;

-- An edited job: a new time replaces the old one, so that no past instant runs.
create or replace function job_scheduler.redefine_job()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform job_scheduler.check_definition(new);
    new.changed_in := pg_current_xact_id()::text::bigint;
    new.revision := job_scheduler.next_revision(old.revision);
    new.updated_at := now();
    if not job_scheduler.is_due_alike(new, old) then
        new.defined_at := now();
        new.attempt := case when new.status = 'running' then old.attempt else 0 end;
        -- That a recurring job that runs has no instant says to its listener that it was edited.
        new.due_at := case
            when new.trigger_type = 'once' then new.run_date
            when new.trigger_type = 'interval' and new.status = 'scheduled' then job_scheduler.first_multiple(new)
        end;
        new.is_planned := new.trigger_type = 'once' or new.due_at is not null;
        new.next_run_at := case when new.status in ('scheduled', 'running') then new.due_at end;
    end if;
    return new;
end
$$;

revoke all on function
job_scheduler.refuse_owned_columns(),
job_scheduler.define_job(),
job_scheduler.is_due_alike(public.scheduled_jobs, public.scheduled_jobs),
job_scheduler.redefine_job()
from public;
grant execute on function
job_scheduler.is_due_alike(public.scheduled_jobs, public.scheduled_jobs)
to authenticated, service_role; -- their writes fire the triggers that call them
