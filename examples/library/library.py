"""An app that lends books: it schedules through `listener.client`, as the signed-in user, and runs no job itself."""

import os
import time
from datetime import UTC, datetime, timedelta

from listener.client import JobExists, JobRefused, JobSchedulerConfig, SupabaseJobScheduler, TriggerType

config = JobSchedulerConfig(retry_failed_jobs=True, max_retries=3, store_job_results=True, cleanup_after_days=7)


def lend(scheduler: SupabaseJobScheduler, reader: str, book: str, back: datetime) -> None:
    """Remind the reader a minute before the book is due; lending twice is one reminder."""
    loan = {"reader": reader, "book": book}
    job = scheduler.schedule_reminder(book, back, handler="bring_back", minutes_before=1, metadata=loan)
    print(f"{job.job_id} {job.status} for {job.metadata['reader']}")


def main() -> None:
    """Lend, extend, watch, and schedule a list every morning."""
    with SupabaseJobScheduler(
        config, "Europe/Berlin", key=os.environ["SUPABASE_ANON_KEY"], access_token=os.environ["USER_TOKEN"]
    ) as scheduler:
        soon = datetime.now(UTC) + timedelta(seconds=63)  # noqa: TID251 - a client has the wall's clock alone
        lend(scheduler, "ada", "Sophie's World", soon)
        lend(scheduler, "ada", "Sophie's World", soon)
        try:
            lend(scheduler, "grace", "Sophie's World", soon)
        except JobExists as taken:
            print(f"lent already: another {' and '.join(taken.differs)}")

        watch = scheduler.watch("reminder_Sophie's World")
        print(*watch, sep=" → ")
        print(watch.job.result["sent"])

        morning = scheduler.schedule_recurring("overdue_list", TriggerType.DAILY, "morning", hour=8)
        print(f"{morning.job_id} at {morning.schedule['time']} in {morning.timezone}")
        trial = scheduler.run_job_now(morning, test_mode=True)
        while not (trial := scheduler.get_execution(trial)).is_final:
            time.sleep(0.05)
        print(f"trial {trial.status}: {trial.result}")
        try:
            scheduler.schedule_recurring("overdue_list", TriggerType.DAILY, hour=8, timezone="Europe/Atlantis")
        except JobRefused as refused:
            print(f"{refused.column} {refused.value}: expected {refused.allowed}")


if __name__ == "__main__":
    main()
