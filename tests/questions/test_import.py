"""Questions come in from files, once each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import InputError
from app.questions.models import Question
from app.questions.reading import read_choices, split_printed
from app.questions.service import import_questions

ITEM = {"id": "1", "question": "Where is snow?", "choices": ["north", "oven"], "answer": "north", "split": "train"}


def write(path: Path, *items: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


async def test_importing_twice_stores_once(session: AsyncSession, tmp_path: Path) -> None:
    path = write(tmp_path / "items.jsonl", ITEM, ITEM | {"id": "2", "question": "Where is rain?"})
    assert await import_questions(session, path, name="weather") == (2, 2)
    assert await import_questions(session, path, name="weather") == (2, 0)
    assert await session.scalar(select(func.count()).select_from(Question)) == 2


async def test_an_id_of_another_question_is_refused(session: AsyncSession, tmp_path: Path) -> None:
    await import_questions(session, write(tmp_path / "a.jsonl", ITEM), name="weather")
    with pytest.raises(InputError, match="line 1, column id: '1' is the id of another question of dataset 'weather'"):
        await import_questions(
            session, write(tmp_path / "b.jsonl", ITEM | {"question": "Where is ice?"}), name="weather"
        )


async def test_the_same_id_twice_in_a_file_is_refused(session: AsyncSession, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 2, column id: '1' is on line 1 already"):
        await import_questions(session, write(tmp_path / "a.jsonl", ITEM, ITEM), name="weather")


words = st.text("abcdefghij klm", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(question=words, choices=st.lists(words, min_size=2, max_size=7))
def test_a_printed_question_is_taken_apart_into_what_it_was_printed_from(question: str, choices: list[str]) -> None:
    printed = " ".join(f"({letter}) {choice}" for letter, choice in zip("abcdefg", choices, strict=False))
    assert split_printed(f"[predict] Question: {question}\nChoices: {printed} ") == (question, choices)
    assert read_choices(printed) == choices
    assert read_choices(json.dumps(choices)) == choices
