"""A run is published whole, and once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import InputError
from app.explanations.models import Explanation, ExplanationSet
from app.runs.models import Run
from app.runs.publishing import publish_run

MANIFEST = {"name": "tiny", "code_version": "abc"}


def make_run(folder: Path, *, explanations: list[str], accuracy: float = 0.5) -> Path:
    """A run's folder as `blindrate distill` leaves it."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"accuracy": accuracy, "n": len(explanations)}))
    lines: list[dict[str, Any]] = [
        {
            "question_id": f"q{i}", "question": f"Question {i}?", "choices": ["a", "b"], "answer": "a", "predicted": "a", "correct": True,
            "explanation": text, "method": "multitask/few_shot", "objective": "multitask", "generation_method": "few_shot", "seed": 3,
            "model": "small",
        }
        for i, text in enumerate(explanations)
    ]  # fmt: skip
    (folder / "explanations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


async def count(session: AsyncSession, table: Any) -> int:
    return int(await session.scalar(select(func.count()).select_from(table)) or 0)


async def test_a_run_is_stored_with_metrics_provenance_and_explanations(session: AsyncSession, tmp_path: Path) -> None:
    run, new = await publish_run(
        session, make_run(tmp_path / "run-a", explanations=["One.", "Two."]), manifest=MANIFEST
    )
    assert new and run.metrics["accuracy"] == 0.5 and run.provenance == MANIFEST and run.seed == 3
    stored = (await session.scalars(select(ExplanationSet))).one()
    assert (stored.name, stored.run_id) == ("run-a", run.id)
    assert await count(session, Explanation) == 2


async def test_publishing_again_stores_nothing(session: AsyncSession, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run-a", explanations=["One."])
    first, _ = await publish_run(session, folder, manifest=MANIFEST)
    again, new = await publish_run(session, folder, manifest=MANIFEST)
    assert not new and again.id == first.id
    assert [await count(session, t) for t in (Run, ExplanationSet, Explanation)] == [1, 1, 1]


async def test_another_run_of_the_same_name_gets_a_set_of_its_own(session: AsyncSession, tmp_path: Path) -> None:
    await publish_run(session, make_run(tmp_path / "x" / "run-a", explanations=["One."]), manifest=MANIFEST)
    run, new = await publish_run(
        session, make_run(tmp_path / "y" / "run-a", explanations=["Other."]), manifest=MANIFEST
    )
    names = (await session.scalars(select(ExplanationSet.name).order_by(ExplanationSet.id))).all()
    assert new and names == ["run-a", f"run-a-{run.fingerprint[:8]}"]


async def test_empty_explanations_are_counted_and_left_out(session: AsyncSession, tmp_path: Path) -> None:
    run, _ = await publish_run(session, make_run(tmp_path / "run-a", explanations=["One.", " "]), manifest=MANIFEST)
    assert run.metrics["explanations_empty"] == 1
    assert await count(session, Explanation) == 1


@pytest.mark.parametrize(
    ("explanations", "message"), [([" ", ""], "every explanation is empty"), (None, "there is no such file")]
)
async def test_a_run_that_cannot_be_used_is_refused(
    session: AsyncSession, tmp_path: Path, explanations: list[str] | None, message: str
) -> None:
    folder = tmp_path / "run-a" if explanations is None else make_run(tmp_path / "run-a", explanations=explanations)
    with pytest.raises(InputError, match=message):
        await publish_run(session, folder, manifest=MANIFEST)
