"""Schedule and watch jobs from an application, on a stock Supabase client; nothing here runs them."""

from listener.client.columns import JobSchedulerConfig
from listener.client.errors import (
    JobAmbiguous,
    JobExists,
    JobFault,
    JobForbidden,
    JobNotFound,
    JobRefused,
    NaiveDatetimeWarning,
    Unreachable,
)
from listener.client.meeting_schedulers import AsyncSchedulerService, SchedulerService, scheduler_service
from listener.client.models import Execution, Job, JobType, LogLine, Statistics
from listener.client.scheduler import AsyncSupabaseJobScheduler, SupabaseJobScheduler
from listener.client.watch import Watch
from listener.domain.job import TriggerType
from listener.domain.status import JobStatus, RunStatus

__all__ = [
    "AsyncSchedulerService",
    "AsyncSupabaseJobScheduler",
    "Execution",
    "Job",
    "JobAmbiguous",
    "JobExists",
    "JobFault",
    "JobForbidden",
    "JobNotFound",
    "JobRefused",
    "JobSchedulerConfig",
    "JobStatus",
    "JobType",
    "LogLine",
    "NaiveDatetimeWarning",
    "RunStatus",
    "SchedulerService",
    "Statistics",
    "SupabaseJobScheduler",
    "TriggerType",
    "Unreachable",
    "Watch",
    "scheduler_service",
]
