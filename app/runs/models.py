"""Tables of runs and jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.database.base import Base, CreatedAt, Id

JOB_STATES = ("queued", "running", "succeeded", "failed", "cancelled")


class Job(Base):
    """One distillation asked for: its YAML, where it stands, what it logged. procrastinate_id links to the queue's row."""

    __tablename__ = "jobs"
    __table_args__ = (CheckConstraint("state in ('queued','running','succeeded','failed','cancelled')", name="state"),)

    id: Mapped[Id]
    name: Mapped[str]
    queue: Mapped[str]  # cpu or gpu
    config: Mapped[str]  # the YAML as it was given
    state: Mapped[str] = mapped_column(default="queued")
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)  # stage, done, total, info (loss, tokens/s, eta)
    log: Mapped[str] = mapped_column(default="")
    error: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    procrastinate_id: Mapped[int | None]
    requested_by: Mapped[int | None] = mapped_column(ForeignKey("researchers.id"))
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Run(Base):
    """One training of one student: teacher set × objective × seed. `provenance` is the run's manifest (config, hashes, code version)."""

    __tablename__ = "runs"

    id: Mapped[Id]
    name: Mapped[str]
    fingerprint: Mapped[str] = mapped_column(
        unique=True
    )  # sha256 over the run's manifest and files: publishing twice stores once
    objective: Mapped[str]
    generation_method: Mapped[str]
    model: Mapped[str]
    seed: Mapped[int]
    diverged: Mapped[bool] = mapped_column(default=False)
    metrics: Mapped[dict[str, Any]]
    provenance: Mapped[dict[str, Any]]
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[CreatedAt]
