"""A job scheduler for Supabase projects: insert a row, it runs on time, watch it live."""

from listener.app.embedded import running
from listener.errors import Fail, Retry, Snooze
from listener.handler_api.context import JobContext
from listener.handler_api.registry import handler

__all__ = ["Fail", "JobContext", "Retry", "Snooze", "handler", "running"]
