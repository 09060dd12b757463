"""Jobs: asked for, followed, cancelled; the queue and the job's row never disagree."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import ConflictError, InputError, NotFoundError
from app.runs import service
from app.runs.models import Job

YAML = "name: tiny\nseed: 1\n"


async def queued(session: AsyncSession) -> int:
    return int(await session.scalar(text("select count(*) from procrastinate_jobs")) or 0)


async def test_a_job_and_its_place_in_the_queue_are_stored_together(session: AsyncSession) -> None:
    job = await service.request_job(session, YAML, queue="gpu")
    assert (job.name, job.state, await queued(session)) == ("tiny", "queued", 1)
    await session.rollback()
    assert await session.scalar(select(func.count()).select_from(Job)) == 0
    assert await queued(session) == 0


@pytest.mark.parametrize(
    ("config", "queue", "message"),
    [
        ("name: [", "cpu", "not valid YAML"),
        ("- a list", "cpu", "must be a YAML mapping with a `name`"),
        ("seed: 1", "cpu", "must be a YAML mapping with a `name`"),
        (YAML, "tpu", "there is no queue 'tpu'; the queues are: cpu, gpu"),
    ],
)
async def test_a_request_that_cannot_be_done_is_refused(
    session: AsyncSession, config: str, queue: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        await service.request_job(session, config, queue=queue)
    assert await queued(session) == 0


async def test_a_waiting_job_is_cancelled_at_once_and_never_begun(session: AsyncSession) -> None:
    job = await service.request_job(session, YAML)
    await service.cancel_job(session, job.id)
    assert job.state == "cancelled" and job.finished_at is not None
    assert await service.begin_job(session, job.id) is None
    with pytest.raises(ConflictError, match="is cancelled already"):
        await service.cancel_job(session, job.id)


async def test_a_running_job_learns_of_the_wish_to_stop_when_it_reports(session: AsyncSession) -> None:
    job = await service.request_job(session, YAML)
    await service.begin_job(session, job.id)
    assert not await service.report_progress(session, job.id, {"stage": "teacher", "done": 1, "total": 9}, "began\n")
    await service.cancel_job(session, job.id)
    assert await service.report_progress(session, job.id, {"stage": "teacher", "done": 2, "total": 9}, "on\n")
    await session.refresh(job)
    assert (job.progress["done"], job.log, job.state) == (2, "began\non\n", "running")


async def test_a_log_keeps_its_newest_end(session: AsyncSession) -> None:
    job = await service.request_job(session, YAML)
    await service.report_progress(session, job.id, {}, "a" * service.LOG_LIMIT)
    await service.report_progress(session, job.id, {}, "the end")
    await session.refresh(job)
    assert len(job.log) == service.LOG_LIMIT and job.log.endswith("the end")


async def test_an_unknown_job_is_told(session: AsyncSession) -> None:
    with pytest.raises(NotFoundError, match="no job number 7"):
        await service.get_job(session, 7)
