"""Runs, and the jobs that make them: asking, cancelling, following."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import yaml
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import ConflictError, InputError, NotFoundError
from app.explanations.models import ExplanationSet
from app.researchers.models import AuditEvent
from app.runs.models import Job, Run
from app.runs.queue import QUEUES, defer_distillation

LOG_LIMIT = 200_000  # characters of a job's log that are kept: the newest
OPEN_STATES = ("queued", "running")


async def request_job(
    session: AsyncSession, config: str, *, queue: str = "cpu", researcher_id: int | None = None
) -> Job:
    """Ask for a distillation: the job and its place in the queue are stored together.

    The YAML is looked at here only so far that its name can be shown; the worker checks it in full, because only it has the
    training extra. Raises InputError for text that is no YAML mapping, or an unknown queue.
    """
    if queue not in QUEUES:
        raise InputError(f"there is no queue {queue!r}; the queues are: {', '.join(QUEUES)}")
    try:
        content = yaml.safe_load(config)
    except yaml.YAMLError as error:
        raise InputError(f"The configuration is not valid YAML: {error}") from error
    if not isinstance(content, dict) or not str(content.get("name") or "").strip():
        raise InputError("The configuration must be a YAML mapping with a `name` (see examples/tiny.yaml).")
    job = Job(name=str(content["name"]), queue=queue, config=config, requested_by=researcher_id, progress={}, log="")
    session.add(job)
    await session.flush()
    job.procrastinate_id = await defer_distillation(session, job.id, queue)
    session.add(
        AuditEvent(
            researcher_id=researcher_id, action="job.request", subject=f"job {job.id}", details={"name": job.name}
        )
    )
    return job


async def cancel_job(session: AsyncSession, job_id: int, *, researcher_id: int | None = None) -> Job:
    """Ask a job to stop: at once when it still waits, else at its next item or step; what it has done stays on disk.

    Raises NotFoundError, or ConflictError when it has ended already.
    """
    job = await session.get(Job, job_id, with_for_update=True)
    if job is None:
        raise NotFoundError(f"There is no job number {job_id}.")
    if job.state not in OPEN_STATES:
        raise ConflictError(f"Job {job_id} is {job.state} already; there is nothing to cancel.")
    job.cancel_requested = True
    if job.state == "queued":
        job.state, job.finished_at = "cancelled", datetime.now(UTC)
    session.add(AuditEvent(researcher_id=researcher_id, action="job.cancel", subject=f"job {job.id}", details={}))
    return job


async def begin_job(session: AsyncSession, job_id: int) -> Job | None:
    """Called by the worker: mark a job as running; None when it was cancelled or has ended (a job is delivered at least once)."""
    job = await session.get(Job, job_id, with_for_update=True)
    if job is None or job.state not in OPEN_STATES:
        return None
    job.state, job.attempts = "running", job.attempts + 1
    job.started_at = job.started_at or datetime.now(UTC)
    return job


async def report_progress(session: AsyncSession, job_id: int, progress: dict[str, Any], log: str) -> bool:
    """Called by the worker: store how far the job is and append to its log. True when it was asked to stop."""
    statement = (
        update(Job)
        .where(Job.id == job_id)
        .values(progress=progress, log=func.right(Job.log + log, LOG_LIMIT))
        .returning(Job.cancel_requested)
    )
    return bool(await session.scalar(statement))


async def end_job(session: AsyncSession, job_id: int, state: str, error: str | None = None) -> None:
    """Called by the worker: the job has ended as `state`."""
    await session.execute(
        update(Job).where(Job.id == job_id).values(state=state, error=error, finished_at=datetime.now(UTC))
    )


async def list_jobs(session: AsyncSession, limit: int = 50) -> Sequence[Job]:
    """The newest jobs."""
    return (await session.scalars(select(Job).order_by(Job.id.desc()).limit(limit))).all()


async def get_job(session: AsyncSession, job_id: int) -> Job:
    """One job. Raises NotFoundError."""
    job = await session.get(Job, job_id)
    if job is None:
        raise NotFoundError(f"There is no job number {job_id}.")
    return job


async def list_runs(session: AsyncSession) -> Sequence[Run]:
    """All runs, newest first."""
    return (await session.scalars(select(Run).order_by(Run.id.desc()))).all()


async def get_run(session: AsyncSession, run_id: int) -> tuple[Run, ExplanationSet | None]:
    """One run and the set of its explanations. Raises NotFoundError."""
    run = await session.get(Run, run_id)
    if run is None:
        raise NotFoundError(f"There is no run number {run_id}.")
    explanation_set = await session.scalar(select(ExplanationSet).where(ExplanationSet.run_id == run_id))
    return run, explanation_set
