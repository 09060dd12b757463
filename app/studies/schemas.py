"""The definition of a study, as researchers write it in YAML and as launch freezes it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# Columns of the exports that a construct's or background question's key may not take.
RESERVED_KEYS = {
    "participant", "position", "condition", "question_id", "explanation_id", "construct", "value", "explanation_length",
    "shown_at", "submitted_at", "state", "outcome", "entered_at", "finished_at", "flags", "excluded", "exclusion_reason",
    "is_bot", "external_id",
}  # fmt: skip
Text = Annotated[str, Field(min_length=1)]
DEFAULT_LABELS = ["Strongly disagree", "Disagree", "Neither agree nor disagree", "Agree", "Strongly agree"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class ConditionDefinition(_Strict):
    """Which explanations make a condition: those of `set` (its name) and/or of `method`, `model` and `seed`."""

    name: Text
    set: str | None = None
    method: str | None = None
    model: str | None = None
    seed: int | None = None

    @model_validator(mode="after")
    def _selects_something(self) -> ConditionDefinition:
        if self.set is None and self.method is None:
            raise ValueError("a condition needs `set` or `method`, to say which explanations belong to it")
        return self


class ConstructDefinition(_Strict):
    """One Likert item."""

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    name: Text
    statement: Text
    source: str | None = None  # where the item comes from, for the report
    labels: list[Text] = Field(default_factory=lambda: list(DEFAULT_LABELS), min_length=2, max_length=11)
    minimum: int = 1


class ChoiceQuestion(_Strict):
    """A comprehension check: a question with one right choice, and what to say when another was picked."""

    question: Text
    choices: list[Text] = Field(min_length=2)
    answer: Text
    hint: Text

    @model_validator(mode="after")
    def _answer_is_a_choice(self) -> ChoiceQuestion:
        if self.answer not in self.choices:
            raise ValueError(f"answer {self.answer!r} is not one of the choices")
        return self


class PracticeTrial(_Strict):
    """A trial that is shown before the real ones and not stored as a rating."""

    question: Text
    choices: list[Text] = Field(min_length=2)
    predicted: Text
    explanation: Text


class BackgroundQuestion(_Strict):
    """A question about the participant. kind choice: one of `choices`; number: a whole number from minimum to maximum; text: free text."""

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    label: Text
    kind: Literal["choice", "number", "text"] = "choice"
    choices: list[Text] = Field(default_factory=list)
    minimum: int | None = None
    maximum: int | None = None
    required: bool = True

    @model_validator(mode="after")
    def _choices_fit_kind(self) -> BackgroundQuestion:
        if (self.kind == "choice") != bool(self.choices):
            raise ValueError("`choices` belong to kind choice, and only to it")
        return self


class Design(_Strict):
    """Who sees what: each participant sees `trials_per_condition` explanations of every condition, no question twice."""

    trials_per_condition: int = Field(3, ge=1, le=50)
    target_participants: int | None = Field(None, ge=1)
    only_correct: bool = Field(True, description="Only explanations of answers that were right.")
    same_questions: bool = Field(True, description="Only questions for which every condition has an explanation.")


class Texts(_Strict):
    """What participants read. Paragraphs are separated by an empty line; a line that begins with '- ' is a list item."""

    introduction: Text
    consent: Text
    consent_statement: Text
    instructions: Text
    debrief: Text
    contact: Text


class Completion(_Strict):
    """How a participant proves to the panel to have finished. code: null draws one per study. return_url may hold {code}."""

    code: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{4,40}$")] | None = None
    return_url: str | None = None

    @field_validator("return_url")
    @classmethod
    def _https(cls, value: str | None) -> str | None:
        if value and not re.match(r"^https?://", value):
            raise ValueError("return_url must begin with https:// (or http://)")
        return value


class StudyDefinition(_Strict):
    """All of a study that is fixed at launch."""

    slug: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]
    title: Text  # participants see it: it must not tell a condition
    language: str = "en"
    preregistration: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=300)] | None = None
    seed: int = 0
    design: Design = Field(default_factory=Design)
    conditions: list[ConditionDefinition] = Field(min_length=2, max_length=12)
    constructs: list[ConstructDefinition] = Field(min_length=1, max_length=20)
    texts: Texts
    comprehension: list[ChoiceQuestion] = Field(default_factory=list)
    practice: PracticeTrial | None = None
    background: list[BackgroundQuestion] = Field(default_factory=list)
    completion: Completion = Field(default_factory=Completion)
    entry_parameters: list[str] = Field(default_factory=lambda: ["PROLIFIC_PID", "STUDY_ID", "SESSION_ID"])
    participant_parameter: str = "PROLIFIC_PID"  # the entry parameter that identifies a person

    @model_validator(mode="after")
    def _names_are_unique(self) -> StudyDefinition:
        for what, names in (
            ("condition name", [c.name for c in self.conditions]),
            ("construct key", [c.key for c in self.constructs]),
            ("background key", [b.key for b in self.background]),
        ):
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]!r} is used twice; each must be unique")
        keys = [c.key for c in self.constructs] + [b.key for b in self.background]
        for key in keys:
            if key in RESERVED_KEYS:
                raise ValueError(f"the key {key!r} is a column of the exports; choose another")
            if keys.count(key) > 1:
                raise ValueError(f"the key {key!r} is used by a construct and a background question; choose another")
        return self

    def sha256(self, stimuli: list[tuple[str, int]]) -> str:
        """Hash of the definition and the stimuli (condition name, explanation id) in a fixed order: what launch freezes."""
        content = {"definition": self.model_dump(mode="json"), "stimuli": sorted(stimuli)}
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
