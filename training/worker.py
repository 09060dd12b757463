"""The worker: takes distillation jobs from the queue in PostgreSQL and publishes what they made.

The only file of training/ that knows the application. A job survives its worker: a worker that dies leaves a stale heartbeat, and
another one takes the job up where its files stand. A job asked to stop does so between two items or steps.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import procrastinate
from procrastinate.exceptions import JobAborted
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.database.embedded import database_url, plain_url
from app.database.migrate import upgrade
from app.database.session import command_session, make_engine, make_sessions
from app.runs import service
from app.runs.publishing import publish_run
from app.runs.queue import DISTILL_TASK, QUEUES, queue_app
from app.settings import Settings, get_settings
from training.errors import Cancelled, TrainingInputError

log = logging.getLogger("blindrate.worker")
REPORT_EVERY = 1.0  # seconds between two reports of progress to the database
HEARTBEAT = 5.0  # seconds
STALLED_AFTER = 20.0  # seconds without a heartbeat after which a worker counts as dead
T = TypeVar("T")


def prepare_database() -> None:
    """Bring the database to the newest schema: before hours of work whose results are to go into it, not after them."""
    upgrade(database_url(get_settings()))


async def publish(
    out: Path, run_names: list[str] | None = None, *, settings: Settings | None = None, job_id: int | None = None
) -> list[str]:
    """Store the finished runs below `out` (all, or `run_names`) in one transaction; what was stored, in words.

    Repeating it stores nothing twice.
    """
    manifest, folders = await asyncio.to_thread(_finished_runs, out)
    told = []
    async with command_session(settings) as session:
        for folder in folders:
            if run_names is not None and folder.name not in run_names:
                continue
            run, new = await publish_run(session, folder, manifest=manifest, job_id=job_id)
            told.append(f"{run.name}: {'published' if new else 'was published already'} as run {run.id}")
    return told


def _finished_runs(out: Path) -> tuple[dict[str, Any], list[Path]]:
    """The manifest of a distillation's folder, and the folders of the runs that are finished."""
    manifest_file = out / "manifest.json"
    if not manifest_file.is_file():
        raise TrainingInputError(
            f"{out}: there is no manifest.json; this is not a folder that `blindrate distill --out` made"
        )
    folders = sorted(path.parent for path in out.glob("runs/*/explanations.jsonl"))
    if not folders:
        raise TrainingInputError(
            f"{out}: there is no finished run to publish; run `blindrate distill` to the end first"
        )
    return json.loads(manifest_file.read_text()), folders


class Reporter:
    """Carries progress from the pipeline's thread to the database, at most once a second, and brings back the wish to stop."""

    def __init__(self, job_id: int, call: Callable[[Callable[[AsyncSession], Coroutine[Any, Any, Any]]], Any]) -> None:
        self.job_id, self.call = job_id, call
        self.stop_asked = False
        self.last, self.stage, self.stage_began, self.stage_first = 0.0, "", 0.0, 0
        self.progress: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int, info: Mapping[str, float]) -> None:
        """The pipeline's progress callback."""
        now = time.monotonic()
        line = ""
        if stage != self.stage:
            self.stage, self.stage_began, self.stage_first = stage, now, done
            line = f"{datetime.now(UTC):%H:%M:%S} {stage}: {done} of {total}\n"
            log.info("job %d: %s, %d of %d", self.job_id, stage, done, total)
        made, elapsed = done - self.stage_first, now - self.stage_began
        eta = round(elapsed / made * (total - done)) if made > 0 and total >= done else None
        self.progress = {"stage": stage, "done": done, "total": total, "eta_seconds": eta, "info": dict(info)}
        if line or done >= total or now - self.last >= REPORT_EVERY:
            self.last = now
            self.send(line)

    def send(self, line: str = "") -> None:
        """Store the progress and add a line to the log."""
        progress = self.progress
        self.stop_asked = bool(self.call(lambda s: service.report_progress(s, self.job_id, progress, line)))


def _run_job(context: procrastinate.JobContext, job_id: int) -> None:
    """One distillation, in a thread of its own. Its files are below data_dir/jobs/<job id>; what is there already is not made again."""
    from training.config import load_config
    from training.pipeline import run_pipeline

    loop: asyncio.AbstractEventLoop = context.additional_context["loop"]
    sessions: async_sessionmaker[AsyncSession] = context.additional_context["sessions"]
    settings: Settings = context.additional_context["settings"]

    def call(work: Callable[[AsyncSession], Coroutine[Any, Any, T]]) -> T:
        async def transaction() -> T:
            async with sessions() as session, session.begin():
                return await work(session)

        return asyncio.run_coroutine_threadsafe(transaction(), loop).result()

    job = call(lambda s: service.begin_job(s, job_id))
    if job is None:
        log.info("job %d has ended or was cancelled; nothing to do", job_id)
        return
    folder = settings.data_dir / "jobs" / str(job_id)
    folder.mkdir(parents=True, exist_ok=True)
    config_file, out = folder / "config.yaml", folder / "out"
    config_file.write_text(job.config)
    reporter = Reporter(job_id, call)
    reporter.send(f"{datetime.now(UTC):%H:%M:%S} attempt {job.attempts}: {job.name}\n")
    log.info("job %d (%s): attempt %d, files in %s", job_id, job.name, job.attempts, folder)

    def end(state: str, error: str | None = None) -> None:
        call(lambda s: service.end_job(s, job_id, state, error))
        log.log(
            logging.ERROR if error else logging.INFO,
            "job %d ended: %s%s",
            job_id,
            state,
            f" ({error})" if error else "",
        )

    try:
        run_pipeline(
            load_config(config_file), out, resume=True, progress=reporter,
            should_stop=lambda: reporter.stop_asked or context.should_abort(),
        )  # fmt: skip
        told = asyncio.run_coroutine_threadsafe(publish(out, settings=settings, job_id=job_id), loop).result()
        reporter.send("".join(f"{line}\n" for line in told))
        end("succeeded")
    except Cancelled as error:
        if reporter.stop_asked:
            reporter.send("cancelled; what was made so far is kept\n")
            end("cancelled")
            return
        reporter.send("the worker was stopped; another one goes on from here\n")
        raise JobAborted from error
    except Exception as error:
        known = getattr(error, "exit_code", None)
        reporter.send(f"{error}\n" if known else traceback.format_exc())
        message = str(error) or type(error).__name__
        if "out of memory" in message.lower() or isinstance(error, MemoryError):
            message = (
                f"the job did not fit in memory ({message}); lower batch_size and raise gradient_accumulation instead"
            )
        end("failed", message)


@asynccontextmanager
async def _context(settings: Settings) -> Any:
    engine = make_engine(database_url(settings))
    try:
        yield {"loop": asyncio.get_running_loop(), "sessions": make_sessions(engine), "settings": settings}
    finally:
        await engine.dispose()


async def _take_up_stalled(queue: procrastinate.App) -> None:
    """Put the jobs of dead workers back into the queue."""
    for job in await queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER):
        log.warning("job %s: its worker is gone; it goes back into the queue", job.task_kwargs.get("job_id"))
        await queue.job_manager.retry_job(job)


async def _watch(queue: procrastinate.App) -> None:
    """Look for dead workers for as long as this one lives."""
    while True:
        await asyncio.sleep(HEARTBEAT)
        await _take_up_stalled(queue)


async def run_worker(settings: Settings, queues: list[str] | None, *, wait: bool = True) -> None:
    """Work off jobs until SIGINT or SIGTERM (or, with wait=False, until there are none)."""
    queue = queue_app(plain_url(database_url(settings)))
    queue.task(name=DISTILL_TASK, pass_context=True, retry=procrastinate.RetryStrategy(retry_exceptions=[JobAborted]))(
        _run_job
    )
    async with queue.open_async(), _context(settings) as context:
        await _take_up_stalled(queue)
        watch = asyncio.create_task(_watch(queue))
        try:
            await queue.run_worker_async(
                queues=queues or list(QUEUES), wait=wait, concurrency=1, additional_context=context, shutdown_graceful_timeout=0.5,
                update_heartbeat_interval=HEARTBEAT, stalled_worker_timeout=STALLED_AFTER, fetch_job_polling_interval=2.0,
            )  # fmt: skip
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch


@click.command(epilog="Example: blindrate worker --queue gpu")
@click.option(
    "--queue",
    "queues",
    multiple=True,
    type=click.Choice(QUEUES),
    help="Take jobs of this queue only (may be repeated).",
)
@click.option("--until-empty", is_flag=True, help="Stop when there is nothing left to do.")
def worker(queues: tuple[str, ...], until_empty: bool) -> None:
    """Work off distillation jobs until Ctrl-C. A job that is stopped goes on from where it was."""
    from training.memory import (
        share_one_heap,  # needs torch: a missing training extra is told here, not by the first job
    )

    share_one_heap()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    settings = get_settings()
    prepare_database()
    log.info("waiting for jobs (%s); Ctrl-C stops", ", ".join(queues) or "all queues")
    asyncio.run(run_worker(settings, list(queues) or None, wait=not until_empty))
