"""Stands for the services of others: a catalogue of books, and a provider of OAuth tokens. For one's own machine."""

from urllib.parse import parse_qsl

from fastapi import FastAPI, HTTPException, Request

BOOKS = {
    "9780374266424": {"title": "Sophie's World", "number_of_pages": 403},
    "9780140449136": {"title": "Crime and Punishment", "number_of_pages": 671},
}
app = FastAPI()


@app.get("/isbn/{isbn}.json")
async def book(isbn: str) -> dict[str, str | int]:
    """Describe a book, in the form of Open Library."""
    if isbn not in BOOKS:
        raise HTTPException(404)
    return BOOKS[isbn]


@app.post("/token")
async def token(request: Request) -> dict[str, str | int]:
    """Exchange a refresh token, as RFC 6749 says; the one named "withdrawn" was revoked by its owner."""
    form = dict(parse_qsl((await request.body()).decode()))
    old = form.get("refresh_token")
    if form.get("grant_type") != "refresh_token" or not old or old == "withdrawn":
        raise HTTPException(400, {"error": "invalid_grant"})
    return {"access_token": f"access after {old}", "refresh_token": f"{old}+1", "expires_in": 86400}
