"""The operator: gives the admin's workspace the eight jobs. Repeated, it gives them the schedules that stand here."""

import os

from listener.client import SupabaseJobScheduler

SCHEDULES = {
    "refresh_metadata": "0 3 * * *",
    "cleanup_orphans": "0 4 * * 0",
    "expire_sessions": "*/15 * * * *",
    "send_notifications": "*/5 * * * *",
    "generate_stats": "0 * * * *",
    "backup_database": "0 2 * * *",
    "refresh_tokens": "0 */6 * * *",
    "loan_reminders": "0 9 * * *",
}


def workspace_of_admin() -> str:
    """Return the workspace "Library" of the signed-in admin, who becomes its admin by making it."""
    with SupabaseJobScheduler(key=os.environ["SUPABASE_ANON_KEY"], access_token=os.environ["USER_TOKEN"]) as admin:
        workspaces = admin.client.table("job_workspaces")
        found = workspaces.select("id").eq("name", "Library").execute().data
        return (found or workspaces.insert({"name": "Library"}).execute().data)[0]["id"]


def main() -> None:
    """Schedule: with the service's key, since these handlers are not for everybody who is signed in."""
    key = os.environ["SUPABASE_SERVICE_ROLE_KEY"]
    with SupabaseJobScheduler(timezone="Europe/Oslo", key=key, workspace_id=workspace_of_admin()) as operator:
        there = {job.job_id for job in operator.list_jobs()}
        for name, expression in SCHEDULES.items():
            schedule = {"expression": expression}
            new = {} if name in there else {"status": "paused"}  # the admin enables it
            operator.schedule_recurring(name, "cron", name, schedule=schedule, columns=new, replace_existing=True)
            print(f"{name:20}{expression}")


if __name__ == "__main__":
    main()
