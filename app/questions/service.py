"""Questions: read from rows, stored once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.questions.models import Question
from app.questions.reading import Problems, Row, read_choices, read_table, split_printed

FIELDS = ("id", "question", "choices", "answer", "split")
ANSWER_PREFIX = "The answer is "
BATCH = 1000


@dataclass(frozen=True, slots=True)
class QuestionRecord:
    """A question as a file gives it. `key` is its id in `dataset`."""

    dataset: str
    key: str
    split: str
    text: str
    choices: tuple[str, ...]
    answer: str


def strip_answer(text: str) -> str:
    """The choice in `The answer is X` (with or without a full stop), else the text itself."""
    if text.startswith(ANSWER_PREFIX):
        return text.removeprefix(ANSWER_PREFIX).removesuffix(".").strip()
    return text


def question_of(row: Row, *, dataset: str, id_field: str, problems: Problems) -> QuestionRecord | None:
    """The question in a row, or None with the reason noted in `problems`.

    A row without an id gets one from its text and choices, so that the same question in two files is the same question.
    """
    text, choices = row.text("question"), read_choices(row.values.get("choices"))
    if "choices" not in row.values and (printed := split_printed(text)):
        text, choices = printed
    answer = strip_answer(row.text("answer"))
    before = len(problems.lines)
    if not text:
        problems.add(row.line, "question", "the text is empty")
    if choices is None or len(choices) < 2:
        problems.add(row.line, "choices", "at least two choices are needed, as a JSON list, 'x | y' or '(a) x (b) y'")
    elif not all(choices):
        problems.add(row.line, "choices", "a choice is empty")
    elif not answer:
        problems.add(row.line, "answer", "the right answer is missing")
    elif answer not in choices:
        problems.add(row.line, "answer", f"{answer!r} is not one of the choices: {', '.join(choices)}")
    if len(problems.lines) > before or choices is None:
        return None
    key = row.text(id_field) or hashlib.sha256("\x1f".join([text, *choices]).encode()).hexdigest()[:16]
    return QuestionRecord(dataset, key, row.text("split") or "test", text, tuple(choices), answer)


async def store_questions(
    session: AsyncSession, records: Mapping[QuestionRecord, int], problems: Problems
) -> dict[tuple[str, str], int]:
    """Store those that are new; ids in the database by (dataset, key).

    `records` maps each question to the line it came from. A key that is taken by another question, in the file or in the
    database, is noted in `problems`; the caller checks them before committing.
    """
    by_key: dict[tuple[str, str], QuestionRecord] = {}
    for record, line in records.items():
        other = by_key.setdefault((record.dataset, record.key), record)
        if (other.text, other.choices, other.answer) != (record.text, record.choices, record.answer):
            problems.add(line, "id", f"{record.key!r} is the id of another question on line {records[other]}")
    ids: dict[tuple[str, str], int] = {}
    keys = list(by_key)
    for start in range(0, len(keys), BATCH):
        part = keys[start : start + BATCH]
        values = [
            {
                "dataset": r.dataset,
                "key": r.key,
                "split": r.split,
                "text": r.text,
                "choices": list(r.choices),
                "answer": r.answer,
            }
            for r in map(by_key.__getitem__, part)
        ]
        await session.execute(insert(Question).values(values).on_conflict_do_nothing(index_elements=["dataset", "key"]))
        stored = await session.scalars(select(Question).where(tuple_(Question.dataset, Question.key).in_(part)))
        for question in stored:
            record = by_key[question.dataset, question.key]
            if (question.text, tuple(question.choices), question.answer) != (
                record.text,
                record.choices,
                record.answer,
            ):
                problems.add(
                    records[record],
                    "id",
                    f"{record.key!r} is the id of another question of dataset {record.dataset!r} already stored",
                )
            ids[question.dataset, question.key] = question.id
    return ids


async def import_questions(
    session: AsyncSession, path: Path, *, name: str, split: str | None = None, mapping: Mapping[str, str] | None = None
) -> tuple[int, int]:
    """Import all questions of a file as dataset `name`, all rows or none; (questions in the file, of which new)."""
    constants = {"split": split} if split else {}
    table = read_table(path, FIELDS, mapping or {}, constants, required=("question", "answer"))
    problems = Problems(table.name)
    records: dict[QuestionRecord, int] = {}
    lines: dict[str, int] = {}
    for row in table.rows:
        record = question_of(row, dataset=name, id_field="id", problems=problems)
        if record is None:
            continue
        if record.key in lines:
            problems.add(row.line, "id", f"{record.key!r} is on line {lines[record.key]} already")
        lines[record.key] = row.line
        records[record] = row.line
    problems.check()
    before = set((await session.scalars(select(Question.key).where(Question.dataset == name))).all())
    await store_questions(session, records, problems)
    problems.check()
    return len(records), len(lines.keys() - before)
