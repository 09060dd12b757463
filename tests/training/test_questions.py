"""Readers: every published form gives the same questions, and a bad row is named with its place."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PAPER, needs_paper_data
from training.config import QuestionsConfig
from training.errors import TrainingInputError
from training.questions import read_questions, read_split

ROW = {"id": "a", "question": "What is wet?", "choices": ["rain", "sand", "fire"], "answer": "rain"}


def config(train: Path, test: Path | None = None, **values: Any) -> QuestionsConfig:
    settings = {"dataset": "made", "train": {"path": str(train)}, "test": {"path": str(test or train)}, **values}
    return QuestionsConfig.model_validate(settings)


def split_config(path: Path, **limits: int) -> QuestionsConfig:
    """Both splits from one file by its column `split`."""
    sources = {s: {"path": str(path), "where": {"split": s}, "limit": limits.get(s)} for s in ("train", "test")}
    return QuestionsConfig.model_validate({"dataset": "made", **sources})


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_commonsense_qa_reads_alike_from_its_two_forms(tmp_path: Path) -> None:
    hub = ROW | {"choices": {"label": ["A", "B", "C"], "text": ROW["choices"]}, "answerKey": "A"}
    del hub["answer"]
    ours, theirs = write(tmp_path / "a.jsonl", ROW), write(tmp_path / "b.jsonl", hub)
    first = read_split(config(ours, reader="commonsense_qa"), "train")
    assert first == read_split(config(theirs, reader="commonsense_qa"), "train")
    assert first[0].choices == ("rain", "sand", "fire")
    assert (first[0].answer, first[0].dataset, first[0].split) == ("rain", "made", "train")


def test_parquet_and_a_dataset_in_the_hubs_form_read_like_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    hub = {"id": "a", "question": ROW["question"], "answerKey": "A"}
    rows = [hub | {"choices": {"label": ["A", "B", "C"], "text": ROW["choices"]}}]
    folder = tmp_path / "set"
    folder.mkdir()
    datasets.Dataset.from_list(rows).to_parquet(folder / "train.parquet")
    expected = read_split(config(write(tmp_path / "a.jsonl", ROW), reader="commonsense_qa"), "train")
    assert read_split(config(folder / "train.parquet", reader="commonsense_qa"), "train") == expected
    source = {"hub": str(folder), "hub_split": "train"}
    from_hub = {"dataset": "made", "reader": "commonsense_qa", "train": source, "test": source}
    assert read_split(QuestionsConfig.model_validate(from_hub), "train") == expected
    from_hub["train"] = {"hub": str(folder), "hub_split": "exam"}
    with pytest.raises(
        TrainingInputError, match=r"cannot load the split 'exam' of .*Should be one of \['train'\]\. Check hub"
    ):
        read_split(QuestionsConfig.model_validate(from_hub), "train")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    with pytest.raises(TrainingInputError, match=r"torn\.parquet: not a valid Parquet file"):
        read_split(config(tmp_path / "torn.parquet"), "train")


def test_esnli_reads_labels_as_numbers_and_names_and_drops_rows_without(tmp_path: Path) -> None:
    rows = [
        {"premise": "Rain falls.", "hypothesis": "It is wet.", "label": 0},
        {"premise": "Rain falls.", "hypothesis": "It is Monday.", "label": "1"},
        {"premise": "Rain falls.", "hypothesis": "It is dry.", "label": "contradiction"},
        {"premise": "Rain falls.", "hypothesis": "Nobody agrees.", "label": -1},
        {"pairID": "p7", "gold_label": "neutral", "Sentence1": "Rain falls.", "Sentence2": "A dog barks."},
    ]
    questions = read_split(config(write(tmp_path / "a.jsonl", *rows), reader="esnli"), "train")
    assert [q.answer for q in questions] == ["entailment", "neutral", "contradiction", "neutral"]
    assert questions[0].text == "Premise: Rain falls. Hypothesis: It is wet. What is the relationship?"
    assert [q.id for q in questions] == ["train-1", "train-2", "train-3", "p7"]


def test_strategyqa_answers_become_yes_and_no(tmp_path: Path) -> None:
    rows = [{"qid": str(i), "question": f"Is {i} odd?", "answer": bool(i % 2), "facts": []} for i in range(3)]
    questions = read_split(config(write(tmp_path / "a.json", *rows), reader="strategyqa"), "train")
    assert [(q.id, q.choices, q.answer) for q in questions] == [
        ("0", ("yes", "no"), "no"),
        ("1", ("yes", "no"), "yes"),
        ("2", ("yes", "no"), "no"),
    ]


@pytest.mark.parametrize("answer", ["rain", "A", "(a)", "1"])
def test_any_csv_reads_through_a_mapping(answer: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerows([["nr", "text", "x", "y", "z", "key"], ["7", "What is wet?", "rain", "sand", "", answer]])
    mapping = {"id": "nr", "question": "text", "choices": ["x", "y", "z"], "answer": "key"}
    (question,) = read_split(config(path, mapping=mapping), "train")
    assert (question.id, question.choices, question.answer) == ("7", ("rain", "sand"), "rain")


def test_choices_may_stand_in_one_column_and_files_may_be_gzipped_or_arrays(tmp_path: Path) -> None:
    row = ROW | {"choices": "rain | sand | fire"}
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps([row]).encode()))
    assert read_split(config(tmp_path / "a.json.gz"), "train")[0].choices == ("rain", "sand", "fire")


def test_where_keeps_a_split_and_limit_takes_its_first_rows(tmp_path: Path) -> None:
    rows = [
        ROW | {"id": str(i), "question": f"What is wet, {i}?", "split": "test" if i % 3 == 0 else "train"}
        for i in range(9)
    ]
    path = write(tmp_path / "a.jsonl", *rows)
    both = read_questions(split_config(path, train=4))
    assert [[q.id for q in split] for split in both] == [["1", "2", "4", "5"], ["0", "3", "6"]]


def test_blindrates_own_questions_are_read_as_they_are() -> None:
    file = Path(__file__).resolve().parents[2] / "app" / "demo" / "questions.jsonl"
    train, test = read_questions(split_config(file))
    assert len(train) >= 100
    assert len(test) >= 96


def test_a_question_in_both_splits_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", ROW, ROW | {"id": "b", "question": "What is dry?", "answer": "sand"})
    same_id = write(tmp_path / "same_id.jsonl", ROW | {"question": "What else is wet?"})
    with pytest.raises(TrainingInputError, match=r"1 ids are in both train and test, e.g. 'a'"):
        read_questions(config(train, same_id))
    same_text = write(tmp_path / "same_text.jsonl", ROW | {"id": "c", "question": "what is WET? "})
    with pytest.raises(TrainingInputError, match=r"test question 'c' is the same as training question 'a'"):
        read_questions(config(train, same_text))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"id": 1}\n{"id', r"a.jsonl line 2: not valid JSON"),
        (b"[1]", r"a.jsonl row 1: must be an object with named fields, not int"),
        (b"\xff\xfe\x00", r"cannot be read as UTF-8"),
        (
            json.dumps({"id": "a", "question": "x"}).encode(),
            r"row 1: column 'choices' is missing; columns are id, question",
        ),
        (json.dumps(ROW | {"answer": "snow"}).encode(), r"row 1 \(a\): the answer 'snow' is none of the choices"),
        (json.dumps(ROW | {"choices": ["rain"]}).encode(), r"needs a text and at least two choices"),
        (json.dumps(ROW | {"choices": ["rain", " "]}).encode(), r"needs a text and at least two choices"),
        ("\n".join([json.dumps(ROW)] * 2).encode(), r"the id 'a' occurs twice in the train split"),
        (b"", r"holds no question for the train split"),
    ],
)
def test_bad_data_is_named_with_its_place(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(TrainingInputError, match=message):
        read_split(config(tmp_path / "a.jsonl"), "train")


def test_a_missing_file_column_or_broken_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingInputError, match=r"none.jsonl: there is no such file"):
        read_split(config(tmp_path / "none.jsonl"), "train")
    path = write(tmp_path / "a.jsonl", ROW)
    with pytest.raises(TrainingInputError, match=r"there is no column 'split'; questions.train.where names it"):
        read_split(split_config(path), "train")
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"[]")[:-4])
    with pytest.raises(TrainingInputError, match=r"a.json.gz: cannot be read"):
        read_split(config(tmp_path / "a.json.gz"), "train")


@needs_paper_data
def test_the_real_commonsense_qa_is_read_whole() -> None:
    train, test = read_questions(
        config(PAPER / "cqa_train.json.gz", PAPER / "cqa_validation.json.gz", reader="commonsense_qa")
    )
    assert (len(train), len(test)) == (9741, 1221)
