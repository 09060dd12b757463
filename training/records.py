"""The records that pass between the stages: questions, and the rationales that a teacher wrote for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

GenerationMethod = Literal["few_shot", "counterfactual", "critique_revision"]
Objective = Literal["standard", "multitask", "counterfactual", "multitask_counterfactual"]
GENERATION_METHODS: tuple[str, ...] = get_args(GenerationMethod)
OBJECTIVES: tuple[str, ...] = get_args(Objective)


@dataclass(frozen=True, slots=True)
class Question:
    """A multiple-choice item. `answer` is the text of the right choice; choices may repeat (they do in CommonsenseQA)."""

    id: str
    text: str
    choices: tuple[str, ...]
    answer: str
    dataset: str
    split: str

    @property
    def answer_index(self) -> int:
        """Position of the right choice (its first position when choices repeat)."""
        return self.choices.index(self.answer)


@dataclass(frozen=True, slots=True)
class TeacherRationales:
    """All that the teacher wrote for one question and that students train on.

    few_shot: a rationale for the right answer. counterfactual: one text per choice, in the order of the question's choices,
    each arguing for that choice as if it were right (None where generation failed). revised: the rationale after critique and
    revision. A None is never trained on.
    """

    question_id: str
    few_shot: str | None = None
    counterfactual: tuple[str | None, ...] = field(default=())
    critique: str | None = None
    revised: str | None = None
