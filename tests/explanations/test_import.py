"""Explanations come in from files: all rows or none, with one clear message for each thing that is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import ConflictError, InputError
from app.explanations.models import Explanation, ExplanationSet
from app.explanations.service import import_explanations
from app.questions.models import Question
from tests.conftest import PAPER, needs_paper_data

HEADER = "question_id,question,choices,answer,predicted,explanation,method,seed\n"
GOOD = 'q1,Where do fish live?,water | sand,water,water,"Fish breathe in water, not on land.",multitask/few_shot,0\n'
MAPPING = {
    "question": "input_predict",
    "predicted": "answers_preds",
    "answer": "answers_labels",
    "explanation": "rationales_preds",
}


async def counts(session: AsyncSession) -> list[int | None]:
    return [await session.scalar(select(func.count()).select_from(t)) for t in (ExplanationSet, Explanation, Question)]


async def test_a_good_file_is_stored_with_its_provenance(session: AsyncSession, tmp_path: Path) -> None:
    path = tmp_path / "students.csv"
    path.write_text(HEADER + GOOD)
    stored, count = await import_explanations(session, path)
    row = (await session.scalars(select(Explanation))).one()
    assert (count, row.text, row.correct, row.method, row.seed) == (
        1, "Fish breathe in water, not on land.", True, "multitask/few_shot", 0,
    )  # fmt: skip
    assert stored.provenance["file"] == "students.csv" and len(stored.provenance["sha256"]) == 64


async def test_json_lines_as_distill_writes_them_are_taken_as_they_are(session: AsyncSession, tmp_path: Path) -> None:
    path = tmp_path / "explanations.jsonl.gz"
    record = {
        "question_id": "b-1", "question": "Where?", "choices": ["here", "there"], "answer": "here", "predicted": "there", "correct": False,
        "explanation": "Because.", "method": "multitask/few_shot", "objective": "multitask", "generation_method": "few_shot", "seed": 0,
        "model": "small",
    }  # fmt: skip
    path.write_bytes(gzip.compress((json.dumps(record) + "\n").encode()))
    await import_explanations(session, path, name="run")
    row = (await session.scalars(select(Explanation))).one()
    assert (row.correct, row.model, row.objective) == (False, "small", "multitask")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER.encode() + GOOD.encode("utf-8").replace(b"Fish", b"F\xefsh"), "line 2: the file is not in UTF-8 (byte 0xef)"),
        ((HEADER + GOOD).encode("utf-16"), "UTF-16"),
        (b"", "the file is empty"),
        (HEADER.encode(), "there are no rows"),
        ((HEADER + GOOD).replace("explanation,", "text,").encode(), "no column gives explanation; name the one that does"),
        (HEADER.encode() + b"q1,Where?\n", "line 2: 2 cells where the first line names 8 columns"),
        ((HEADER + GOOD.replace("Fish breathe in water, not on land.", " ")).encode(), "line 2, column explanation: the text is empty"),
        ((HEADER + GOOD + GOOD).encode(), "line 3, column question_id: the same question, method, model and seed are on line 2"),
        ((HEADER + GOOD.replace(",0\n", ",zero\n")).encode(), "line 2, column seed: 'zero' is not a whole number"),
        ((HEADER + GOOD.replace("sand,water,water", "sand,air,water")).encode(), "line 2, column answer: 'air' is not one of the choices"),
        ((HEADER + GOOD.replace("water | sand", "water")).encode(), "line 2, column choices: at least two choices"),
        ((HEADER + GOOD.replace("multitask/few_shot", "")).encode(), "line 2, column method: the distillation method is missing"),
        ((HEADER + GOOD.replace("Where do", "")).replace("Where do fish live?", "").replace("q1, fish live?", "q1,").encode(),
         "line 2, column question: the text is empty"),
        ((HEADER + GOOD + GOOD.replace("Where do fish", "Where can fish").replace("few_shot", "other")).encode(),
         "line 3, column id: 'q1' is the id of another question on line 2"),
        ((HEADER + GOOD.replace("Fish", "F\x00sh")).encode(), "line 2: the file holds a NUL character"),
        (HEADER.replace("seed", "answer").encode() + GOOD.encode(), "the column 'answer' is there twice"),
        ((HEADER + 'q1,"Where').encode(), "this is not valid CSV"),
    ],
)  # fmt: skip
async def test_a_bad_file_is_told_by_line_column_and_reason_and_nothing_is_stored(
    session: AsyncSession, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        await import_explanations(session, path)
    await session.rollback()
    assert message in str(raised.value)
    assert await counts(session) == [0, 0, 0]


async def test_a_byte_order_mark_is_no_part_of_the_first_column(session: AsyncSession, tmp_path: Path) -> None:
    path = tmp_path / "bom.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (HEADER + GOOD).encode())
    assert (await import_explanations(session, path))[1] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mapping": {"explanation": "explanatoin"}},
            "there is no column 'explanatoin' (mapped to explanation); did you mean 'explanation'?",
        ),
        (
            {"mapping": {"rationale": "explanation"}},
            "'rationale' is not a field of this import; the fields are: question_id",
        ),
    ],
)
async def test_a_wrong_mapping_names_the_columns_or_fields_there_are(
    session: AsyncSession, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + GOOD)
    with pytest.raises(InputError) as raised:
        await import_explanations(session, path, **options)
    assert message in str(raised.value)


async def test_a_taken_name_changes_nothing(session: AsyncSession, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + GOOD)
    await import_explanations(session, path)
    await session.commit()
    with pytest.raises(ConflictError, match="there is a set of explanations named 'a' already"):
        await import_explanations(session, path)
    await session.rollback()
    assert await counts(session) == [1, 1, 1]


@needs_paper_data
async def test_the_reference_students_file_is_taken_as_it_is_with_a_mapping(session: AsyncSession) -> None:
    _, count = await import_explanations(
        session,
        PAPER / "student_t5large_revised.csv.gz",
        mapping=MAPPING,
        constants={"method": "multitask_counterfactual/critique_revision"},
    )
    correct = await session.scalar(select(func.count()).where(Explanation.correct))
    choices = await session.scalar(select(func.min(func.jsonb_array_length(Question.choices))))
    assert (count, correct, choices) == (1221, 934, 5)  # 934 of 1221: the accuracy that the reference reports
