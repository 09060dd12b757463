"""The stages of a distillation in order: teacher sets, students, evaluation. Every stage goes on where it was interrupted."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.config import DistillConfig, RunPlan, TeacherConfig, methods_needed, runs_of
from training.errors import Cancelled, TrainingInputError
from training.manifest import code_version, set_summary, software
from training.questions import read_questions
from training.records import GENERATION_METHODS, Question
from training.student.config import Progress, ShouldStop
from training.teacher.made import take_in
from training.teacher.methods import TeacherWork, make_set
from training.teacher.prompts import PromptSet, load_prompts
from training.teacher.store import (
    Row,
    claim,
    content_hash,
    file_sha256,
    questions_hash,
    read_rationales,
    write_json,
)

if TYPE_CHECKING:
    from training.teacher.engine import Engine

Stage = Literal["teacher", "student", "evaluate"]
STAGES: tuple[Stage, ...] = ("teacher", "student", "evaluate")


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """What there is after the stages: counts per teacher set, and metrics of the evaluated runs by name."""

    out: Path
    teacher: dict[str, dict[str, Any]]
    runs: dict[str, dict[str, Any]]


def run_pipeline(
    config: DistillConfig,
    out: Path,
    *,
    resume: bool = True,
    stages: Sequence[Stage] = STAGES,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    command: str | None = None,
) -> PipelineResult:
    """Do what is missing in `out`: teacher sets, runs, evaluations; what is done with the same settings and inputs is kept.

    resume False: `out` must be empty. progress(stage, done, total, figures) is called between items and steps; should_stop
    is asked there, too. command: how this was asked for, for the manifest. In a distributed launch (WORLD_SIZE above 1) only
    the stage `student` can run.

    Raises:
        TrainingInputError: something in the configuration, the data or `out` that a person can mend.
        Cancelled: should_stop() said so; all that was done is stored, and the same call goes on from there.
    """
    distributed, main = int(os.environ.get("WORLD_SIZE", "1")) > 1, os.environ.get("RANK", "0") == "0"
    if distributed and tuple(stages) != ("student",):
        raise TrainingInputError(
            "several processes can only train: make the teacher sets with `blindrate teacher` first, and evaluate with `blindrate evaluate`"
        )
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out, take=main):
        record = _Record(out, config, command, resume, write=main)
        train, test = read_questions(config.questions)
        record.questions(train, test)
        if "teacher" in stages:
            record.update(teacher=_teacher_stage(config, train, out, progress, should_stop))
        if "student" in stages or "evaluate" in stages:
            _require_sets(config, out)
            for plan in runs_of(config):
                _run(config, plan, train, test, out, stages, record, progress, should_stop)
        return PipelineResult(out, record.content.get("teacher", {}), record.metrics)


@contextmanager
def _locked(out: Path, *, take: bool) -> Iterator[None]:
    """One pipeline at a time per folder. The lock goes with the process, whatever ends it."""
    with (out / ".lock").open("a") as file:
        if take:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TrainingInputError(
                    f"{out}: another process is at work in this folder; wait for it or choose another --out"
                ) from None
        yield


class _Record:
    """manifest.json, brought up to date after each stage."""

    def __init__(self, out: Path, config: DistillConfig, command: str | None, resume: bool, *, write: bool) -> None:
        self.path = out / "manifest.json"
        self.write = write
        self.metrics: dict[str, dict[str, Any]] = {}
        found: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        if found and not resume:
            raise TrainingInputError(f"{out}: holds a distillation already; leave out --no-resume to go on with it")
        dumped = config.model_dump(mode="json", by_alias=True, exclude_none=True)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        version = code_version()
        self.content: dict[str, Any] = {
            "name": config.name,
            "dataset": config.questions.dataset,
            "command": command or found.get("command"),
            "config": dumped,
            "config_sha256": content_hash(dumped),
            "seed": config.seed,
            "code_version": version,
            "code_versions": sorted({*found.get("code_versions", []), version}),
            "software": software(),
            "started": found.get("started", now),
            "updated": now,
            "questions": {},
            "teacher": found.get("teacher", {}),
            "runs": {},
        }

    def questions(self, train: Sequence[Question], test: Sequence[Question]) -> None:
        """How many, and their hashes."""
        self.update(
            questions={
                split: {"count": len(questions), "sha256": questions_hash(questions)}
                for split, questions in (("train", train), ("test", test))
            }
        )

    def update(self, **parts: Any) -> None:
        """Set parts and write."""
        self.content |= parts | {"updated": datetime.now(UTC).isoformat(timespec="seconds")}
        if self.write:
            write_json(self.path, self.content)

    def run(self, plan: RunPlan, state: str, sets: Mapping[str, str], metrics: Mapping[str, Any] | None = None) -> None:
        """State and, when it is evaluated, the figures of one run."""
        entry: dict[str, Any] = {
            "state": state,
            "objective": plan.config.objective,
            "generation_method": plan.config.target,
            "model": plan.config.model,
            "seed": plan.config.seed,
            "teacher_sets_sha256": dict(sets),
        }
        if metrics is not None:
            self.metrics[plan.name] = dict(metrics)
            entry |= {k: metrics[k] for k in ("accuracy", "accuracy_ci", "n", "diverged") if k in metrics}
        self.update(runs=self.content["runs"] | {plan.name: entry})


def _engine(config: TeacherConfig) -> Engine:
    """The engine that the configuration asks for."""
    assert config.engine is not None
    if config.engine.type == "local":
        from training.teacher.local import LocalEngine

        return LocalEngine(config.engine)
    from training.teacher.http import HttpEngine

    return HttpEngine(config.engine)


def _teacher_stage(
    config: DistillConfig,
    train: Sequence[Question],
    out: Path,
    progress: Progress | None,
    should_stop: ShouldStop | None,
) -> dict[str, dict[str, Any]]:
    """All teacher sets, in the order in which they depend on each other; a summary of each."""
    teacher = out / "teacher"
    source = {"questions_sha256": questions_hash(train)}
    if config.teacher.from_ is not None:
        made = config.teacher.from_
        settings = source | {"from_sha256": file_sha256(_existing(made.path)), "mapping": dict(made.mapping)}
        sets = take_in(made, config.teacher.methods, train, teacher, settings)
        return {method: set_summary(rows) | {"source": "from", **settings} for method, rows in sets.items()}
    prompts = load_prompts(config.questions.prompt_folder)
    methods = [m for m in GENERATION_METHODS if m in config.teacher.methods]
    if "critique_revision" in methods and "few_shot" not in methods:
        methods.insert(0, "few_shot")  # what is revised
    engine = _engine(config.teacher)
    try:
        work = TeacherWork(config.teacher, engine, prompts, config.seed)
        summaries: dict[str, dict[str, Any]] = {}
        for method in methods:
            settings = source | _set_settings(config, method, engine, prompts, teacher)
            rows: list[Row] = make_set(
                work, method, train, teacher, settings=settings, progress=progress, should_stop=should_stop
            )
            summary = set_summary(rows)
            summary["cost"] = engine.cost(summary["prompt_tokens"], summary["completion_tokens"])
            summaries[method] = summary | {"source": engine.describe(), "prompts_sha256": prompts.sha256}
            summaries[method]["sha256"] = file_sha256(teacher / method / "rationales.jsonl")
        return summaries
    finally:
        engine.close()


def _existing(path: str) -> Path:
    if not Path(path).exists():
        raise TrainingInputError(f"teacher.from.path: there is no file {path}; mend the path or give an engine instead")
    return Path(path)


def _set_settings(
    config: DistillConfig, method: str, engine: Engine, prompts: PromptSet, teacher: Path
) -> dict[str, Any]:
    """What a set's content depends on. Batch size and other settings of speed are not among it."""
    part = config.teacher
    described = engine.describe()
    settings: dict[str, Any] = {
        "method": method,
        "seed": config.seed,
        "prompts_sha256": prompts.sha256,
        "engine": {key: described.get(key) for key in ("type", "model", "model_sha256", "dtype", "chat", "api")},
        "decoding": part.model_dump(include={"max_new_tokens", "temperature", "top_p", "retries", "retry_temperature"}),
    }
    if method == "critique_revision":
        settings["max_critique_tokens"] = part.max_critique_tokens
        settings["first_sha256"] = file_sha256(teacher / "few_shot" / "rationales.jsonl")
    return settings


def _require_sets(config: DistillConfig, out: Path) -> None:
    """Every set that a run needs must be finished."""
    for plan in runs_of(config):
        for method in sorted(methods_needed(plan.config)):
            if not (out / "teacher" / method / "rationales.jsonl").exists():
                raise TrainingInputError(
                    f"{out}: the teacher set {method} is not finished, and {plan.name} needs it; run `blindrate teacher` first"
                )


def _run(
    config: DistillConfig,
    plan: RunPlan,
    train: Sequence[Question],
    test: Sequence[Question],
    out: Path,
    stages: Sequence[Stage],
    record: _Record,
    progress: Progress | None,
    should_stop: ShouldStop | None,
) -> None:
    """Train and evaluate one run, as far as the stages ask for it and it is not done."""
    folder, teacher = out / "runs" / plan.name, out / "teacher"
    sets = {m: file_sha256(teacher / m / "rationales.jsonl") for m in sorted(methods_needed(plan.config))}
    claim(folder, {"train_sha256": questions_hash(train), "teacher_sets_sha256": sets}, "inputs.json")

    def report(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        if progress is not None:
            progress(f"{stage} {plan.name}", done, total, figures)

    if should_stop is not None and should_stop():
        raise Cancelled(f"stopped before {plan.name}")
    if "student" in stages:
        from training.student.trainer import train_student

        rationales = read_rationales(teacher, train)
        train_student(plan.config, train, rationales, folder, progress=report, should_stop=should_stop)
        if record.write:
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # only an unfinished training needs them
        record.run(plan, "trained", sets)
    if "evaluate" not in stages:
        return
    if not (folder / "model").is_dir():
        raise TrainingInputError(f"{folder}: there is no trained student to evaluate; run `blindrate student` first")
    metrics = _finished_metrics(folder, config, test)
    if metrics is None:
        from training.student.evaluation import evaluate_student

        metrics = evaluate_student(
            plan.config,
            config.evaluation,
            folder / "model",
            test,
            folder,
            provenance=_provenance(plan, record.content),
            progress=report,
            should_stop=should_stop,
        )
    record.run(plan, "evaluated", sets, metrics)


def _finished_metrics(folder: Path, config: DistillConfig, test: Sequence[Question]) -> dict[str, Any] | None:
    """The metrics of an evaluation with these settings and questions, if it is finished."""
    path = folder / "metrics.json"
    if not path.exists():
        return None
    metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    same = metrics.get("evaluation") == config.evaluation.model_dump(mode="json")
    same = same and metrics.get("provenance", {}).get("test_sha256") == questions_hash(test)
    return metrics if same else None


def _provenance(plan: RunPlan, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What is written beside a run's metrics: enough to find its way back without the manifest."""
    return {
        "method": f"{plan.config.objective}/{plan.config.target}",
        "generation_method": plan.config.target,
        "model": plan.config.model,
        "run": plan.name,
        "dataset": manifest["dataset"],
        "code_version": manifest["code_version"],
        "config_sha256": manifest["config_sha256"],
        "train_sha256": manifest["questions"]["train"]["sha256"],
        "test_sha256": manifest["questions"]["test"]["sha256"],
    }
