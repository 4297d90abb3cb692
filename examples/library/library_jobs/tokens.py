"""Tokens for the services of others, which are renewed before they expire."""

from datetime import timedelta

from library_jobs.others import ask
from listener import Fail, JobContext, handler

AHEAD = timedelta(hours=7)
"""The job comes every six hours; a token that expires before the next time is renewed now."""
OK, BAD_REQUEST = 200, 400


@handler("refresh_tokens", timeout=120, max_attempts=3)
async def refresh_tokens(job: JobContext) -> dict[str, int]:
    """Renew the tokens that expire soon, each by itself. A token that its provider refuses for good is `revoked`."""
    tokens = job.client.table("oauth_tokens")
    soon = (job.now() + AHEAD).isoformat()
    due = tokens.select("id,provider,refresh_token").eq("status", "active").lt("expires_at", soon).order("id")
    rows = (await due.execute()).data
    if job.test_mode:
        return {"would_renew": len(rows)}
    renewed = 0
    for row in rows:
        form = {"grant_type": "refresh_token", "refresh_token": row["refresh_token"]}
        answer = await ask(job, "POST", "/token", data=form)
        if answer.status_code == BAD_REQUEST:
            await tokens.update({"status": "revoked"}).eq("id", row["id"]).execute()
            job.log.warning("revoked: its owner has to sign in again", provider=row["provider"])
            continue
        if answer.status_code != OK:
            raise Fail(reason="refused", message=f"{row['provider']} answered {answer.status_code}")
        fresh = answer.json()
        change = {
            "access_token": fresh["access_token"],
            "refresh_token": fresh.get("refresh_token", row["refresh_token"]),
            "expires_at": (job.now() + timedelta(seconds=fresh["expires_in"])).isoformat(),
        }
        await tokens.update(change).eq("id", row["id"]).execute()
        renewed += 1
    return {"renewed": renewed, "revoked": len(rows) - renewed}
