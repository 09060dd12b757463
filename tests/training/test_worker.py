"""Jobs survive their worker: killed in any stage, the next one brings the same result; cancelled, they stop and keep what they made."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.database.embedded import plain_url
from app.database.session import make_engine, make_sessions
from app.explanations.models import Explanation
from app.runs import service
from app.runs.models import Job, Run

pytestmark = pytest.mark.slow
QUESTIONS_FILE = Path(__file__).resolve().parents[2] / "app" / "demo" / "questions.jsonl"
TIMEOUT = 240  # seconds, on a busy machine
Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
async def sessions(database: str) -> AsyncIterator[Sessions]:
    engine = make_engine(database)
    yield make_sessions(engine)
    await engine.dispose()


@pytest.fixture
def start_worker(database: str, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `blindrate worker` on this test's database; its log comes line by line on standard error."""

    def start(*options: str) -> subprocess.Popen[str]:
        environment = os.environ | {
            "BLINDRATE_DATABASE_URL": plain_url(database),
            "BLINDRATE_DATA_DIR": str(tmp_path / "data"),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "app.cli", "worker", *options]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    return start


def configuration(folder: Path, student: Path, teacher: dict[str, Any], **changes: Any) -> str:
    """A distillation small enough for a test: six questions to train on, sixty to be tested on."""
    content: dict[str, Any] = {
        "name": "killed",
        "questions": {
            "dataset": "blindrate",
            "train": {"path": str(QUESTIONS_FILE), "where": {"split": "train"}, "limit": 6},
            "test": {"path": str(QUESTIONS_FILE), "where": {"split": "test"}, "limit": 60},
        },
        "teacher": teacher,
        "students": [
            {
                "objectives": ["multitask"],
                "generation_methods": ["few_shot"],
                "models": [str(student)],
                "settings": {"max_steps": 40, "batch_size": 2, "save_every": 2, "validation_fraction": 0.0, "precision": "float32"},
            }
        ],
        "evaluation": {"batch_size": 1, "max_new_tokens": 12, "untrained_baseline": False},
    }  # fmt: skip
    return yaml.safe_dump(content | changes)


def made_teacher(folder: Path) -> dict[str, Any]:
    """Rationales that are there already, so that the test is about the student."""
    file = folder / "made.jsonl"
    questions = [json.loads(line) for line in QUESTIONS_FILE.read_text().splitlines()]
    rows = [
        {"id": q["id"], "few_shot": f"This is where {q['answer']} fits."} for q in questions if q["split"] == "train"
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"from": {"path": str(file), "mapping": {"id": "id", "few_shot": "few_shot"}}, "methods": ["few_shot"]}


def read_until(worker: subprocess.Popen[str], pattern: str) -> None:
    """Follow the worker's log until a line matches; raise with the log when it ends before, or takes too long."""
    assert worker.stderr is not None
    seen = []
    watchdog = threading.Timer(TIMEOUT, worker.kill)
    watchdog.start()
    for line in worker.stderr:
        seen.append(line)
        if re.search(pattern, line):
            watchdog.cancel()
            return
    raise AssertionError("".join(seen))


async def forget_the_heartbeat(sessions: Sessions) -> None:
    """What time does by itself: the killed worker's last sign of life becomes old."""
    from sqlalchemy import text

    async with sessions() as session, session.begin():
        await session.execute(text("update procrastinate_workers set last_heartbeat = now() - interval '1 hour'"))


async def outcome(sessions: Sessions, data: Path, job_id: int) -> tuple[str, str, list[str]]:
    """State and error of a job, and the explanations in its files."""
    async with sessions() as session:
        job = await service.get_job(session, job_id)
        files = sorted((data / "jobs" / str(job_id) / "out" / "runs").glob("*/explanations.jsonl"))
        texts = [json.loads(line)["explanation"] for file in files for line in file.read_text().splitlines()]
        return job.state, job.error or "", texts


async def kill_the_worker(
    sessions: Sessions, start_worker: Callable[..., subprocess.Popen[str]], config: str, when: str
) -> tuple[int, int]:
    """Ask for the same job twice, kill the worker when the first is at a stage, let another one finish both; their ids."""
    async with sessions() as session, session.begin():
        killed, undisturbed = (
            (await service.request_job(session, config)).id,
            (await service.request_job(session, config)).id,
        )
    worker = start_worker()
    read_until(worker, rf"job {killed}: {when}")
    worker.send_signal(signal.SIGKILL)
    worker.wait(20)
    await forget_the_heartbeat(sessions)
    async with sessions() as session:
        assert (await service.get_job(session, killed)).state == "running"  # it was killed in time
    start_worker("--until-empty").communicate(timeout=TIMEOUT)
    return killed, undisturbed


@pytest.mark.parametrize("stage", ["train", "evaluate"])
async def test_a_job_killed_while_it_trains_or_evaluates_ends_as_if_it_had_not_been(
    sessions: Sessions,
    start_worker: Callable[..., subprocess.Popen[str]],
    tiny_causal: Path,
    tmp_path: Path,
    stage: str,
) -> None:
    config = configuration(tmp_path, tiny_causal, made_teacher(tmp_path))
    killed, undisturbed = await kill_the_worker(sessions, start_worker, config, when=f"{stage} ")
    first, second = (
        await outcome(sessions, tmp_path / "data", killed),
        await outcome(sessions, tmp_path / "data", undisturbed),
    )
    assert first[:2] == ("succeeded", "") and first == second and len(first[2]) == 60


@pytest.mark.model
async def test_a_job_killed_while_the_teacher_writes_ends_with_the_same_rationales(
    sessions: Sessions,
    start_worker: Callable[..., subprocess.Popen[str]],
    small_model: Path,
    tiny_causal: Path,
    tmp_path: Path,
) -> None:
    teacher = {"engine": {"model": str(small_model)}, "methods": ["few_shot"], "max_new_tokens": 16, "batch_size": 1}
    config = configuration(tmp_path, tiny_causal, teacher)
    killed, undisturbed = await kill_the_worker(sessions, start_worker, config, when=".*few_shot")
    jobs = tmp_path / "data" / "jobs"
    sets = [(jobs / str(job) / "out/teacher/few_shot/rationales.jsonl").read_bytes() for job in (killed, undisturbed)]
    assert sets[0] == sets[1]
    assert await outcome(sessions, tmp_path / "data", killed) == await outcome(sessions, tmp_path / "data", undisturbed)


async def test_a_job_cancelled_while_it_trains_stops_and_publishes_nothing(
    sessions: Sessions, start_worker: Callable[..., subprocess.Popen[str]], tiny_causal: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load(configuration(tmp_path, tiny_causal, made_teacher(tmp_path)))
    config["students"][0]["settings"]["max_steps"] = 100_000
    async with sessions() as session, session.begin():
        job_id = (await service.request_job(session, yaml.safe_dump(config))).id
    worker = start_worker()
    read_until(worker, rf"job {job_id}: train ")
    async with sessions() as session, session.begin():
        await service.cancel_job(session, job_id)
    read_until(worker, rf"job {job_id} ended")
    worker.terminate()
    worker.communicate(timeout=TIMEOUT)
    state, error, texts = await outcome(sessions, tmp_path / "data", job_id)
    async with sessions() as session:
        published = await session.scalar(select(func.count()).select_from(Run))
    assert (state, error, texts, published) == ("cancelled", "", [], 0)


async def test_a_stopped_workers_job_goes_back_into_the_queue(
    sessions: Sessions, start_worker: Callable[..., subprocess.Popen[str]], tiny_causal: Path, tmp_path: Path
) -> None:
    config = configuration(tmp_path, tiny_causal, made_teacher(tmp_path))
    async with sessions() as session, session.begin():
        job_id = (await service.request_job(session, config)).id
    worker = start_worker()
    read_until(worker, rf"job {job_id}: train ")
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=TIMEOUT)
    again = start_worker("--until-empty")
    _, log = again.communicate(timeout=TIMEOUT)
    state, error, texts = await outcome(sessions, tmp_path / "data", job_id)
    async with sessions() as session:
        stored = (await session.scalars(select(Explanation.text).order_by(Explanation.id))).all()
        attempts = await session.scalar(select(Job.attempts).where(Job.id == job_id))
    assert (state, error, attempts) == ("succeeded", "", 2), log
    kept = [
        text.replace("\x00", "").strip() for text in texts
    ]  # a text in PostgreSQL holds no NUL; untrained models write it
    assert [text for text in kept if text] == list(stored)


async def test_a_configuration_that_is_wrong_fails_with_its_place_and_leaves_the_worker_running(
    sessions: Sessions, start_worker: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    async with sessions() as session, session.begin():
        job_id = (await service.request_job(session, "name: wrong\nteachers: {}\n")).id
    worker = start_worker("--until-empty")
    worker.communicate(timeout=TIMEOUT)
    state, error, _ = await outcome(sessions, tmp_path / "data", job_id)
    assert (state, worker.returncode) == ("failed", 0)
    assert "teachers" in error


async def test_a_job_that_was_cancelled_in_the_queue_is_never_run(
    sessions: Sessions, start_worker: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    async with sessions() as session, session.begin():
        job_id = (await service.request_job(session, "name: waiting\n")).id
        await session.execute(update(Job).where(Job.id == job_id).values(state="cancelled"))
    worker = start_worker("--until-empty")
    worker.communicate(timeout=TIMEOUT)
    assert not (tmp_path / "data" / "jobs").exists()
