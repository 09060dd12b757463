"""Evaluating a student on the test split: accuracies with their uncertainty, an explanation for every question, and
automatic measures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.stats import binomtest

from training.errors import Cancelled, TrainingInputError
from training.memory import memory_advice
from training.records import Objective, Question
from training.student.config import EvaluationConfig, Progress, ShouldStop, StudentConfig
from training.student.examination import examine_batch, task_prompts
from training.student.measures import accuracy_interval, chance_level, difference_interval, explanation_measures
from training.student.models import Student, default_device, load_student, uses_bf16
from training.student.objectives import ANSWER_TASK

HARDLY_ABOVE = 1.5  # a run is marked as guessing only where so many times the chance of a guess can be ruled out


def evaluate_student(
    config: StudentConfig,
    evaluation_config: EvaluationConfig,
    model_dir: Path,
    test: Sequence[Question],
    out: Path,
    *,
    provenance: Mapping[str, Any],
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> dict[str, Any]:
    """Examine the student in model_dir and write out/explanations.jsonl and out/metrics.json (last); returns the
    metrics.

    Every examined batch is kept in out/items.jsonl, so that an interrupted evaluation goes on where it stopped and
    ends with the same result. provenance: "method" and "generation_method" name the run in explanations.jsonl;
    everything in it goes into the metrics. A diverged run (its training says so, or it answers no better than chance)
    is evaluated and kept like any other, and marked.

    Raises:
        TrainingInputError: no test question, or the folder holds an evaluation with other settings.
        Cancelled: should_stop() said so between two batches.
    """
    questions = list(test)[: evaluation_config.limit]
    if not questions:
        raise TrainingInputError("questions: the test split is empty, so there is nothing to evaluate.")
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, config, evaluation_config, questions)
    student = _loaded(str(model_dir), config, None)
    items = _examined(
        student,
        config.objective,
        questions,
        config,
        evaluation_config,
        out / "items.jsonl",
        progress,
        should_stop,
        "evaluate",
    )
    del student
    metrics = _metrics(items, questions, evaluation_config)
    if evaluation_config.untrained_baseline:
        metrics["untrained"] = _untrained(items, questions, config, evaluation_config, out, progress, should_stop)
    metrics |= _training(model_dir, metrics)
    metrics |= {"objective": config.objective, "seed": config.seed, "model": config.model}
    metrics |= {
        "config": config.model_dump(mode="json"),
        "evaluation": evaluation_config.model_dump(mode="json"),
        "provenance": dict(provenance),
    }
    if evaluation_config.explanations:
        _write_lines(
            out / "explanations.jsonl",
            [_explanation(item, q, config, provenance) for item, q in zip(items, questions, strict=True)],
        )
    part = out / "metrics.json.part"
    part.write_text(json.dumps(metrics, indent=1))
    part.replace(out / "metrics.json")
    return metrics


def _loaded(model: str, config: StudentConfig, shrink: Any) -> Student:
    dtype = torch.bfloat16 if uses_bf16(config.precision) else torch.float32
    student = load_student(model, shrink, dtype)
    student.model.to(default_device()).eval()  # type: ignore[arg-type]
    return student


def _claim(
    out: Path, config: StudentConfig, evaluation_config: EvaluationConfig, questions: Sequence[Question]
) -> None:
    """Settings that change the items must be those of the items already there."""
    settings = {
        "student": config.model_dump(mode="json"),
        "evaluation": evaluation_config.model_dump(mode="json", exclude={"bootstrap_resamples", "untrained_baseline"}),
        "question_ids": [question.id for question in questions],
    }
    path = out / "evaluation_settings.json"
    if path.exists() and json.loads(path.read_text()) != settings:
        raise TrainingInputError(
            f"{out}: holds an evaluation with other settings or questions. Choose another folder or delete this one."
        )
    path.write_text(json.dumps(settings))


def batches_by_length(
    student: Student, objective: Objective, questions: Sequence[Question], config: StudentConfig, size: int
) -> list[list[int]]:
    """Positions of questions in batches of similar prompt length, the longest first; always the same for the same
    questions, whatever is done already.
    """
    prompts = task_prompts(student, ANSWER_TASK[objective], questions, config.max_input_tokens)
    order = sorted(range(len(questions)), key=lambda i: (-len(prompts[i]), i))
    return [order[i : i + size] for i in range(0, len(order), size)]


def _examined(
    student: Student,
    objective: Objective,
    questions: Sequence[Question],
    config: StudentConfig,
    evaluation_config: EvaluationConfig,
    path: Path,
    progress: Progress | None,
    should_stop: ShouldStop | None,
    stage: str,
) -> list[dict[str, Any]]:
    """The items of all questions in their order; those in `path` are not examined again. A batch counts as done only
    when all its lines are there.
    """
    known = {item["question_id"]: item for item in read_lines(path)}
    batches = batches_by_length(student, objective, questions, config, evaluation_config.batch_size)
    done, started, examined = 0, time.monotonic(), 0
    with path.open("a") as file:
        if file.tell() and not path.read_bytes().endswith(b"\n"):
            file.write("\n")  # a line cut off by a crash stays alone and unread
        for positions in batches:
            batch = [questions[i] for i in positions]
            if not all(question.id in known for question in batch):
                if should_stop is not None and should_stop():
                    raise Cancelled(f"evaluation stopped after {done} of {len(questions)} questions")
                with memory_advice("Lower the evaluation's batch_size."):
                    items = examine_batch(student, objective, batch, config.max_input_tokens, evaluation_config)
                file.write("".join(json.dumps(item.as_dict()) + "\n" for item in items))
                file.flush()
                known |= {item.question_id: item.as_dict() for item in items}
                examined += len(batch)
            done += len(batch)
            if progress is not None:
                pace = (time.monotonic() - started) / max(examined, 1)
                right = sum(known[questions[i].id]["correct"] for b in batches for i in b if questions[i].id in known)
                progress(
                    stage,
                    done,
                    len(questions),
                    {"accuracy": right / max(len(known), 1), "eta_seconds": pace * (len(questions) - done)},
                )
    return [known[question.id] for question in questions]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON lines file that may have been cut off anywhere by a crash; [] if there is none."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    part.replace(path)


def _accuracies(items: Sequence[Mapping[str, Any]], resamples: int) -> dict[str, Any]:
    correct = [item["correct"] for item in items]
    generated = [item["generated_correct"] for item in items]
    return {
        "accuracy": sum(correct) / len(items),
        "accuracy_ci": accuracy_interval(correct, resamples),
        "n": len(items),
        "accuracy_generation": sum(generated) / len(items),
        "accuracy_generation_ci": accuracy_interval(generated, resamples),
        "accuracy_exact_match": sum(item["exact_match"] for item in items) / len(items),
        "unparsed_answers": sum(item["generated"] is None for item in items),
    }


def _metrics(
    items: Sequence[Mapping[str, Any]], questions: Sequence[Question], evaluation_config: EvaluationConfig
) -> dict[str, Any]:
    metrics = _accuracies(items, evaluation_config.bootstrap_resamples)
    metrics["chance"] = chance_level([question.choices for question in questions])
    if evaluation_config.explanations:
        described = [
            {
                **item,
                "choices": q.choices,
                "predicted": None if item["predicted"] is None else q.choices[item["predicted"]],
            }
            for item, q in zip(items, questions, strict=True)
        ]
        metrics["explanations"] = explanation_measures(described)
    return metrics


def _untrained(
    items: Sequence[Mapping[str, Any]],
    questions: Sequence[Question],
    config: StudentConfig,
    evaluation_config: EvaluationConfig,
    out: Path,
    progress: Progress | None,
    should_stop: ShouldStop | None,
) -> dict[str, Any]:
    """The same examination of the model before training, and the difference that training made."""
    student = _loaded(config.model, config, config.shrink)
    settings = evaluation_config.model_copy(update={"explanations": False})
    before = _examined(
        student,
        config.objective,
        questions,
        config,
        settings,
        out / "items_untrained.jsonl",
        progress,
        should_stop,
        "evaluate_untrained",
    )
    resamples = evaluation_config.bootstrap_resamples
    pairs = [item["correct"] for item in items], [item["correct"] for item in before]
    result = _accuracies(before, resamples)
    return result | {
        "gain": (sum(pairs[0]) - sum(pairs[1])) / len(items),
        "gain_ci": difference_interval(*pairs, resamples),
    }


def _training(model_dir: Path, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Steps that were really trained, and whether the run diverged and why; from the training's record beside the model
    if any.
    """
    record = model_dir.parent / "training.json"
    training = json.loads(record.read_text())["result"] if record.exists() else {}
    reasons = [training["diverged_reason"]] if training.get("diverged") else []
    right = round(metrics["accuracy"] * metrics["n"])
    highest = (
        binomtest(right, metrics["n"]).proportion_ci(0.95).high
    )  # a handful of questions cannot tell a run that guesses
    guesses = max(metrics["accuracy"], metrics["accuracy_generation"]) <= metrics["chance"]
    if guesses and highest < HARDLY_ABOVE * metrics["chance"]:
        reasons.append(f"accuracy {metrics['accuracy']:.3f} is not above chance ({metrics['chance']:.3f})")
    return {
        "diverged": bool(reasons),
        "diverged_reasons": reasons,
        "at_chance_level": metrics["accuracy_ci"][0] <= metrics["chance"],
        "steps": training.get("steps"),
    }


def _explanation(
    item: Mapping[str, Any], question: Question, config: StudentConfig, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """A line of explanations.jsonl."""
    return {
        "question_id": question.id,
        "question": question.text,
        "choices": list(question.choices),
        "answer": question.answer,
        "predicted": None if item["predicted"] is None else question.choices[item["predicted"]],
        "correct": item["correct"],
        "explanation": item["explanation"],
        "method": provenance.get("method", config.objective),
        "objective": config.objective,
        "generation_method": provenance.get("generation_method", config.target),
        "seed": config.seed,
        "model": provenance.get("model", config.model),
    }
