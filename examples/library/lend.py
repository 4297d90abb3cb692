"""A reader, with a token of her own: lends a book, and sees her own loans and nobody else's."""

import os
from datetime import UTC, datetime, timedelta

from supabase import ClientOptions, create_client

options = ClientOptions(headers={"Authorization": f"Bearer {os.environ['USER_TOKEN']}"})
client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_ANON_KEY"], options)

[book] = client.table("books").select("id,isbn").eq("isbn", "9780140449136").execute().data
due_on = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()  # noqa: TID251 - a client has the wall's clock alone
client.table("loans").insert({"book_id": book["id"], "email": "eva@example.com", "due_on": due_on}).execute()
loans = client.table("loans").select("email,book:books(isbn)").execute().data
print([f"{loan['book']['isbn']} lent by {loan['email']}" for loan in loans])
