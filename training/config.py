"""The one configuration of a distillation: questions, teacher, students, evaluation. Loaded from YAML, checked as a whole."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from training.errors import TrainingInputError
from training.records import GenerationMethod, Objective
from training.student.config import EvaluationConfig, StudentConfig

INSTALLED = Path(__file__).resolve().parent.parent
Reader = Literal["table", "commonsense_qa", "esnli", "strategyqa"]
PROMPTS_OF_READER: dict[str, str] = {
    "table": "commonsense",
    "commonsense_qa": "commonsense",
    "esnli": "esnli",
    "strategyqa": "strategyqa",
}


MadeField = Literal["id", "few_shot", "counterfactual", "critique", "revised"]


class Part(BaseModel):
    """Base of all parts: unknown keys are errors, values are fixed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SourceConfig(Part):
    """Where one split's questions come from: `path` (JSON, JSON lines, CSV or Parquet, optionally gzipped) or `hub` (a
    Hugging Face dataset). `where` keeps the rows whose columns have these values; `limit` then keeps the first rows.
    """

    path: str | None = None
    hub: str | None = None
    hub_config: str | None = None
    hub_split: str | None = None
    where: dict[str, str] = Field(default_factory=dict)
    limit: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_source(self) -> SourceConfig:
        if (self.path is None) == (self.hub is None):
            raise ValueError("give either path (a file) or hub (a dataset's name)")
        if self.hub is not None and self.hub_split is None:
            raise ValueError("hub needs hub_split, e.g. train")
        return self


class QuestionsConfig(Part):
    """The questions of both splits. Students never learn from `test`; validation questions are taken from `train`.

    dataset: its name in provenance. reader: how rows become questions; `table` takes columns id, question, choices,
    answer or what `mapping` names for them. prompts: a folder of training/teacher/prompts, or a path to one's own.
    """

    dataset: str = Field(min_length=1)
    reader: Reader = "table"
    mapping: dict[Literal["id", "question", "choices", "answer"], str | list[str]] = Field(default_factory=dict)
    prompts: str | None = None
    train: SourceConfig
    test: SourceConfig

    @property
    def prompt_folder(self) -> str:
        """The prompts that are used: those named, or those that go with the reader."""
        return self.prompts or PROMPTS_OF_READER[self.reader]


class LocalEngineConfig(Part):
    """A teacher inside this process. model: a hub id, a folder, or a small model's name (`blindrate models list`).

    chat wraps each prompt as one user message in the model's chat template. dtype auto: bf16 where the device computes
    it in hardware, else float32. share_prefix False computes every prompt in full (slower, same text).
    """

    type: Literal["local"] = "local"
    model: str = Field(min_length=1)
    dtype: Literal["auto", "float32", "bf16"] = "auto"
    chat: bool = False
    share_prefix: bool = True
    trust_remote_code: bool = False


class HttpEngineConfig(Part):
    """A teacher behind an OpenAI-compatible server. base_url ends before /completions, e.g. http://localhost:8000/v1.

    api_key_env names the environment variable that holds the key. prices are in any currency per million tokens.
    """

    type: Literal["http"]
    model: str = Field(min_length=1)
    base_url: str = Field(pattern=r"^https?://")
    api: Literal["completions", "chat"] = "completions"
    api_key_env: str | None = None
    concurrency: int = Field(default=8, ge=1, le=1024)
    timeout_seconds: float = Field(default=300, gt=0)
    max_retries: int = Field(default=5, ge=0)
    backoff_seconds: float = Field(default=1.0, ge=0)
    price_per_million_prompt_tokens: float = Field(default=0.0, ge=0)
    price_per_million_completion_tokens: float = Field(default=0.0, ge=0)


class MadeTeacherConfig(Part):
    """Rationales that exist already, so that no teacher runs. mapping: columns of the file for the question's id and
    for each kind of rationale; `counterfactual` is a column with a list in the order of the choices, or a list of columns.
    """

    path: str
    mapping: dict[MadeField, str | list[str]] = Field(default_factory=dict)

    @field_validator("mapping", mode="after")
    @classmethod
    def _names_something(cls, value: dict[MadeField, str | list[str]]) -> dict[MadeField, str | list[str]]:
        if not set(value) - {"id", "critique"}:
            raise ValueError("name the column of at least one of few_shot, counterfactual, revised")
        return value


class TeacherConfig(Part):
    """How rationales are made. temperature 0 decodes greedily. An empty or degenerate text is made again up to
    `retries` times with other seeds at `retry_temperature`, and then recorded as failed.

    batch_size and the engine's speed settings do not change a result. max_new_tokens may differ by what is written.
    """

    engine: Annotated[LocalEngineConfig | HttpEngineConfig, Field(discriminator="type")] | None = None
    methods: tuple[GenerationMethod, ...] = ("few_shot", "counterfactual", "critique_revision")
    max_new_tokens: int = Field(default=160, ge=1)
    max_critique_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    retries: int = Field(default=2, ge=0)
    retry_temperature: float = Field(default=0.7, gt=0)
    batch_size: int = Field(default=16, ge=1)
    from_: MadeTeacherConfig | None = Field(default=None, alias="from")

    @field_validator("engine", mode="before")
    @classmethod
    def _local_is_default(cls, value: Any) -> Any:
        return {"type": "local", **value} if isinstance(value, dict) and "type" not in value else value

    @model_validator(mode="after")
    def _one_way(self) -> TeacherConfig:
        if (self.engine is None) == (self.from_ is None):
            raise ValueError("give either engine (to make rationales) or from (rationales that exist already)")
        if len(set(self.methods)) != len(self.methods) or not self.methods:
            raise ValueError("methods: name each generation method once, and at least one")
        return self


class StudentGrid(Part):
    """All combinations of objectives, generation methods, models and seeds, trained with the same settings.

    generation_methods: which rationale is the target (few_shot: the first one; critique_revision: the revised one);
    counterfactual texts always come from the counterfactual teacher set. label: put at the end of run names, needed
    where two grids would give equal names. settings: any of StudentConfig's fields but the four of the grid.
    """

    objectives: list[Objective] = Field(min_length=1)
    generation_methods: list[Literal["few_shot", "critique_revision"]] = Field(min_length=1)
    models: list[str] = Field(min_length=1)
    seeds: list[int] = Field(default_factory=lambda: [0], min_length=1)
    label: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+$")
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _settings_are_valid(self) -> StudentGrid:
        for fixed, place in (
            ("objective", "objectives"),
            ("target", "generation_methods"),
            ("model", "models"),
            ("seed", "seeds"),
        ):
            if fixed in self.settings:
                raise ValueError(f"settings.{fixed}: belongs into {place}")
        try:
            StudentConfig(model="any", **self.settings)
        except ValidationError as error:
            raise ValueError("; ".join(f"settings.{_place(e['loc'])}: {e['msg']}" for e in error.errors())) from None
        return self


class DistillConfig(Part):
    """A whole distillation. name: letters, digits, dots, dashes. seed: the teacher's."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = Field(default=0, ge=0)
    questions: QuestionsConfig
    teacher: TeacherConfig
    students: list[StudentGrid] = Field(default_factory=list)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)

    @field_validator("students", mode="before")
    @classmethod
    def _one_grid_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _runs_can_be_made(self) -> DistillConfig:
        names: set[str] = set()
        for run in runs_of(self):
            if run.name in names:
                raise ValueError(f"students: two runs are called {run.name}; give one of their grids a label")
            names.add(run.name)
            if self.teacher.from_ is None and (missing := methods_needed(run.config) - set(self.teacher.methods)):
                raise ValueError(f"students: {run.name} needs teacher.methods to hold {', '.join(sorted(missing))}")
        return self


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run of the grid: its name, and its training's settings."""

    name: str
    config: StudentConfig


def methods_needed(config: StudentConfig) -> set[str]:
    """The teacher sets that a student learns from."""
    needed: set[str] = {config.target}
    if config.objective in ("counterfactual", "multitask_counterfactual"):
        needed.add("counterfactual")
    return needed


def runs_of(config: DistillConfig) -> Iterator[RunPlan]:
    """The runs of all grids, in a fixed order: by model, generation method, objective, seed."""
    for grid in config.students:
        for model, target, objective, seed in itertools.product(
            grid.models, grid.generation_methods, grid.objectives, grid.seeds
        ):
            student = StudentConfig(model=model, target=target, objective=objective, seed=seed, **grid.settings)
            yield RunPlan(_run_name(student, grid.label), student)


def _run_name(student: StudentConfig, label: str | None) -> str:
    """E.g. multitask-few_shot-smollm2-135m-instruct-seed0."""
    model = re.sub(r"[^a-z0-9._]+", "-", Path(student.model).name.lower()).strip("-")
    if student.shrink is not None:
        model += f"-{student.shrink.layers}layers"
    parts = [student.objective, student.target, model, f"seed{student.seed}", *([label] if label else [])]
    return "-".join(parts)


def load_config(path: Path, changes: Sequence[str] = ()) -> DistillConfig:
    """Read and check a YAML file. Relative paths in it are meant from the current folder, else from the file's,
    else from Blindrate's own (so that app/demo/questions.jsonl is found from anywhere).

    changes: settings that are changed before checking, as "dotted.place=value" with the value in YAML.

    Raises:
        TrainingInputError: no such file, not YAML, or a setting that is wrong; with its dotted place and what to do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TrainingInputError(
            f"{path}: there is no such file; give the path of a distillation's YAML file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingInputError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    return parse_config(text, name=str(path), folder=path.resolve().parent, changes=changes)


def parse_config(text: str, *, name: str, folder: Path | None = None, changes: Sequence[str] = ()) -> DistillConfig:
    """As load_config, from text; `name` stands for it in messages."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TrainingInputError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise TrainingInputError(f"{name}: must hold name, questions, teacher and students; see docs/training.md")
    for change in changes:
        _change(content, change)
    try:
        config = DistillConfig.model_validate(content)
    except ValidationError as error:
        lines = [f"{_place(e['loc'])}: {_message(e)}" for e in error.errors()]
        raise TrainingInputError(f"{name}: " + "; ".join(lines) + ". See docs/training.md.") from None
    return _with_found_paths(config, folder)


def _change(content: dict[str, Any], change: str) -> None:
    """Set one place of the content."""
    place, equals, value = change.partition("=")
    if not equals or not place:
        raise TrainingInputError(f"--set {change}: must be PLACE=VALUE, e.g. --set questions.train.limit=20")
    at: Any = content
    *way, last = place.split(".")
    try:
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
        at[int(last) if isinstance(at, list) else last] = yaml.safe_load(value)
    except (ValueError, IndexError, TypeError, AttributeError, yaml.YAMLError):
        raise TrainingInputError(f"--set {change}: there is no such place in the file") from None


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc if part not in ("local", "http")) or "the file"


def _message(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such setting; remove it or mend its spelling"
    if error["type"] == "missing":
        return "is missing"
    return str(error["msg"]).removeprefix("Value error, ")


def _with_found_paths(config: DistillConfig, folder: Path | None) -> DistillConfig:
    """The config with paths that exist only beside the YAML file, or in Blindrate's own folder, made to point there."""

    def found(path: str | None) -> str | None:
        if path is None or Path(path).exists():
            return path
        places = [base / path for base in (folder, INSTALLED) if base is not None]
        return next((os.path.relpath(place) for place in places if place.exists()), path)

    questions = config.questions
    sources = {
        split: getattr(questions, split).model_copy(update={"path": found(getattr(questions, split).path)})
        for split in ("train", "test")
    }
    update: dict[str, Any] = {"questions": questions.model_copy(update=sources)}
    if config.teacher.from_ is not None:
        made = config.teacher.from_.model_copy(update={"path": found(config.teacher.from_.path)})
        update["teacher"] = config.teacher.model_copy(update={"from_": made})
    return config.model_copy(update=update)
