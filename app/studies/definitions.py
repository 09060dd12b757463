"""Study definitions as people write them: YAML text read so that whatever is wrong is told with its line and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from app.errors import InputError
from app.studies import schemas
from app.studies.schemas import StudyDefinition

FIELDS = sorted(
    {
        field
        for model in vars(schemas).values()
        if isinstance(model, type) and issubclass(model, schemas.BaseModel)
        for field in model.model_fields
    }
)
PATTERNS = {
    "slug": "small letters, digits and hyphens, at least 2 characters",
    "key": "small letters, digits and _, beginning with a letter, at most 40 characters",
    "code": "4 to 40 letters, digits and hyphens",
}
SHORTEST_NAME = 4  # of a condition, to be looked for in texts: a shorter one is found everywhere


class _Loader(yaml.SafeLoader):
    """YAML's safe subset; a key that stands twice in a mapping is an error, not silently the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here twice", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def decode(content: bytes, name: str) -> str:
    """The text of a file. Raises InputError when it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not in UTF-8; save it as UTF-8") from error


def read_definition(text: str, name: str = "definition") -> StudyDefinition:
    """The definition in a YAML text. Raises InputError with one line per problem: `name`, line, dotted path, what is wrong."""
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 -- a subclass of SafeLoader
        root = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{name}{line}: this is not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{name}: this is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{name}: a study's definition must be a YAML mapping; examples/study.yaml is a complete one")
    try:
        return StudyDefinition.model_validate(content)
    except ValidationError as error:
        lines = [f"{name}, line {_line(root, path)}: {text}" for path, text in problems(error)]
        raise InputError("\n".join(lines)) from error


def problems(error: ValidationError) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """What is wrong: path, and a sentence that begins with the dotted path."""
    for found in error.errors():
        path = found["loc"]
        dotted = ".".join(map(str, path))
        yield path, f"{dotted}: {_reason(found)}" if dotted else _reason(found)


def _reason(found: Any) -> str:
    last = str(found["loc"][-1]) if found["loc"] else ""
    match found["type"]:
        case "missing":
            return "this is missing; add it"
        case "extra_forbidden":
            near = difflib.get_close_matches(last, FIELDS, 1)
            return f"there is no such field{f'; did you mean {near[0]}?' if near else '; remove it'}"
        case "string_pattern_mismatch":
            return f"{found['input']!r} does not do; use {PATTERNS.get(last, found['msg'])}"
        case "string_too_short":
            return "this is empty; write something"
    given = found["input"]
    shown = f" (it is {given!r})" if isinstance(given, (str, int, float, bool)) or given is None else ""
    return f"{found['msg'].removeprefix('Value error, ')}{shown}"


def _line(node: yaml.Node | None, path: Sequence[int | str]) -> int:
    """The line, from 1, of what `path` leads to, or of the last thing on the way there."""
    line = node.start_mark.line if node else 0
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            pair = (node.value[part], node.value[part])
        else:
            pair = None
        if pair is None:
            break
        line, node = pair[0].start_mark.line, pair[1]
    return int(line) + 1


def telltales(definition: StudyDefinition) -> list[str]:
    """Where a text that participants read before they rate, or the address, names a condition, method or model: one line each.

    The debrief may: it is shown when all ratings are given.
    """
    words = {text for c in definition.conditions for text in (c.name, c.method, c.model) if text}
    patterns = {
        word: re.compile(rf"(?<!\w){re.escape(_plain(word))}(?!\w)") for word in words if len(word) >= SHORTEST_NAME
    }
    return [
        f"{where}: participants read it, and it names {word!r}; say it in other words"
        for where, text in _shown(definition)
        for word in sorted(patterns)
        if patterns[word].search(_plain(text))
    ]


def _plain(text: str) -> str:
    """Small letters, with every kind of gap as one space, so that few_shot, few-shot and Few shot are the same."""
    return re.sub(r"[\s_\-/]+", " ", text.casefold())


def _shown(definition: StudyDefinition) -> Iterator[tuple[str, str]]:
    yield "slug", definition.slug
    yield "title", definition.title
    for key in ("introduction", "consent", "consent_statement", "instructions", "contact"):
        yield f"texts.{key}", getattr(definition.texts, key)
    for i, construct in enumerate(definition.constructs):
        yield f"constructs.{i}", " ".join((construct.key, construct.name, construct.statement, *construct.labels))
    for i, check in enumerate(definition.comprehension):
        yield f"comprehension.{i}", " ".join((check.question, *check.choices, check.hint))
    if definition.practice:
        yield "practice", " ".join((definition.practice.question, definition.practice.explanation))
    for i, question in enumerate(definition.background):
        yield f"background.{i}", " ".join((question.key, question.label, *question.choices))
