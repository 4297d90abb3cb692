"""Jobs that keep the catalogue in order: metadata of books, and files that belong to no book."""

from datetime import timedelta

from pydantic import BaseModel, Field

from library_jobs.others import ask
from listener import JobContext, handler

NOT_FOUND = 404
GRACE = timedelta(days=1)
"""An upload comes before the row of its book."""


class Refresh(BaseModel):
    """The payload of `refresh_metadata`."""

    older_than_days: int = Field(default=30, ge=1)
    most: int = Field(default=200, ge=1, le=1000)


@handler("refresh_metadata", timeout=600, max_attempts=3)
async def refresh_metadata(job: JobContext, payload: Refresh) -> dict[str, int]:
    """Ask the catalogue about books whose metadata are missing or old."""
    old = (job.now() - timedelta(days=payload.older_than_days)).isoformat()
    books = job.client.table("books")
    due = books.select("id,isbn").or_(f"metadata_at.is.null,metadata_at.lt.{old}").order("id").limit(payload.most)
    rows = (await due.execute()).data
    if job.test_mode:
        return {"would_refresh": len(rows)}
    unknown = 0
    for number, row in enumerate(rows, 1):
        answer = await ask(job, "GET", f"/isbn/{row['isbn']}.json")
        change = {"metadata_at": job.now().isoformat(), "metadata_error": None}
        if answer.status_code == NOT_FOUND:
            unknown += 1
            change["metadata_error"] = "the catalogue does not know it"
        else:
            found = answer.json()
            change |= {"title": found["title"], "pages": found.get("number_of_pages")}
        await books.update(change).eq("id", row["id"]).execute()  # each by itself: what is done stays done
        await job.progress(number / len(rows))
    return {"refreshed": len(rows) - unknown, "unknown": unknown}


@handler("cleanup_orphans", timeout=300)
async def cleanup_orphans(job: JobContext) -> dict[str, int]:
    """Delete files whose book is gone."""
    before = (job.now() - GRACE).isoformat()
    assets = job.client.table("assets")
    if job.test_mode:
        found = (
            await assets.select("id", count="exact", head=True)
            .is_("book_id", "null")
            .lt("created_at", before)
            .execute()
        )
        return {"would_delete": found.count}
    gone = (await assets.delete().is_("book_id", "null").lt("created_at", before).execute()).data
    for asset in gone:
        job.log.info("deleted", path=asset["path"])
    return {"deleted": len(gone)}
