"""The application: `uvicorn newsletter_app.main:app`, with SUPABASE_URL and SUPABASE_ANON_KEY."""

from fastapi import FastAPI

from listener.client import JobFault
from newsletter_app.access import say_what_was_refused
from newsletter_app.routes import router

app = FastAPI(title="Newsletters")
app.include_router(router)
app.add_exception_handler(JobFault, say_what_was_refused)
