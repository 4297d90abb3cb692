-- A client's change of status: pause, resume, cancel, run again.
create or replace function job_scheduler.change_status()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if old.status = 'running' and new.status not in ('cancelled', 'paused') or new.status = 'running' then
        raise exception 'scheduled_jobs.status: "%" is not allowed after "%"; only the service starts and ends a run',
            new.status, old.status
        using errcode = '22023', hint = 'A client pauses, resumes, cancels, or schedules a finished job again.';
    end if;
    new.changed_in := pg_current_xact_id()::text::bigint;
    new.revision := job_scheduler.next_revision(old.revision);
    new.updated_at := now();
    if new.status = 'scheduled' then
        new.defined_at := now();
        new.attempt := case when old.status = 'paused' then new.attempt else 0 end;
        new.error := case when old.status = 'paused' then old.error end;
        -- A job keeps its due instant while it is paused: those that passed are entered as skipped, a retry that waits
        -- resumes as the retry that it is, and a job whose last instant ran meanwhile gets no other (see move_jobs). A
        -- finished job that runs again has a due instant of its own.
        if old.status = 'paused' then
            if new.due_at is not null and not new.is_planned then
                new.due_at := null;
                new.is_planned := true;
            end if;
        else
            new.due_at := case when new.trigger_type = 'once' then greatest(new.run_date, now()) end;
            new.is_planned := new.trigger_type = 'once';
        end if;
        if not new.is_planned and new.trigger_type = 'interval' then
            new.due_at := job_scheduler.first_multiple(new);
            new.is_planned := new.due_at is not null;
        end if;
        new.next_run_at := new.due_at;
    else
        new.due_at := case when new.status = 'paused' then new.due_at end;
        new.is_planned := new.is_planned or new.status = 'cancelled';
        new.next_run_at := null;
    end if;
    if new.status = 'scheduled' and old.status in ('completed', 'failed', 'cancelled') then
        -- Now, because whether the statement's trigger fires is decided before what comes after rows.
        perform job_scheduler.count_revived(new.workspace_id, new.created_by);
    end if;
    return new;
end
$$;

-- A resumed job shows as running while the run goes on that it was paused in. If its last instant ran meanwhile, the job
-- ends as that run did. Both by way of the states that lead there.
create or replace function job_scheduler.settle_resumed(job public.scheduled_jobs)
returns void
language plpgsql
set search_path = ''
as $$
declare
    stage constant text := coalesce(current_setting('job_scheduler.stage', true), '');
begin
    perform set_config('job_scheduler.stage', 'service', true);
    if exists (
        select from public.job_executions as e
        where
            e.scheduled_job_id = job.id and e.status = 'running' and e.lease_expires_at is not null
            and e.cause = 'schedule' and e.stopped_at is null
    ) then
        update public.scheduled_jobs set status = 'running' where id = job.id;
    elsif job.due_at is null and job.is_planned and not exists (
        select from public.job_executions as e
        where e.scheduled_job_id = job.id and e.status = 'queued' and e.cause = 'schedule'
    ) then
        update public.scheduled_jobs set status = 'running' where id = job.id;
        update public.scheduled_jobs
        set status = coalesce((
            select e.status from public.job_executions as e
            where
                e.scheduled_job_id = job.id and e.status in ('completed', 'failed', 'cancelled')
                and e.cause = 'schedule' and e.stopped_at is null
            order by e.completed_at desc
            limit 1
        ), 'completed')
        where id = job.id;
    end if;
    perform set_config('job_scheduler.stage', stage, true);
end
$$;
revoke all on function job_scheduler.settle_resumed(public.scheduled_jobs) from public;

-- Settles what follows from a client's change of status, or from one to what it was.
create or replace function job_scheduler.settle_status()
returns trigger
language plpgsql
security definer -- only the service starts and ends a run, and a client may not write the ledger
set search_path = ''
as $$
begin
    if old.status = 'paused' and new.status = 'scheduled' then
        if old.claimed_by is not null or new.due_at is null and new.is_planned then
            perform job_scheduler.settle_resumed(new);
        end if;
    elsif new.status = 'cancelled' and old.status <> 'cancelled' then
        if old.claimed_by is not null then
            perform job_scheduler.notify_stopped(new.id);
        end if;
    elsif old.status = new.status and (old.claimed_by is not null or old.queued_runs > 0) and (
        new.status = 'cancelled'
        or new.status in ('completed', 'failed') and coalesce(current_setting('job_scheduler.act', true), '') = 'cancel'
    ) then
        perform job_scheduler.stop_asked_for(new.id);
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.settle_status() from public;

-- Recomputes when the service must next act on a job from its due instant and its queued runs.
create or replace function job_scheduler.refresh_wake(job bigint)
returns void
language plpgsql
security definer -- it writes columns that the service owns, for a client's permitted act
set search_path = ''
as $$
declare
    stage text := coalesce(current_setting('job_scheduler.stage', true), '');
begin
    perform set_config('job_scheduler.stage', 'service', true);
    update public.scheduled_jobs as j
    set
        queued_runs = q.waiting,
        next_run_at = least(case when j.status in ('scheduled', 'running') then j.due_at end, q.first),
        revision = job_scheduler.next_revision(j.revision),
        changed_in = pg_current_xact_id()::text::bigint
    from (
        select
            count(*) as waiting,
            min(e.run_at) filter (
                where e.cause = 'manual' or s.status = 'scheduled' or s.status = 'running' and s.overlap = 'allow'
            ) as first
        from public.scheduled_jobs as s
        left join public.job_executions as e on e.scheduled_job_id = s.id and e.status = 'queued'
        where s.id = job and e.id is not null
    ) as q
    where j.id = job;
    perform set_config('job_scheduler.stage', stage, true);
end
$$;
revoke all on function job_scheduler.refresh_wake(bigint) from public;

-- Cancels the queued runs of a cancelled or re-timed job; a paused one keeps its retries.
create or replace function job_scheduler.settle_queue()
returns trigger
language plpgsql
security definer -- a client may not write the ledger
set search_path = ''
as $$
declare
    is_cancelled constant boolean := new.status = 'cancelled' and old.status <> 'cancelled';
begin
    if old.status = new.status and job_scheduler.is_due_alike(new, old) then
        return null;
    end if;
    if is_cancelled then
        perform job_scheduler.mark_stopped(new.id);
    end if;
    if is_cancelled or not job_scheduler.is_due_alike(new, old) then
        update public.job_executions
        set status = 'cancelled', reason = case when is_cancelled then 'cancelled' else 'edited' end, completed_at = now()
        where scheduled_job_id = new.id and status = 'queued' and (cause = 'schedule' or is_cancelled);
    end if;
    if old.queued_runs > 0 then -- else it would write the row once more, and watchers would see that
        perform job_scheduler.refresh_wake(new.id);
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.settle_queue() from public;

create or replace function job_scheduler.refuse_transition()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception 'scheduled_jobs.status: "%" is not allowed after "%"', new.status, old.status
    using errcode = '22023',
        hint = case
            when new.status = any(array['scheduled', 'running', 'completed', 'failed', 'cancelled', 'paused'])
                then 'See the state machine in the documentation.'
            else 'Expected one of scheduled, running, completed, failed, cancelled, paused.'
        end;
end
$$;

revoke all on function
job_scheduler.change_status(),
job_scheduler.refuse_transition()
from public;
