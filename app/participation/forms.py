"""Posted forms to values. Three outcomes: values; Incomplete (a person can mend it, the form comes back); BadForm (no browser
sends that from our pages: refused, nothing stored)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile

from app.studies.schemas import BackgroundQuestion, ChoiceQuestion, ConstructDefinition

LARGEST_FORM = 64 * 1024  # bytes
LONGEST_TEXT = 2000
CONTROL_FIELDS = {"step", "part", "form"}
_NUMBER = re.compile(r"-?[0-9]{1,9}")


class BadForm(HTTPException):
    """A form that our pages cannot have sent. Nothing is stored."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(status, message)


@dataclass
class Incomplete(Exception):  # noqa: N818
    """What is missing or cannot be right: message per field. `values` are what the form comes back with."""

    errors: dict[str, str]
    values: Mapping[str, str] = field(default_factory=dict)


async def read_form(request: Request) -> dict[str, str]:
    """The posted fields. Refuses what is too large, not a form, a file, or a field that comes twice (400, 413)."""
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > LARGEST_FORM:
        raise BadForm("The form is too large.", 413)
    async with request.form(max_files=0, max_fields=200) as form:
        items = form.multi_items()
    counts = Counter(name for name, _ in items)
    if any(n > 1 for n in counts.values()):
        raise BadForm("The form holds a field twice. Go back, load the page again, and answer once more.")
    fields = {}
    for name, value in items:
        if isinstance(value, UploadFile):
            raise BadForm("The form holds a file, which no page here asks for.")
        fields[name] = value.replace("\r\n", "\n")
    return fields


def ratings(constructs: Sequence[ConstructDefinition], fields: Mapping[str, str]) -> dict[str, int]:
    """Value per construct key. Raises BadForm for unknown fields and values outside the scale, Incomplete for missing ones."""
    given = only({f"rating-{c.key}" for c in constructs}, fields)
    values: dict[str, int] = {}
    errors: dict[str, str] = {}
    for construct in constructs:
        name = f"rating-{construct.key}"
        raw = given.get(name, "")
        if not raw:
            errors[name] = f"Choose an answer for “{construct.statement}”"
            continue
        if (
            not _NUMBER.fullmatch(raw)
            or str(int(raw)) != raw
            or not 0 <= int(raw) - construct.minimum < len(construct.labels)
        ):
            raise BadForm("The form holds a value that is not on the scale. Nothing was stored.")
        values[construct.key] = int(raw)
    if errors:
        raise Incomplete(errors, given)
    return values


def comprehension(checks: Sequence[ChoiceQuestion], fields: Mapping[str, str]) -> dict[str, str]:
    """Hint per wrongly answered check (empty: all right). Raises BadForm, or Incomplete when one is not answered."""
    given = only({f"check-{i}" for i in range(len(checks))}, fields)
    missing: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for i, check in enumerate(checks):
        answer = given.get(f"check-{i}", "")
        if not answer:
            missing[f"check-{i}"] = f"Choose an answer for “{check.question}”"
        elif answer not in check.choices:
            raise BadForm("The form holds an answer that is not one of the choices. Nothing was stored.")
        elif answer != check.answer:
            wrong[f"check-{i}"] = check.hint
    if missing:
        raise Incomplete(missing, given)
    return wrong


def background(questions: Sequence[BackgroundQuestion], fields: Mapping[str, str]) -> dict[str, str | int]:
    """Answer per key of the background questions that were answered. Raises BadForm or Incomplete."""
    given = only({f"background-{q.key}" for q in questions}, fields)
    values: dict[str, str | int] = {}
    errors: dict[str, str] = {}
    for question in questions:
        name = f"background-{question.key}"
        raw = given.get(name, "").replace("\x00", "").strip()
        if not raw:
            if question.required:
                verb = "Choose an answer for" if question.kind == "choice" else "Answer"
                errors[name] = f"{verb} “{question.label}”"
        elif question.kind == "choice":
            if raw not in question.choices:
                raise BadForm("The form holds an answer that is not one of the choices. Nothing was stored.")
            values[question.key] = raw
        elif question.kind == "number":
            problem = _number_problem(question, raw)
            if problem:
                errors[name] = problem
            else:
                values[question.key] = int(raw)
        elif len(raw) > LONGEST_TEXT:
            errors[name] = f"“{question.label}”: please use at most {LONGEST_TEXT} characters"
        else:
            values[question.key] = raw
    if errors:
        raise Incomplete(errors, given)
    return values


def _number_problem(question: BackgroundQuestion, raw: str) -> str | None:
    if not _NUMBER.fullmatch(raw):
        return f"“{question.label}”: please enter a whole number"
    low, high = question.minimum, question.maximum
    if (low is not None and int(raw) < low) or (high is not None and int(raw) > high):
        span = (
            f"from {low} to {high}"
            if None not in (low, high)
            else f"{low} or more"
            if high is None
            else f"up to {high}"
        )
        return f"“{question.label}”: please enter a whole number, {span}"
    return None


def only(names: set[str], fields: Mapping[str, str]) -> dict[str, str]:
    """The step's own fields; BadForm when there is any other."""
    own = without_control(fields)
    if not own.keys() <= names:
        raise BadForm("The form holds a field that is not on this page. Nothing was stored.")
    return own


def without_control(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields that a participant fills in: all but those that say which form it is."""
    return {name: value for name, value in fields.items() if name not in CONTROL_FIELDS}
