-- Meetings are a source: an upcoming one has a job, and it is set to done while the job runs.
select job_scheduler.compile_source(
    'meeting-status', 'public.meetings', 'meeting_status',
    jsonb_build_object(
        'due_at', 'end_time', 'condition', $$status = 'upcoming'$$, 'finished', $$status = 'done'$$,
        'metadata', $$jsonb_build_object('meeting_id', id)$$, 'owner', 'created_by', 'workspace', 'workspace_id',
        'title', 'title', 'revision', 'revision'
    ),
    'UTC', '', false -- the quotas hold at the insert of a meeting
);
update job_scheduler.sources set is_checked = true where name = 'meeting-status'; -- each start of a listener does it
