"""Prompts: a folder per dataset with Jinja templates and worked examples, which a user can replace by one's own.

Every prompt is a prefix and a suffix. The prefix (instruction and seven worked examples) is the same for all questions
of a kind, so that an engine computes it once. The paper's public code put the style adjectives drawn for a question into
every example, which gives a prefix of its own to each of 306 pairs; here each example keeps a fixed pair, and only the final
turn carries the drawn one. The examples then show pairs that differ, and a model can see from them what a pair does.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2
import yaml

from training.errors import TrainingInputError
from training.records import Question
from training.student.objectives import choices_text, one_line

PROMPTS = Path(__file__).parent / "prompts"
Kind = Literal["rationale", "critique", "revision"]
KINDS: tuple[Kind, ...] = ("rationale", "critique", "revision")
EXAMPLE_KEYS = ("question", "choices", "answer", "adjectives", "rationale", "draft", "request", "critique", "revision")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a teacher is given: `prefix` (shared by many prompts) and `suffix` are one text. question_id is for messages; seed
    (64 bits) is all that its random numbers depend on.
    """

    prefix: str
    suffix: str
    question_id: str
    seed: int = 0

    @property
    def text(self) -> str:
        """The whole prompt."""
        return self.prefix + self.suffix


@dataclass(frozen=True, slots=True)
class PromptSet:
    """A loaded prompt folder. prefixes: by kind. stop: texts at which generation ends. sha256: over all its files."""

    name: str
    templates: Mapping[Kind, jinja2.Template]
    prefixes: Mapping[Kind, str]
    adjectives: tuple[str, ...]
    requests: tuple[tuple[str, str], ...]
    stop: tuple[str, ...]
    example_texts: frozenset[str]
    sha256: str

    def prompt(self, kind: Kind, question: Question, seed: int, **values: Any) -> Prompt:
        """The prompt of one kind for one question. values: answer, and what else the kind's template needs."""
        turn = _turn(self.templates[kind], question.text, question.choices, **values)
        return Prompt(self.prefixes[kind], turn, question.id, seed)


def item_seed(seed: int, *parts: object) -> int:
    """A seed of 63 bits that depends on nothing but its arguments: (seed, method, question id, …)."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def drawn_adjectives(prompts: PromptSet, seed: int, method: str, question_id: str) -> list[str]:
    """Two different adjectives for a question; the choices of a counterfactual set share them."""
    return random.Random(item_seed(seed, method, question_id, "adjectives")).sample(prompts.adjectives, 2)  # noqa: S311


def drawn_request(prompts: PromptSet, seed: int, method: str, question_id: str) -> tuple[str, str]:
    """The paired critique and revision requests for a question."""
    return random.Random(item_seed(seed, method, question_id, "request")).choice(prompts.requests)  # noqa: S311


def _turn(template: jinja2.Template, question: str, choices: Sequence[str], **values: Any) -> str:
    texts = {key: one_line(value) if isinstance(value, str) else value for key, value in values.items()}
    return template.render(question=one_line(question), choices=choices_text(choices), **texts).rstrip("\n")


def load_prompts(folder: str) -> PromptSet:
    """Load a prompt folder: a name in training/teacher/prompts or a path.

    It holds rationale.jinja, critique.jinja, revision.jinja (one turn each; `text` is the completion in an example and
    absent in the final turn) and examples.yaml (instructions, stop, examples, and where they differ from shared.yaml
    adjectives and requests).

    Raises:
        TrainingInputError: no such folder, a missing file or key, a template that does not compile or uses a name that is not given.
    """
    path = PROMPTS / folder if (PROMPTS / folder).is_dir() else Path(folder)
    if not path.is_dir():
        known = ", ".join(sorted(p.name for p in PROMPTS.iterdir() if p.is_dir()))
        raise TrainingInputError(f"questions.prompts: {folder!r} is neither a folder nor one of {known}")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=False)  # noqa: S701
    environment.globals["text"] = ""
    try:
        sources = {kind: (path / f"{kind}.jinja").read_text(encoding="utf-8") for kind in KINDS}
        examples_text = (path / "examples.yaml").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TrainingInputError(f"{error.filename}: this file of the prompt folder is missing") from None
    shared_text = (PROMPTS / "shared.yaml").read_text(encoding="utf-8")
    try:
        content = {**yaml.safe_load(shared_text), **yaml.safe_load(examples_text)}
    except (yaml.YAMLError, TypeError) as error:
        raise TrainingInputError(
            f"{path / 'examples.yaml'}: not a valid YAML mapping: {' '.join(str(error).split())}"
        ) from error
    digest = hashlib.sha256("\0".join([*sources.values(), examples_text, shared_text]).encode()).hexdigest()
    _check(path / "examples.yaml", content)
    requests = tuple((pair["critique"], pair["revision"]) for pair in content["requests"])
    try:
        templates = {kind: environment.from_string(source) for kind, source in sources.items()}
        prefixes = {kind: _prefix(kind, templates[kind], content, requests) for kind in KINDS}
    except jinja2.TemplateError as error:
        raise TrainingInputError(f"{path}: {error.message}; the names given are those of docs/training.md") from error
    texts = [
        one_line(example[key])
        for example in content["examples"]
        for key in ("rationale", "draft", "critique", "revision")
    ]
    return PromptSet(
        name=path.name,
        templates=templates,
        prefixes=prefixes,
        adjectives=tuple(content["adjectives"]),
        requests=requests,
        stop=tuple(content["stop"]),
        example_texts=frozenset(texts),
        sha256=digest,
    )


def _check(path: Path, content: Mapping[str, Any]) -> None:
    for key in ("instructions", "stop", "examples", "adjectives", "requests"):
        if not content.get(key):
            raise TrainingInputError(f"{path}: {key} is missing")
    if missing := [kind for kind in KINDS if kind not in content["instructions"]]:
        raise TrainingInputError(f"{path}: instructions.{missing[0]} is missing")
    if len(set(content["adjectives"])) < 2:
        raise TrainingInputError(f"{path}: adjectives needs at least two different ones")
    for number, pair in enumerate(content["requests"], start=1):
        if set(pair) != {"critique", "revision"}:
            raise TrainingInputError(f"{path}: requests[{number}] needs critique and revision, and nothing else")
    for number, example in enumerate(content["examples"], start=1):
        if missing_keys := [key for key in EXAMPLE_KEYS if key not in example]:
            raise TrainingInputError(f"{path}: examples[{number}].{missing_keys[0]} is missing")
        if not 1 <= example["request"] <= len(content["requests"]):
            raise TrainingInputError(f"{path}: examples[{number}].request must be 1 to {len(content['requests'])}")
        if example["answer"] not in example["choices"]:
            raise TrainingInputError(f"{path}: examples[{number}].answer is none of its choices")


def _prefix(
    kind: Kind, template: jinja2.Template, content: Mapping[str, Any], requests: Sequence[tuple[str, str]]
) -> str:
    turns = [content["instructions"][kind]]
    for example in content["examples"]:
        critique_request, revision_request = requests[example["request"] - 1]
        turns.append(
            _turn(
                template,
                example["question"],
                example["choices"],
                answer=example["answer"],
                adjectives=example["adjectives"],
                rationale=example["draft"],
                critique=example["critique"],
                request=revision_request if kind == "revision" else critique_request,
                text=example[kind],
            )
        )
    return "\n\n".join(turns) + "\n\n"
