"""The project's own questions are well formed, balanced and different from each other."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from itertools import combinations
from typing import Any

import pytest


@pytest.fixture(scope="module")
def questions() -> list[dict[str, Any]]:
    text = files("app.demo").joinpath("questions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def test_there_are_enough_questions_and_every_id_is_unique(questions: list[dict[str, Any]]) -> None:
    assert len(questions) >= 200
    assert len({question["id"] for question in questions}) == len(questions)


def test_every_question_has_five_distinct_choices_and_its_answer_is_one(questions: list[dict[str, Any]]) -> None:
    for question in questions:
        assert len(question["choices"]) == 5, question["id"]
        assert len({choice.strip().casefold() for choice in question["choices"]}) == 5, question["id"]
        assert question["answer"] in question["choices"], question["id"]


def test_questions_and_choices_are_short(questions: list[dict[str, Any]]) -> None:
    for question in questions:
        assert 8 <= len(question["question"].split()) <= 25, question["id"]
        assert all(1 <= len(choice.split()) <= 4 for choice in question["choices"]), question["id"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_right_answer_stands_about_equally_often_at_each_position(
    questions: list[dict[str, Any]], split: str
) -> None:
    chosen = [question for question in questions if question["split"] == split]
    positions = Counter(question["choices"].index(question["answer"]) for question in chosen)
    for position in range(5):
        assert 0.15 <= positions[position] / len(chosen) <= 0.25, positions


def test_no_two_questions_are_alike(questions: list[dict[str, Any]]) -> None:
    tokens = [(question["id"], words(question["question"])) for question in questions]
    alike = [(a, b) for (a, x), (b, y) in combinations(tokens, 2) if len(x & y) / len(x | y) >= 0.7]
    assert alike == []


def test_no_question_text_is_in_both_splits_and_each_split_has_every_topic(questions: list[dict[str, Any]]) -> None:
    assert {question["split"] for question in questions} == {"train", "test"}
    train = [question for question in questions if question["split"] == "train"]
    test = [question for question in questions if question["split"] == "test"]
    assert len(test) >= 110
    assert {words(q["question"]) for q in train}.isdisjoint(words(q["question"]) for q in test)
    assert {q["topic"] for q in train} == {q["topic"] for q in test}
