do $migration$
declare
    body constant text := $file$
-- Marks the running run of a cancelled job: its end is entered, but does not change the job, not even if it was scheduled
-- again meanwhile.
create or replace function job_scheduler.mark_stopped(job bigint)
returns void
language sql
set search_path = ''
as $$
    update public.job_executions
    set stopped_at = now()
    where id in (
        select e.id from public.job_executions as e
        where e.scheduled_job_id = job and e.status = 'running' and e.stopped_at is null
        for update skip locked -- a transaction that writes its end now waits for this job, and finds it cancelled
    )
$$;
revoke all on function job_scheduler.mark_stopped(bigint) from public;

-- Cancelling a job that has ended stops its manual runs, and the job stays as it is. Written as an update of its status to
-- what it is, so that the policies decide who may.
create or replace function job_scheduler.stop_asked_for(job bigint)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform job_scheduler.mark_stopped(job);
    update public.job_executions
    set status = 'cancelled', reason = 'cancelled', completed_at = now()
    where scheduled_job_id = job and status = 'queued';
    perform job_scheduler.refresh_wake(job);
    perform job_scheduler.notify_stopped(job);
end
$$;
revoke all on function job_scheduler.stop_asked_for(bigint) from public;

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

-- The listeners' private topic is nobody's to join or to send to, whatever a project's other policies allow: restrictive
-- policies, which say nothing of any other topic and cannot raise. service_role and the database's own functions are not
-- bound by policies. Realtime asks them with a row of the topic that is to be joined or sent to.
create or replace function job_scheduler.guard_topic()
returns void
language plpgsql
set search_path = ''
as $$
declare
    act record;
begin
    if to_regclass('realtime.messages') is null then
        return;
    end if;
    for act in
        select * from (values
            ('select', 'using'), ('insert', 'with check'), ('update', 'using'), ('delete', 'using')
        ) as a (verb, clause)
    loop
        execute format('drop policy if exists %I on realtime.messages', 'job_scheduler_topic_' || act.verb);
        execute format(
            'create policy %I on realtime.messages as restrictive for %s to public %s '
            '(topic is distinct from ''job_scheduler'')',
            'job_scheduler_topic_' || act.verb, act.verb, act.clause
        );
    end loop;
exception when others then -- `listener doctor` says that they are missing
    raise warning 'job_scheduler.guard_topic: %', sqlerrm;
end
$$;
revoke all on function job_scheduler.guard_topic() from public;

select job_scheduler.guard_topic();

-- The policies on the listeners' topic: whether ours are there, and the names of those that hold for every topic.
-- {} -> {now, guarded: boolean | null, blanket: [name]}; null where this database has no Realtime
create or replace function public.examine_topic_v1(request jsonb) -- noqa: RF02
returns json
language sql
stable
security definer
set search_path = ''
as $$
    select json_build_object(
        'now', clock_timestamp(),
        'guarded', case
            when to_regclass('realtime.messages') is not null
                then count(*) filter (where p.permissive = 'RESTRICTIVE' and starts_with(p.policyname, 'job_scheduler_topic_')) = 4
        end,
        'blanket', coalesce(json_agg(p.policyname order by p.policyname) filter (
            where p.permissive = 'PERMISSIVE' and p.roles && '{public,anon,authenticated}'::name[]
                and concat(p.qual, p.with_check) not like '%topic%'
        ), '[]')
    )
    from pg_catalog.pg_policies as p
    where p.schemaname = 'realtime' and p.tablename = 'messages' and request is not null
$$;
revoke all on function public.examine_topic_v1(jsonb) from public, anon, authenticated;
grant execute on function public.examine_topic_v1(jsonb) to service_role;

-- Admits a client's manual run: whatever else it wrote, the ledger row is a queued manual run of that job, by its owner.
create or replace function job_scheduler.admit_manual_run()
returns trigger
language plpgsql
security definer -- a client may not write the ledger's other columns
set search_path = ''
as $$
begin
    select j.workspace_id, j.created_by into new.workspace_id, new.created_by
    from public.scheduled_jobs as j
    where j.id = new.scheduled_job_id
    for update; -- the job's wake time is computed next: two runs requested at once must not miss each other
    new.status := 'queued';
    new.attempt := 1;
    new.scheduled_for := clock_timestamp();
    new.run_at := new.scheduled_for;
    new.listener_id := null;
    new.lease_expires_at := null;
    return new;
end
$$;
revoke all on function job_scheduler.admit_manual_run() from public;

create or replace function job_scheduler.queue_manual_run()
returns trigger
language plpgsql
security definer -- see refresh_wake, notify and audit_change
set search_path = ''
as $$
begin
    perform job_scheduler.refresh_wake(new.scheduled_job_id);
    perform job_scheduler.notify('scheduled_jobs', null);
    perform job_scheduler.audit_manual_run(new);
    return null;
end
$$;
revoke all on function job_scheduler.queue_manual_run() from public;

-- Sends a message through these channels: a NOTIFY, a row that postgres_changes delivers, and a private broadcast where the
-- database has that function. Each may be lost, so it never fails the write that sends it. A NOTIFY has less than 8,000 bytes:
-- a longer message becomes one that causes a poll. It would fail the commit if half of PostgreSQL's queue were not free.
create or replace function job_scheduler.send(message jsonb, channels text[])
returns void
language plpgsql
set search_path = ''
as $$
begin
    if 'notify' = any(channels) and pg_notification_queue_usage() < 0.5 then
        perform pg_notify('job_scheduler', case
            when octet_length(message::text) < 8000 then message
            else message || '{"table": "scheduled_jobs", "rows": null}'
        end::text);
    end if;
    if '{postgres_changes,broadcast}' && channels then
        begin
            if 'postgres_changes' = any(channels) then
                insert into job_scheduler.signals (message) values (message);
            end if;
            if 'broadcast' = any(channels) and to_regprocedure('realtime.send(jsonb,text,text,boolean)') is not null then
                perform realtime.send(message, 'changed', 'job_scheduler', true);
            end if;
        exception when others then
            raise warning 'job_scheduler.notify: %', sqlerrm;
        end;
    end if;
end
$$;
revoke all on function job_scheduler.send(jsonb, text[]) from public;

-- Whether a listener receives NOTIFY. Without one nothing is sent: commits that send one wait for one another.
create or replace function job_scheduler.is_listened()
returns boolean
language plpgsql -- which keeps its plan; so do the others that each insert calls
stable
set search_path = ''
as $$
begin
    return exists (select from job_scheduler.listening as l where l.until > clock_timestamp());
end
$$;
revoke all on function job_scheduler.is_listened() from public;

-- Until when no statement notifies through Realtime, because every live listener receives NOTIFY; null while PostgreSQL's queue
-- may not take it.
create or replace function job_scheduler.spared_until()
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
    return (
        select least(l.spared_until, l.until)
        from job_scheduler.listening as l
        where l.spared_until is not null and pg_notification_queue_usage() < 0.5
    );
end
$$;
revoke all on function job_scheduler.spared_until() from public;

-- The channels through which a statement notifies: Realtime's unless muted or spared, and NOTIFY if somebody receives it and
-- there are not too many. After a mute listeners go on polling at short intervals for a second, so that they find what a
-- statement before its end has written; a later commit of it is found by an ordinary poll.
create or replace function job_scheduler.open_channels()
returns text[]
language plpgsql
stable
set search_path = ''
as $$
begin
    return (
        select
            case
                when
                    m.until > clock_timestamp()
                    or l.spared_until > clock_timestamp() and l.until > clock_timestamp() and pg_notification_queue_usage() < 0.5
                    then '{}'
                else '{broadcast,postgres_changes}'::text[]
            end
            || case
                when l.until > clock_timestamp() and not coalesce(m.notify_until > clock_timestamp(), false)
                    then '{notify}'::text[]
                else '{}'
            end
        from (select max(l.until) as until, max(l.spared_until) as spared_until from job_scheduler.listening as l) as l
        cross join (select max(m.until) as until, max(m.notify_until) as notify_until from job_scheduler.mute as m) as m
    );
end
$$;
revoke all on function job_scheduler.open_channels() from public;

-- Notifies the listeners of a change, through the open channels.
create or replace function job_scheduler.notify(what text, rows_changed jsonb)
returns void
language plpgsql
security definer -- a client may not send to the listeners' private topic itself
set search_path = ''
as $$
declare
    message constant jsonb := jsonb_build_object(
        'table', what, 'rows', rows_changed, 'xid', pg_current_xact_id()::text::bigint
    );
    channels text[] := job_scheduler.open_channels();
begin
    if what in ('cancelled_runs', 'stopped_runs', 'deleted_jobs') then
        insert into job_scheduler.stops (message) values (message);
    end if;
    if what = 'job_listeners' and 'broadcast' <> all(channels) then
        channels := channels || '{broadcast,postgres_changes}';
    end if;
    perform job_scheduler.send(message, channels);
end
$$;
revoke all on function job_scheduler.notify(text, jsonb) from public;

-- Names the cancelled job whose runs are to stop: if it is scheduled again at once, its row may never show it cancelled.
create or replace function job_scheduler.notify_stopped(job bigint)
returns void
language sql
set search_path = ''
as $$
    select job_scheduler.notify('cancelled_runs', (
        select jsonb_agg(e.id) from public.job_executions as e
        where e.scheduled_job_id = job and e.status = 'running'
    ))
$$;
revoke all on function job_scheduler.notify_stopped(bigint) from public;

-- One message for any number of rows. Plain one-time jobs are sent whole, so that a listener may claim them at once.
create or replace function job_scheduler.notify_inserted()
returns trigger
language plpgsql
security definer -- see notify
set search_path = ''
as $$
declare
    channels constant text[] := job_scheduler.open_channels();
    message jsonb;
begin
    if channels = '{}' then
        return null;
    end if;
    select jsonb_build_object(
        'table', 'scheduled_jobs', 'xid', pg_current_xact_id()::text::bigint,
        'rows', case
            when count(*) <= 100 and bool_and(n.trigger_type = 'once' and n.misfire <> 'skip')
                then jsonb_agg(
                    jsonb_build_array(
                        n.id, n.revision, n.next_run_at, n.priority, coalesce(n.workspace_id, n.created_by), n.created_by,
                        n.handler
                    )
                )
        end
    ) into message
    from (select * from new_rows limit 101) as n
    having count(*) > 0;
    if message is not null then
        perform job_scheduler.send(message, channels);
    end if;
    return null;
end
$$;
revoke all on function job_scheduler.notify_inserted() from public;

create or replace function job_scheduler.notify_changed()
returns trigger
language plpgsql
security definer -- see notify
set search_path = ''
as $$
begin
    perform job_scheduler.notify(tg_table_name, null);
    return null;
end
$$;
revoke all on function job_scheduler.notify_changed() from public;

-- Deleted rows are named, because no later poll would show them: up to thousands, as far as a message may be long.
create or replace function job_scheduler.notify_deleted()
returns trigger
language plpgsql
security definer -- see notify
set search_path = ''
as $$
begin
    perform job_scheduler.notify('deleted_jobs', m.gone)
    from (
        select jsonb_agg(jsonb_build_array(n.id)) as gone
        from (select o.id, (row_number() over () - 1) / 5000 as part from old_rows as o) as n
        group by n.part
    ) as m;
    return null;
end
$$;
revoke all on function job_scheduler.notify_deleted() from public;
$file$;
    left_alone constant text := null;
begin
    perform pg_advisory_xact_lock(7811901972405970290); -- one program at a time migrates a database
    if exists (select from job_scheduler.migrations where version = '20261130090200') then
        return;
    end if;
    if left_alone is not null then
        raise warning '%', left_alone;
        return;
    end if;
    execute body;
    insert into job_scheduler.migrations (version, name, checksum)
    values ('20261130090200', 'guard_lifecycle', encode(sha256(convert_to(replace(body, e'\r', ''), 'UTF8')), 'hex'));
end
$migration$;
