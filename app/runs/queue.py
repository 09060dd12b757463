"""The job queue (procrastinate, inside the same PostgreSQL). The application only asks for jobs; training/worker.py does them."""

from __future__ import annotations

import procrastinate
from sqlalchemy.ext.asyncio import AsyncSession

DISTILL_TASK = "blindrate.distill"
QUEUES = ("cpu", "gpu")


def queue_app(url: str | None = None) -> procrastinate.App:
    """The queue on the database at `url` (libpq form); without one, an app that can only defer on a given connection."""
    return procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url or ""))


async def defer_distillation(session: AsyncSession, job_id: int, queue: str) -> int:
    """Put a job into the queue in the session's own transaction: both are stored, or neither. Returns the queue's id."""
    raw = await (await session.connection()).get_raw_connection()
    task = queue_app().configure_task(DISTILL_TASK, queue=queue, lock=f"job-{job_id}", connection=raw.driver_connection)
    return await task.defer_async(job_id=job_id)
