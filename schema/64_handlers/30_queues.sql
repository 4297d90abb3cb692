-- Sends a message to a queue of Supabase Queues (the extension pgmq), where that is installed. Versions of pgmq that keep headers
-- get the run's idempotency key there, by which the reader of the queue recognises a repetition.
-- {queue, message, delay_seconds, idempotency_key} -> {message_id}
create or replace function public.send_queue_message_v1(request jsonb)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
    message_id bigint;
begin
    if to_regprocedure('pgmq.send(text, jsonb, integer)') is null then
        raise exception 'handler: queue_message needs Supabase Queues, and this database has no function pgmq.send(text, jsonb, integer)'
        using errcode = '0A000', hint = 'Enable Queues in the dashboard under Integrations, or: create extension pgmq;';
    elsif not exists (select from pg_catalog.pg_tables where schemaname = 'pgmq' and tablename = 'q_' || lower(request ->> 'queue')) then
        raise exception 'metadata.queue: there is no queue %', quote_nullable(request ->> 'queue')
        using errcode = '22023', hint = 'Create it: select pgmq.create(''its_name'');';
    end if;
    if to_regprocedure('pgmq.send(text, jsonb, jsonb, integer)') is not null then
        execute 'select pgmq.send($1, $2, $3, $4)' into message_id
        using
            request ->> 'queue', request -> 'message', jsonb_build_object('idempotency_key', request ->> 'idempotency_key'),
            (request ->> 'delay_seconds')::integer;
    else
        execute 'select pgmq.send($1, $2, $3)' into message_id
        using request ->> 'queue', request -> 'message', (request ->> 'delay_seconds')::integer;
    end if;
    return json_build_object('message_id', message_id);
end
$$;
revoke all on function public.send_queue_message_v1(jsonb) from public, anon, authenticated;
grant execute on function public.send_queue_message_v1(jsonb) to service_role;
