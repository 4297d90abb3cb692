-- Notes changed rows of sources for the service, and notifies the listeners.

-- In whose turn the service looks at a row: the user's who owns it, else its workspace's, else one for all others.
create or replace function job_scheduler.turn_of(created_by uuid, workspace_id uuid)
returns uuid
language sql
immutable
set search_path = ''
as $$
    select coalesce(created_by, workspace_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
$$;
revoke all on function job_scheduler.turn_of(uuid, uuid) from public;

-- Notes the keys of the rows that a statement changed. Its arguments: source, the columns of owner and workspace, empty
-- where these are no plain columns, and the columns of the key. It never fails the write: a start of a listener checks all.
create or replace function job_scheduler.note_changed_rows()
returns trigger
language plpgsql
security definer -- a client may neither note nor notify by itself
set search_path = ''
set timezone = 'UTC' -- a key that is an instant has one text
set datestyle = 'ISO'
as $$
declare
    key constant text := case
        when tg_nargs = 4 then format('r.%I::text', tg_argv[3])
        else (
            select format(
                'job_scheduler.key_text(array[%s])', string_agg(format('r.%I::text', k.name), ', ' order by k.number)
            )
            from unnest(tg_argv[3:]) with ordinality as k (name, number)
        )
    end;
    noted constant text := format(
        'select %L, job_scheduler.turn_of(%s, %s), %s from ', tg_argv[0],
        coalesce('r.' || quote_ident(nullif(tg_argv[1], '')), 'null'),
        coalesce('r.' || quote_ident(nullif(tg_argv[2], '')), 'null'), key
    );
    changed bigint;
begin
    execute 'insert into job_scheduler.changed_rows (source, tenant, key) ' || case tg_op
        when 'INSERT' then noted || 'new_rows as r'
        when 'DELETE' then noted || 'old_rows as r'
        when 'UPDATE' then noted || 'new_rows as r union ' || noted || 'old_rows as r'
        else format('select %L, job_scheduler.turn_of(null, null), null', tg_argv[0])
    end;
    get diagnostics changed = row_count;
    if changed > 0 then
        perform job_scheduler.notify('sources', null);
    end if;
    return null;
exception when others then
    raise warning 'job_scheduler.note_changed_rows: %', sqlerrm;
    return null;
end
$$;
revoke all on function job_scheduler.note_changed_rows() from public;
