-- The same, also where one of the rows makes it fail.

-- Reads these rows and makes their jobs right.
create or replace function job_scheduler.settle_keys(
    this job_scheduler.sources, keys text[], restart boolean,
    out wanted bigint, out scheduled bigint, out moved bigint, out cancelled bigint, out taken text[], out busy text[]
)
language plpgsql
set search_path = ''
as $$
declare
    rows jsonb;
begin
    execute format('select job_scheduler.%I($1)', this.rows_function) into rows using keys;
    select s.* into wanted, scheduled, moved, cancelled, taken, busy
    from job_scheduler.settle_rows(this, keys, rows, restart) as s;
end
$$;
revoke all on function job_scheduler.settle_keys(job_scheduler.sources, text[], boolean) from public;

-- Settles rows one at a time. One that fails is named in `failures`, and has no job that is due at another time than it
-- says; one that has to wait for a lock is in `busy`.
create or replace function job_scheduler.settle_one_by_one(
    this job_scheduler.sources, keys text[], restart boolean,
    out wanted bigint, out scheduled bigint, out moved bigint, out cancelled bigint, out taken text[], out busy text[],
    out failures jsonb
)
language plpgsql
set search_path = ''
as $$
declare
    one record;
    key text;
    message text;
    patience integer := 3; -- locks that are waited for: each costs a lock_timeout
begin
    wanted := 0; scheduled := 0; moved := 0; cancelled := 0; taken := '{}'; busy := '{}'; failures := '[]';
    foreach key in array keys loop
        if patience = 0 then
            busy := busy || key;
            continue;
        end if;
        message := null;
        begin
            select * into one from job_scheduler.settle_keys(this, array[key], restart);
        exception
            when serialization_failure or deadlock_detected then
                raise;
            when lock_not_available then
                patience := patience - 1;
                busy := busy || key;
                continue;
            when others then
                message := sqlerrm;
        end;
        if message is not null then
            failures := failures || jsonb_build_object('key', key, 'error', message);
            select * into one from job_scheduler.settle_rows(this, array[key], '{}', false);
            one.wanted := 1;
        end if;
        wanted := wanted + one.wanted;
        scheduled := scheduled + one.scheduled;
        moved := moved + one.moved;
        cancelled := cancelled + one.cancelled;
        taken := taken || one.taken;
        busy := busy || one.busy;
    end loop;
end
$$;
revoke all on function job_scheduler.settle_one_by_one(job_scheduler.sources, text[], boolean) from public;

-- Settles rows, however many fail, and keeps which and why in source_errors. Those that have to wait are put on the list
-- again, behind the others of their tenant. -> {total, jobs_scheduled, …, errors, failures: [{key, error}]}
create or replace function job_scheduler.settle_each(this job_scheduler.sources, keys text[], restart boolean)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    done record;
    failed jsonb;
begin
    begin
        select s.*, '[]'::jsonb as failures into done from job_scheduler.settle_keys(this, keys, restart) as s;
    exception
        when serialization_failure or deadlock_detected then
            raise;
        when others then
            select * into done from job_scheduler.settle_one_by_one(this, keys, restart);
    end;
    insert into job_scheduler.changed_rows (source, tenant, key)
    select this.name, job_scheduler.turn_of(j.created_by, j.workspace_id), b.key
    from unnest(done.busy) as b (key)
    left join lateral (
        select job.created_by, job.workspace_id from public.scheduled_jobs as job
        where job.source = this.name and job.job_id = this.name || ':' || b.key
        order by job.id desc
        limit 1
    ) as j on true;
    select done.failures || coalesce(jsonb_agg(jsonb_build_object(
        'key', t.key, 'error', format('job_id "%s:%s" is taken by a job that is not of this source', this.name, t.key)
    )), '[]') into failed
    from unnest(done.taken) as t (key);
    delete from job_scheduler.source_errors as e
    where e.source = this.name and e.key = any(keys) and not failed @> jsonb_build_array(jsonb_build_object('key', e.key));
    insert into job_scheduler.source_errors as e (source, key, error)
    select this.name, f.value ->> 'key', f.value ->> 'error' from jsonb_array_elements(failed) as f (value)
    on conflict on constraint source_errors_pkey do update set error = excluded.error, tried_at = now();
    return jsonb_build_object(
        'total', done.wanted,
        'jobs_scheduled', done.scheduled,
        'jobs_already_exist', done.wanted - done.scheduled - jsonb_array_length(failed),
        'jobs_moved', done.moved,
        'jobs_cancelled', done.cancelled,
        'jobs_locked', cardinality(done.busy),
        'errors', jsonb_array_length(failed),
        'failures', failed
    );
end
$$;
revoke all on function job_scheduler.settle_each(job_scheduler.sources, text[], boolean) from public;
