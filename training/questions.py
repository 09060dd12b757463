"""Reading questions: CommonsenseQA, e-SNLI, StrategyQA in the forms they are published in, and any table through a mapping."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from training.config import QuestionsConfig, SourceConfig
from training.errors import TrainingInputError
from training.records import Question

Row = dict[str, Any]
Fields = tuple[str, str, list[str], str]  # id, text, choices, answer
NLI_LABELS = ("entailment", "neutral", "contradiction")
CHOICE_SEPARATOR = "|"


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON, JSON lines, CSV or Parquet file; JSON and CSV may be gzipped and may begin with a BOM.

    Raises:
        TrainingInputError: there is no such file, or it is not what its name says; with the line where known.
    """
    if not path.exists():
        raise TrainingInputError(f"{path}: there is no such file; mend the path or fetch the data first")
    kind = next((s for s in reversed(path.suffixes) if s != ".gz"), "")
    if kind == ".parquet":
        import pyarrow.parquet

        try:
            return list(pyarrow.parquet.read_table(path).to_pylist())
        except (OSError, ValueError) as error:
            raise TrainingInputError(f"{path}: not a valid Parquet file: {error}") from error
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise TrainingInputError(f"{path}: cannot be read as UTF-8 text ({error}); save it as UTF-8") from error
    if kind == ".csv":
        return [dict(row) for row in csv.DictReader(io.StringIO(text))]
    if text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise TrainingInputError(f"{path}: not valid JSON: {error}") from error
        return _checked_rows(path, rows)
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise TrainingInputError(f"{path} line {number}: not valid JSON: {error}") from error
    return _checked_rows(path, rows)


def _checked_rows(path: Path, rows: list[Any]) -> list[Row]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise TrainingInputError(
                f"{path} row {number}: must be an object with named fields, not {type(row).__name__}"
            )
    return rows


def _hub_rows(source: SourceConfig) -> list[Row]:
    """The rows of a dataset of the Hugging Face hub, or of a folder in one of its forms."""
    from datasets import load_dataset

    try:
        return [dict(row) for row in load_dataset(source.hub, source.hub_config, split=source.hub_split)]
    except (OSError, ValueError) as error:
        raise TrainingInputError(
            f"questions: cannot load the split {source.hub_split!r} of {source.hub!r}: {str(error).splitlines()[0].rstrip('.')}. "
            "Check hub, hub_config and hub_split."
        ) from error


def _commonsense_qa(row: Row) -> Fields:
    """CommonsenseQA: choices as a list and answer as its text, or as on the hub: choices {label, text}, answerKey."""
    choices = row["choices"]
    if isinstance(choices, Mapping):
        labels, texts = [str(x) for x in choices["label"]], [str(x) for x in choices["text"]]
        return str(row["id"]), str(row["question"]), texts, texts[labels.index(str(row["answerKey"]))]
    return str(row["id"]), str(row["question"]), [str(choice) for choice in choices], str(row["answer"])


def _esnli(row: Row) -> Fields | None:
    """e-SNLI and SNLI: premise, hypothesis, label 0..2 or its name. Rows without a gold label (-1, "-") give None."""
    label = row.get("label", row.get("gold_label"))
    if isinstance(label, str) and label.strip().lstrip("-").isdigit():
        label = int(label)
    if isinstance(label, int):
        name = NLI_LABELS[label] if 0 <= label < len(NLI_LABELS) else None
    else:
        name = label if label in NLI_LABELS else None
    if name is None:
        return None
    premise = str(row.get("premise") or row["Sentence1"]).strip()
    hypothesis = str(row.get("hypothesis") or row["Sentence2"]).strip()
    text = f"Premise: {premise} Hypothesis: {hypothesis} What is the relationship?"
    return str(row.get("id") or row.get("pairID") or ""), text, list(NLI_LABELS), name


def _strategyqa(row: Row) -> Fields:
    """StrategyQA: qid, question, answer (true or false)."""
    answer = row["answer"]
    right = answer.strip().lower() in ("true", "yes", "1") if isinstance(answer, str) else bool(answer)
    return str(row.get("qid") or row["id"]), str(row["question"]), ["yes", "no"], "yes" if right else "no"


def _table(mapping: Mapping[Any, str | list[str]]) -> Callable[[Row], Fields]:
    """Any table. choices: a list, a text with choices between |, or several columns; answer: a choice's text, else its
    letter or its position from 1 (looked up in this order).
    """

    def column(name: str) -> str:
        place = mapping.get(name, name)
        if not isinstance(place, str):
            raise TrainingInputError(f"questions.mapping.{name}: name one column")
        return place

    def fields(row: Row) -> Fields:
        place = mapping.get("choices", "choices")
        if isinstance(place, list):
            choices = [str(row[c]) for c in place if row[c] not in (None, "")]
        elif isinstance(row[place], str):
            choices = [part.strip() for part in row[place].split(CHOICE_SEPARATOR)]
        else:
            choices = [str(choice) for choice in row[place]]
        return (
            str(row[column("id")]),
            str(row[column("question")]),
            choices,
            _answer(str(row[column("answer")]), choices),
        )

    return fields


def _answer(given: str, choices: list[str]) -> str:
    if given in choices:
        return given
    token = given.strip().strip("().").lower()
    position = int(token) - 1 if token.isdigit() else ord(token) - ord("a") if len(token) == 1 else -1
    return choices[position] if 0 <= position < len(choices) else given


READERS: dict[str, Callable[[Row], Fields | None]] = {
    "commonsense_qa": _commonsense_qa,
    "esnli": _esnli,
    "strategyqa": _strategyqa,
}


def _questions(config: QuestionsConfig, split: str) -> Iterator[Question]:
    source: SourceConfig = getattr(config, split)
    name = source.path or str(source.hub)
    rows = read_rows(Path(source.path)) if source.path else _hub_rows(source)
    reader = READERS.get(config.reader) or _table(config.mapping)
    for number, row in enumerate(rows, start=1):
        for key in source.where:
            if key not in row:
                raise TrainingInputError(
                    f"{name} row {number}: there is no column {key!r}; questions.{split}.where names it"
                )
        if any(str(row[key]) != value for key, value in source.where.items()):
            continue
        try:
            fields = reader(row)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            hint = f"column {error} is missing" if isinstance(error, KeyError) else str(error)
            raise TrainingInputError(
                f"{name} row {number}: {hint}; columns are {', '.join(map(str, row))}. Choose another questions.reader or a mapping."
            ) from error
        if fields is None:
            continue
        id_, text, choices, answer = fields
        id_ = id_ or f"{split}-{number}"
        if not text.strip() or len(choices) < 2 or any(not choice.strip() for choice in choices):
            raise TrainingInputError(
                f"{name} row {number} ({id_}): needs a text and at least two choices, none of them empty"
            )
        if answer not in choices:
            raise TrainingInputError(f"{name} row {number} ({id_}): the answer {answer!r} is none of the choices")
        yield Question(id_, text, tuple(choices), answer, config.dataset, split)


def read_split(config: QuestionsConfig, split: str) -> list[Question]:
    """The questions of "train" or "test", in the file's order, up to the limit.

    Raises:
        TrainingInputError: a file or row that is wrong, an id that occurs twice, or nothing left.
    """
    source: SourceConfig = getattr(config, split)
    questions: list[Question] = []
    seen: set[str] = set()
    for question in _questions(config, split):
        if question.id in seen:
            raise TrainingInputError(
                f"{source.path or source.hub}: the id {question.id!r} occurs twice in the {split} split"
            )
        seen.add(question.id)
        questions.append(question)
        if len(questions) == source.limit:
            break
    if not questions:
        raise TrainingInputError(
            f"{source.path or source.hub}: holds no question for the {split} split; check questions.{split}.where"
        )
    return questions


def read_questions(config: QuestionsConfig) -> tuple[list[Question], list[Question]]:
    """Training and test questions.

    Raises:
        TrainingInputError: as read_split, or a question is in both splits (by id, or by text and choices).
    """
    train, test = read_split(config, "train"), read_split(config, "test")
    if both := {q.id for q in train} & {q.id for q in test}:
        raise TrainingInputError(
            f"questions: {len(both)} ids are in both train and test, e.g. {min(both)!r}; students must not learn the test questions"
        )
    known = {(q.text.strip().casefold(), tuple(sorted(q.choices))): q.id for q in train}
    for question in test:
        if (twin := known.get((question.text.strip().casefold(), tuple(sorted(question.choices))))) is not None:
            raise TrainingInputError(
                f"questions: test question {question.id!r} is the same as training question {twin!r}; remove one of them"
            )
    return train, test
