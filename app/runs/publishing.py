"""Publishing a run: its metrics, provenance and explanations go into the database in one transaction, once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import InputError
from app.explanations.models import ExplanationSet
from app.explanations.service import FIELDS, read_explanations, store_explanations
from app.questions.reading import Problems, read_table
from app.runs.models import Run

FINGERPRINT_SHOWN = 8


async def publish_run(
    session: AsyncSession, folder: Path, *, manifest: dict[str, Any], job_id: int | None = None
) -> tuple[Run, bool]:
    """Store the run in `folder` (metrics.json, explanations.jsonl); the run, and whether it is new.

    A run is known by the sha256 over its two files: publishing the same again, from any machine, finds it there. The set of its
    explanations is named after the run; where that name is taken by another run's, eight digits of the hash are added.
    Raises InputError when a file is missing or has no usable explanation.
    """
    metrics_file, explanations_file = folder / "metrics.json", folder / "explanations.jsonl"
    for file in (metrics_file, explanations_file):
        if not file.is_file():
            raise InputError(
                f"{file}: there is no such file; run `blindrate evaluate` (or `blindrate distill`) to the end first"
            )
    digest = hashlib.sha256(metrics_file.read_bytes() + explanations_file.read_bytes()).hexdigest()
    known = await session.scalar(select(Run).where(Run.fingerprint == digest))
    if known is not None:
        return known, False
    metrics = json.loads(metrics_file.read_text())
    table = read_table(
        explanations_file, FIELDS, {}, {}, required=("question", "answer", "explanation", "objective", "model")
    )
    usable = [row for row in table.rows if row.text("explanation")]
    if not usable:
        raise InputError(f"{explanations_file}: every explanation is empty; the run has diverged and was not published")
    problems = Problems(table.name)
    records, lines = read_explanations(type(table)(table.name, table.sha256, usable), _dataset(manifest), problems)
    problems.check()
    first = usable[0]
    run = Run(
        name=folder.name,
        fingerprint=digest,
        objective=first.text("objective"),
        generation_method=first.text("generation_method"),
        model=first.text("model"),
        seed=int(first.text("seed") or 0),
        diverged=bool(metrics.get("diverged", False)),
        metrics=metrics | {"explanations_empty": len(table.rows) - len(usable)},
        provenance=manifest,
        job_id=job_id,
    )
    session.add(run)
    await session.flush()
    taken = await session.scalar(select(ExplanationSet.id).where(ExplanationSet.name == run.name))
    await store_explanations(
        session,
        records,
        lines,
        name=f"{run.name}-{digest[:FINGERPRINT_SHOWN]}" if taken else run.name,
        source="run",
        provenance={"file": table.name, "sha256": table.sha256, "run": run.name},
        problems=problems,
        run_id=run.id,
    )
    return run, True


def _dataset(manifest: dict[str, Any]) -> str:
    return str(manifest.get("dataset") or manifest.get("name") or "distilled")
