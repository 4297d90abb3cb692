-- The triggers of alerts, in firing order as in 90_triggers.sql.

create or replace trigger t10_keep_workspace
before update on public.job_alert_channels
for each row when ((old.workspace_id, old.created_by) is distinct from (new.workspace_id, new.created_by))
execute function job_scheduler.keep_workspace();

create or replace trigger t20_admit_channel
before insert or update on public.job_alert_channels
for each row execute function job_scheduler.admit_channel();

create or replace trigger t30_take_secret
before insert or update on public.job_alert_channels
for each row when (new.secret is not null)
execute function job_scheduler.take_secret();

create or replace trigger t40_bound_channels
after insert on public.job_alert_channels
for each row when (row_security_active('public.job_alert_channels'::regclass))
execute function job_scheduler.bound_alerting('max_alert_channels');

create or replace trigger t50_ask_to_confirm
after insert on public.job_alert_channels
for each row when (new.confirmed_at is null)
execute function job_scheduler.ask_to_confirm();

create or replace trigger t50_ask_to_confirm_changed
after update of target on public.job_alert_channels
for each row when (new.confirmed_at is null and old.target is distinct from new.target)
execute function job_scheduler.ask_to_confirm();

create or replace trigger t10_keep_workspace
before update on public.job_alert_rules
for each row when ((old.workspace_id, old.created_by) is distinct from (new.workspace_id, new.created_by))
execute function job_scheduler.keep_workspace();

create or replace trigger t20_admit_rule
before insert or update on public.job_alert_rules
for each row execute function job_scheduler.admit_rule();

create or replace trigger t30_bound_rules
after insert on public.job_alert_rules
for each row when (row_security_active('public.job_alert_rules'::regclass))
execute function job_scheduler.bound_alerting('max_alert_rules');

create or replace trigger t10_settle_alert
before update of status on public.job_alerts
for each row when (
    old.status <> new.status and (
        coalesce(current_setting('job_scheduler.stage', true), '') <> 'service'
        or current_user in ('authenticated', 'service_role')
    )
)
execute function job_scheduler.settle_alert();
