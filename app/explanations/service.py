"""Explanations: imported from files with their provenance, and looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Integer, cast, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from app.errors import ConflictError, NotFoundError
from app.explanations.models import Explanation, ExplanationSet
from app.questions.reading import Problems, Row, Table, read_table
from app.questions.service import QuestionRecord, question_of, store_questions, strip_answer

FIELDS = (
    "question_id", "question", "choices", "answer", "split", "predicted", "correct", "explanation",
    "method", "objective", "generation_method", "model", "seed",
)  # fmt: skip
TRUE, FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


@dataclass(frozen=True)
class ExplanationRecord:
    """An explanation as a file gives it."""

    question: QuestionRecord
    method: str
    objective: str | None
    generation_method: str | None
    model: str | None
    seed: int | None
    predicted: str | None
    correct: bool | None
    text: str


def _explanation_of(row: Row, dataset: str, problems: Problems) -> ExplanationRecord | None:
    """The explanation in a row, or None with the reasons noted in `problems`."""
    before = len(problems.lines)
    question = question_of(row, dataset=dataset, id_field="question_id", problems=problems)
    objective, generation_method = row.text("objective") or None, row.text("generation_method") or None
    method = row.text("method") or "/".join(filter(None, [objective, generation_method]))
    text, predicted = row.text("explanation"), strip_answer(row.text("predicted")) or None
    if not text:
        problems.add(row.line, "explanation", "the text is empty")
    if not method:
        problems.add(
            row.line, "method", "the distillation method is missing; map a column to it, or give --set method=NAME"
        )
    seed = row.text("seed")
    if seed and not seed.isdigit():
        problems.add(row.line, "seed", f"{seed!r} is not a whole number")
    correct: bool | None = predicted == question.answer if question and predicted else None
    said = row.text("correct").lower()
    if said and said not in TRUE | FALSE:
        problems.add(row.line, "correct", f"{said!r} is not true or false")
    elif said and correct is not None and (said in TRUE) != correct:
        problems.add(
            row.line,
            "correct",
            f"says {said}, but predicted is {predicted!r} and the answer {question and question.answer!r}",
        )
    elif said:
        correct = said in TRUE
    if question is None or len(problems.lines) > before:
        return None
    model = row.text("model") or None
    number = int(seed) if seed else None
    return ExplanationRecord(question, method, objective, generation_method, model, number, predicted, correct, text)


def read_explanations(
    table: Table, dataset: str, problems: Problems
) -> tuple[list[ExplanationRecord], dict[QuestionRecord, int]]:
    """All explanations of a table, and the line of each question; problems (duplicates among them) are noted."""
    records: list[ExplanationRecord] = []
    lines: dict[QuestionRecord, int] = {}
    seen: dict[tuple[Any, ...], int] = {}
    for row in table.rows:
        record = _explanation_of(row, dataset, problems)
        if record is None:
            continue
        identity = (record.question.key, record.method, record.model, record.seed)
        if identity in seen:
            problems.add(
                row.line,
                "question_id",
                f"the same question, method, model and seed are on line {seen[identity]} already",
            )
        seen.setdefault(identity, row.line)
        lines.setdefault(record.question, row.line)
        records.append(record)
    return records, lines


async def store_explanations(
    session: AsyncSession,
    records: list[ExplanationRecord],
    lines: Mapping[QuestionRecord, int],
    *,
    name: str,
    source: str,
    provenance: Mapping[str, Any],
    problems: Problems,
    run_id: int | None = None,
) -> ExplanationSet:
    """Store a set with all its explanations (and the questions that are new). Raises ConflictError when the name is taken."""
    if await session.scalar(select(ExplanationSet.id).where(ExplanationSet.name == name)):
        raise ConflictError(
            f"there is a set of explanations named {name!r} already; nothing was stored. Give another name with --name"
        )
    ids = await store_questions(session, lines, problems)
    problems.check()
    explanation_set = ExplanationSet(name=name, source=source, run_id=run_id, provenance=dict(provenance))
    session.add(explanation_set)
    await session.flush()
    await session.execute(
        insert(Explanation),
        [
            {
                "set_id": explanation_set.id,
                "question_id": ids[record.question.dataset, record.question.key],
                "method": record.method,
                "objective": record.objective,
                "generation_method": record.generation_method,
                "model": record.model,
                "seed": record.seed,
                "predicted": record.predicted,
                "correct": record.correct,
                "text": record.text,
            }
            for record in records
        ],
    )
    return explanation_set


async def import_explanations(
    session: AsyncSession,
    path: Path,
    *,
    name: str | None = None,
    dataset: str | None = None,
    mapping: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
) -> tuple[ExplanationSet, int]:
    """Import a file as one set, all rows or none; the set and the number of its explanations.

    `name` defaults to the file's, `dataset` (to which the questions belong) to `name`.
    """
    mapping, constants = mapping or {}, constants or {}
    name = name or path.name.split(".")[0]
    table = read_table(path, FIELDS, mapping, constants, required=("question", "answer", "explanation"))
    problems = Problems(table.name)
    records, lines = read_explanations(table, dataset or name, problems)
    problems.check()
    provenance = {"file": table.name, "sha256": table.sha256, "mapping": dict(mapping), "constants": dict(constants)}
    stored = await store_explanations(
        session, records, lines, name=name, source="import", provenance=provenance, problems=problems
    )
    return stored, len(records)


@dataclass(frozen=True)
class SetSummary:
    """A set in the list of sets."""

    set: ExplanationSet
    explanations: int
    questions: int
    methods: list[str]
    share_correct: float | None


async def list_sets(session: AsyncSession) -> list[SetSummary]:
    """All sets, newest first."""
    rows = await session.execute(
        select(
            ExplanationSet,
            func.count(Explanation.id),
            func.count(Explanation.question_id.distinct()),
            func.array_agg(Explanation.method.distinct()),
            func.avg(cast(Explanation.correct, Integer)),
        )
        .join(Explanation, Explanation.set_id == ExplanationSet.id)
        .group_by(ExplanationSet.id)
        .order_by(ExplanationSet.id.desc())
    )
    return [SetSummary(s, n, q, sorted(m), None if c is None else float(c)) for s, n, q, m, c in rows]


async def explanations_of(
    session: AsyncSession, set_id: int, *, offset: int = 0, limit: int = 50
) -> Iterable[Explanation]:
    """A page of a set's explanations with their questions, in order of import."""
    return await session.scalars(
        select(Explanation)
        .where(Explanation.set_id == set_id)
        .options(joinedload(Explanation.question))
        .order_by(Explanation.id)
        .offset(offset)
        .limit(limit)
    )


async def get_explanation(session: AsyncSession, explanation_id: int) -> Explanation:
    """One explanation with its question and set. Raises NotFoundError."""
    found = await session.scalar(
        select(Explanation)
        .where(Explanation.id == explanation_id)
        .options(joinedload(Explanation.question), joinedload(Explanation.set))
    )
    if found is None:
        raise NotFoundError(f"There is no explanation number {explanation_id}.")
    return found
