"""An editor with a token of her own plans a newsletter, rehearses it, sends an issue, pauses it and looks back."""

import os
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import httpx
from supabase import ClientOptions, create_client

TOKEN = {"Authorization": f"Bearer {os.environ['USER_TOKEN']}"}
FEEDS = os.environ["FEEDS_URL"]
APP = f"{os.environ['APP_URL']}/api/v1/scheduler"
app = httpx.Client(headers=TOKEN)
supabase = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_ANON_KEY"], ClientOptions(headers=TOKEN))


def call(method: str, path: str, **body: object) -> dict:
    """Call the app."""
    answer = app.request(method, APP + path, json=body or None)
    answer.raise_for_status()
    return answer.json() if answer.content else {}


def run(newsletter: str, *, test_mode: bool) -> None:
    """Run it now, and show how each action ended."""
    started = call("POST", f"{newsletter}/run-now", test_mode=test_mode)["execution_id"]
    while (entry := call("GET", f"{newsletter}/history")[0])["execution_id"] != started or not entry["duration_ms"]:
        time.sleep(0.1)
    scraped, generated, sent = (action["result"] for action in entry["actions"])
    print(f"test mode {test_mode}: {entry['status']}; {len(scraped['items'])} news, {generated['subject']!r},", sent)


[workspace] = supabase.table("job_workspaces").insert({"name": "AI news"}).execute().data
mine = {"workspace_id": workspace["id"]}
sources = [
    {**mine, "name": name, "url": f"{FEEDS}/{path}"} for name, path in (("rss", "rss.xml"), ("json", "feed.json"))
]
supabase.table("newsletter_sources").insert(sources).execute()
readers = [{**mine, "email": f"{name}@example.com"} for name in ("ada", "grace")]
supabase.table("newsletter_subscribers").insert(readers).execute()

daily = {"schedule_type": "daily", "schedule_time": "08:00", "timezone": "America/New_York"}
new = call(
    "POST", "", name="Daily digest", **mine, **daily, config={"title": "AI daily", "max_items": 15, "days_back": 1}
)
path = f"/{new['id']}"
print(f"{new['name']} is {new['status']}: {', '.join(new['actions'])}")
while (due := call("GET", path)["next_run_at"]) is None:  # the listener computes it a moment after the insert
    time.sleep(0.05)
print(f"next at {datetime.fromisoformat(due).astimezone(ZoneInfo(new['timezone'])):%H:%M} in {new['timezone']}")
run(path, test_mode=True)
run(path, test_mode=False)
print("paused:", call("POST", f"{path}/pause")["status"], "- resumed:", call("POST", f"{path}/resume")["status"])
weekly = call("PUT", path, schedule_type="weekly", schedule_time="09:30", schedule_days=["saturday"])
print(f"now {weekly['schedule_type']} on {weekly['schedule_days'][0]} at {weekly['schedule_time']}")
print("history:", [(run["status"], run["test_mode"]) for run in call("GET", f"{path}/history")])
print(f"{call('GET', f'{path}/stats')['success_rate']:.0%} of the runs succeeded")
call("DELETE", path)
print("left:", call("GET", f"/workspace/{workspace['id']}"))
