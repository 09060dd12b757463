"""Rationales that exist already (from the reference study, say), taken in through a mapping in place of a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.config import MadeField, MadeTeacherConfig
from training.errors import TrainingInputError
from training.questions import read_rows
from training.records import Question
from training.teacher.clean import clean
from training.teacher.store import Row, claim, read_set, write_lines

FIELD_OF_METHOD: dict[str, MadeField] = {
    "few_shot": "few_shot",
    "counterfactual": "counterfactual",
    "critique_revision": "revised",
}


def take_in(
    config: MadeTeacherConfig,
    methods: Sequence[str],
    questions: Sequence[Question],
    teacher: Path,
    settings: Mapping[str, Any],
) -> dict[str, list[Row]]:
    """Write teacher/<method>/rationales.jsonl for the questions from the file, cleaned as a teacher's own output is.

    Raises:
        TrainingInputError: a mapped column is missing, a list of counterfactuals has not one text per choice, or none of
        the questions is in the file.
    """
    mapping = config.mapping
    made: dict[str, list[Row]] = {}
    wanted = [method for method in methods if FIELD_OF_METHOD[method] in mapping]
    if all((teacher / method / "rationales.jsonl").exists() for method in wanted):
        for method in wanted:
            claim(teacher / method, {**settings, "method": method})
            made[method] = read_set(teacher / method)
        return made
    id_column = mapping.get("id", "id")
    source = {str(_cell(config, row, str(id_column))): row for row in read_rows(Path(config.path))}
    found = [question for question in questions if question.id in source]
    if not found:
        raise TrainingInputError(
            f"{config.path}: holds a rationale for none of the {len(questions)} training questions; check teacher.from.mapping.id"
        )
    for method in wanted:
        claim(teacher / method, {**settings, "method": method})
        rows = [row for question in questions for row in _rows(config, method, question, source.get(question.id))]
        write_lines(teacher / method / "rationales.jsonl", rows)
        made[method] = rows
    return made


def _cell(config: MadeTeacherConfig, row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise TrainingInputError(
            f"{config.path}: there is no column {column!r} (there are {', '.join(row)}); mend teacher.from.mapping"
        )
    return row[column]


def _rows(config: MadeTeacherConfig, method: str, question: Question, row: Mapping[str, Any] | None) -> list[Row]:
    column = config.mapping[FIELD_OF_METHOD[method]]
    if method != "counterfactual":
        raw = None if row is None else _cell(config, row, str(column))
        more: Row = {}
        if method == "critique_revision" and row is not None:
            others: dict[str, MadeField] = {"first_rationale": "few_shot", "critique": "critique"}
            more = {
                name: _cell(config, row, str(config.mapping[f])) for name, f in others.items() if f in config.mapping
            }
        return [_row(question, raw, question.answer) | more]
    if row is None:
        raws: list[Any] = [None] * len(question.choices)
    elif isinstance(column, list):
        raws = [_cell(config, row, c) for c in column]
    else:
        raws = list(_cell(config, row, column) or [])
    if len(raws) < len(question.choices):
        raise TrainingInputError(
            f"{config.path}: question {question.id} has {len(question.choices)} choices but {len(raws)} counterfactual texts"
        )
    return [
        _row(question, raw, choice) | {"choice_index": i, "choice": choice}
        for i, (choice, raw) in enumerate(zip(question.choices, raws, strict=False))
    ]


def _row(question: Question, raw: Any, answer: str) -> Row:
    cleaned = clean(str(raw or ""), answer=answer)
    row: Row = {"question_id": question.id, "rationale": None if cleaned.fault else cleaned.text}
    if cleaned.fault:
        row |= {"fault": cleaned.fault if raw else "missing", "rejected": cleaned.text}
    return row
