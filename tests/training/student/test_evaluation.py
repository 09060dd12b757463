"""Examining students: what is written, what is resumed, and what a diverged run looks like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from training.errors import Cancelled, TrainingInputError
from training.records import OBJECTIVES, Question, TeacherRationales
from training.student.answers import explanation_of, parse_answer
from training.student.config import EvaluationConfig, StudentConfig
from training.student.evaluation import batches_by_length, evaluate_student
from training.student.models import Student, load_student
from training.student.objectives import ANSWER_TASK, EXPLANATION_TASK
from training.student.trainer import train_student

QUICK = EvaluationConfig(batch_size=3, max_new_tokens=16, bootstrap_resamples=200)
FIELDS = ["question_id", "question", "choices", "answer", "predicted", "correct", "explanation"]
FIELDS += ["method", "objective", "generation_method", "seed", "model"]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def test_questions(questions: list[Question]) -> list[Question]:
    return questions[:8]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_answers_and_explains_every_question(
    config: StudentConfig, test_questions: list[Question], tmp_path: Path, objective: str
) -> None:
    chosen = config.model_copy(update={"objective": objective})
    provenance = {"method": "m", "generation_method": "few_shot", "model": "tiny"}
    metrics = evaluate_student(chosen, QUICK, Path(config.model), test_questions, tmp_path, provenance=provenance)
    written = lines(tmp_path / "explanations.jsonl")
    assert [row["question_id"] for row in written] == [q.id for q in test_questions]
    assert all(list(row) == FIELDS for row in written)
    assert metrics == json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["n"] == 8
    assert metrics["accuracy"] == sum(row["correct"] for row in written) / 8
    assert metrics["accuracy_ci"][0] <= metrics["accuracy"] <= metrics["accuracy_ci"][1]
    assert metrics["explanations"]["n"] == 8
    by_id = {item["question_id"]: item for item in lines(tmp_path / "items.jsonl")}
    for row, q in zip(written, test_questions, strict=True):
        item = by_id[q.id]
        assert row["correct"] == (row["predicted"] == q.answer)
        assert item["generated"] == parse_answer(ANSWER_TASK[objective], item["output"], q.choices)  # type: ignore[index]
        if ANSWER_TASK[objective] == EXPLANATION_TASK[objective]:  # type: ignore[index]
            assert row["explanation"] == explanation_of(EXPLANATION_TASK[objective], item["output"], q.choices)  # type: ignore[index]


def test_accuracy_is_taken_over_all_questions_and_a_repeated_right_choice_counts_at_either_place(
    llama_dir: Path, tmp_path: Path
) -> None:
    """With every choice right, every answer is right, whichever place it has."""
    test = [Question(f"q{i}", "Where?", ("bridge", "Bridge", "bridge"), "bridge", "made", "test") for i in range(7)]
    config = StudentConfig(model=str(llama_dir), objective="standard", precision="float32")
    metrics = evaluate_student(config, QUICK, llama_dir, test, tmp_path, provenance={})
    assert (metrics["accuracy"], metrics["n"]) == (1.0, 7)


def test_a_stopped_evaluation_goes_on_to_the_same_result(
    config: StudentConfig, test_questions: list[Question], tmp_path: Path
) -> None:
    straight = evaluate_student(config, QUICK, Path(config.model), test_questions, tmp_path / "a", provenance={})
    asked = iter([False, False, True])
    with pytest.raises(Cancelled, match="after 6 of 8"):
        evaluate_student(
            config,
            QUICK,
            Path(config.model),
            test_questions,
            tmp_path / "b",
            provenance={},
            should_stop=lambda: next(asked),
        )
    items = tmp_path / "b" / "items.jsonl"
    items.write_bytes(items.read_bytes()[:-30])  # as a crash in the middle of a line leaves it
    stages = []
    resumed = evaluate_student(
        config,
        QUICK,
        Path(config.model),
        test_questions,
        tmp_path / "b",
        provenance={},
        progress=lambda stage, done, total, figures: stages.append((stage, done, total)),
    )
    assert stages == [("evaluate", 3, 8), ("evaluate", 6, 8), ("evaluate", 8, 8)]
    assert resumed == straight
    assert lines(tmp_path / "a" / "explanations.jsonl") == lines(tmp_path / "b" / "explanations.jsonl")


def test_what_was_examined_is_not_examined_again(
    llama_config: StudentConfig, test_questions: list[Question], tmp_path: Path
) -> None:
    first = evaluate_student(llama_config, QUICK, Path(llama_config.model), test_questions, tmp_path, provenance={})
    written = (tmp_path / "items.jsonl").read_bytes()
    again = evaluate_student(
        llama_config, QUICK, Path(llama_config.model), test_questions, tmp_path, provenance={}, should_stop=lambda: True
    )
    assert again == first
    assert (tmp_path / "items.jsonl").read_bytes() == written


def test_other_settings_in_the_same_folder_are_refused(
    llama_config: StudentConfig, test_questions: list[Question], tmp_path: Path
) -> None:
    evaluate_student(llama_config, QUICK, Path(llama_config.model), test_questions, tmp_path, provenance={})
    with pytest.raises(TrainingInputError, match="other settings or questions"):
        evaluate_student(llama_config, QUICK, Path(llama_config.model), test_questions[:3], tmp_path, provenance={})


def test_batches_hold_every_question_once_and_do_not_depend_on_order_of_work(
    student: Student, config: StudentConfig, questions: list[Question]
) -> None:
    batches = batches_by_length(student, "multitask", questions, config, 6)
    assert sorted(i for batch in batches for i in batch) == list(range(len(questions)))
    assert batches == batches_by_length(student, "multitask", questions, config, 6)


def test_a_question_is_never_cut(llama_config: StudentConfig, test_questions: list[Question], tmp_path: Path) -> None:
    tight = llama_config.model_copy(update={"max_input_tokens": 8})
    with pytest.raises(TrainingInputError, match=r"question q0: \d+ tokens, but max_input_tokens is 8"):
        evaluate_student(tight, QUICK, Path(llama_config.model), test_questions, tmp_path, provenance={})


def test_a_limit_takes_the_first_questions_and_none_is_an_error(
    llama_config: StudentConfig, test_questions: list[Question], tmp_path: Path
) -> None:
    some = QUICK.model_copy(update={"limit": 2, "explanations": False})
    metrics = evaluate_student(llama_config, some, Path(llama_config.model), test_questions, tmp_path, provenance={})
    assert metrics["n"] == 2
    assert "explanations" not in metrics
    assert not (tmp_path / "explanations.jsonl").exists()
    with pytest.raises(TrainingInputError, match="test split is empty"):
        evaluate_student(llama_config, some, Path(llama_config.model), [], tmp_path / "none", provenance={})


def test_a_diverged_run_is_evaluated_kept_and_marked(
    llama_dir: Path, test_questions: list[Question], tmp_path: Path
) -> None:
    broken = load_student(str(llama_dir))
    with torch.no_grad():
        broken.model.get_input_embeddings().weight.fill_(float("nan"))
    broken.model.save_pretrained(tmp_path / "model")
    broken.tokenizer.save_pretrained(tmp_path / "model")
    result = {"steps": 7, "diverged": True, "diverged_reason": "the loss was not finite at step 7"}
    (tmp_path / "training.json").write_text(json.dumps({"result": result}))
    config = StudentConfig(model=str(llama_dir), objective="multitask", precision="float32")
    metrics = evaluate_student(config, QUICK, tmp_path / "model", test_questions, tmp_path / "run", provenance={})
    assert metrics["diverged"] is True
    assert metrics["accuracy"] == 0
    assert metrics["diverged_reasons"][0] == "the loss was not finite at step 7"
    assert "not above chance" in metrics["diverged_reasons"][1]
    assert metrics["steps"] == 7 != config.max_steps
    assert len(lines(tmp_path / "run" / "explanations.jsonl")) == 8


def test_training_makes_a_student_better_than_its_untrained_self(
    questions: list[Question], rationales: dict[str, TeacherRationales], llama_dir: Path, tmp_path: Path
) -> None:
    """On its own training questions: whether learning reaches the answers through templates, batches, scoring and parsing alike."""
    config = StudentConfig(
        model=str(llama_dir),
        objective="multitask",
        alpha=0.9,
        max_steps=60,
        batch_size=8,
        gradient_accumulation=1,
        learning_rate=5e-3,
        warmup_steps=10,
        precision="float32",
        validation_fraction=0,
        save_every=1000,
    )
    train_student(config, questions[:8], rationales, tmp_path)
    settings = QUICK.model_copy(update={"untrained_baseline": True})
    metrics = evaluate_student(config, settings, tmp_path / "model", questions[:8], tmp_path, provenance={})
    assert metrics["accuracy"] == metrics["accuracy_generation"] == metrics["accuracy_exact_match"] == 1.0
    assert metrics["untrained"]["accuracy"] < 1
    assert metrics["untrained"]["accuracy_generation"] == 0
    assert metrics["untrained"]["gain"] == pytest.approx(1 - metrics["untrained"]["accuracy"])
    assert metrics["diverged"] is False
