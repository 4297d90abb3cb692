-- Jobs that a source made change by their source only: a user cancels, pauses, resumes and runs them, and nothing else.
create or replace function job_scheduler.keep_to_source()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    changed record;
begin
    if tg_op = 'DELETE' then
        raise exception 'scheduled_jobs.job_id: "%" follows its source and is not to be deleted', old.job_id
        using errcode = '42501', hint = 'Cancel the job, or delete the row that it follows.';
    end if;
    select n.key, n.value into changed
    from jsonb_each(to_jsonb(new)) as n
    where n.key <> 'status' and n.value is distinct from to_jsonb(old) -> n.key
    order by n.key
    limit 1;
    if found then
        raise exception 'scheduled_jobs.%: % is not allowed in job "%", which follows its source; expected %', changed.key,
            left(changed.value::text, 120), old.job_id, left((to_jsonb(old) -> changed.key)::text, 120)
        using errcode = '42501', hint = 'Cancel, pause, resume or run the job; all else follows the row that it was made of.';
    end if;
    return new;
end
$$;
revoke all on function job_scheduler.keep_to_source() from public;
