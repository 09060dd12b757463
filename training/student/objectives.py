"""What a student learns under each objective: one table of input and target templates, and the weights of its tasks.

The templates are those of the paper's public code (its T5 templates for CommonsenseQA) with two corrections: the
rationale in the counterfactual input stands on a line of its own, and every dataset shows its choices. `predict` has
no "[answer]" before its target, as in the runs that the paper reports.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from training.records import Objective, Question, TeacherRationales
from training.student.config import StudentConfig

Task = Literal["standard", "predict", "explain", "factual", "counterfactual"]

ASKED = "Question: {question}\nChoices: {choices}"

TEMPLATES: dict[Task, tuple[str, str]] = {
    # task: (input, target)
    "standard": ("[question] {question}\n[choices] {choices}", "[answer] The answer is {answer}. {rationale}"),
    "predict": ("[predict] " + ASKED, "The answer is {answer}"),
    "explain": ("[explain] " + ASKED, "{rationale}"),
    "factual": ("[factual] " + ASKED, "[factual] Answer: {rationale} So the answer is {answer}."),
    "counterfactual": (
        "[counterfactual] " + ASKED + "\nRationale: {rationale}",
        "[counterfactual] So the answer is {answer}.",
    ),
}

EXPLANATION_TASK: dict[Objective, Task] = {
    # Which task's output holds the explanation at test time: what a student of this objective has learned to explain with.
    "standard": "standard",  # the text after the answer
    "multitask": "explain",  # all of it
    "counterfactual": "factual",  # the text before "So the answer is"
    "multitask_counterfactual": "explain",  # all of it, as in the paper's tables of its combined students
}

ANSWER_TASK: dict[Objective, Task] = {
    "standard": "standard",
    "multitask": "predict",
    "counterfactual": "factual",
    "multitask_counterfactual": "predict",
}


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One training example: what goes in, and what must come out."""

    question_id: str
    task: Task
    input: str
    target: str


def task_weights(config: StudentConfig) -> dict[Task, float]:
    """Weight of each task's mean token loss; tasks of weight 0 are left out. The weights sum to 1.

    multitask_counterfactual: gamma * [alpha * predict + (1 - alpha) * explain] + (1 - gamma) * [beta * factual + (1 -
    beta) * counterfactual]. counterfactual: beta * factual + (1 - beta) * counterfactual; at .5 this is half of the
    paper's plain sum, so the same ratio.
    """
    alpha, beta, gamma = config.alpha, config.beta, config.gamma
    multitask: dict[Task, float] = {"predict": alpha, "explain": 1 - alpha}
    counterfactual: dict[Task, float] = {"factual": beta, "counterfactual": 1 - beta}
    table: dict[Objective, dict[Task, float]] = {
        "standard": {"standard": 1.0},
        "multitask": multitask,
        "counterfactual": counterfactual,
        "multitask_counterfactual": {
            **{task: gamma * weight for task, weight in multitask.items()},
            **{task: (1 - gamma) * weight for task, weight in counterfactual.items()},
        },
    }
    return {task: weight for task, weight in table[config.objective].items() if weight > 0}


def one_line(text: str | None) -> str:
    """The text with every run of white space as one space; "" for None."""
    return " ".join((text or "").split())


def same_text(first: str, second: str) -> bool:
    """Whether two choices are the same for a reader: equal but for case and white space."""
    return one_line(first).casefold() == one_line(second).casefold()


def choices_text(choices: Sequence[str]) -> str:
    """The choices as "(a) x (b) y ..."."""
    return " ".join(f"({chr(ord('a') + i)}) {one_line(choice)}" for i, choice in enumerate(choices))


def prompt_text(task: Task, question: Question, rationale: str = "") -> str:
    """The input of one task for one question; `rationale` is read by the counterfactual task only."""
    return TEMPLATES[task][0].format(
        question=one_line(question.text), choices=choices_text(question.choices), rationale=one_line(rationale)
    )


def target_text(task: Task, answer: str, rationale: str = "") -> str:
    """The target of one task for an answer, and for the rationale where the task writes one."""
    return TEMPLATES[task][1].format(answer=one_line(answer), rationale=one_line(rationale))


def wrong_choices(question: Question) -> list[int]:
    """Positions of the choices that can be counterfactual targets: never a text equal to the right answer, and each text
    once.
    """
    kept: list[int] = []
    for i, choice in enumerate(question.choices):
        seen = [question.answer, *(question.choices[k] for k in kept)]
        if not any(same_text(choice, other) for other in seen):
            kept.append(i)
    return kept


@dataclass(frozen=True, slots=True)
class QuestionRows:
    """All rows of one question under one objective: `always` in every step, `counterfactuals` all or one of them (see
    choose).
    """

    always: tuple[TaskRow, ...]
    counterfactuals: tuple[TaskRow, ...]
    missing: Mapping[str, int]


def rows_of(question: Question, rationales: TeacherRationales | None, config: StudentConfig) -> QuestionRows:
    """Every row the objective makes of one question. What the teacher failed to write (None or blank) is left out and
    counted by task.
    """
    weights = task_weights(config)
    rationales = rationales or TeacherRationales(question.id)
    explanation = one_line(rationales.revised if config.target == "critique_revision" else rationales.few_shot)
    missing: Counter[str] = Counter()
    always: list[TaskRow] = []
    for task in weights:
        if task == "counterfactual":
            continue
        if task != "predict" and not explanation:
            missing[task] += 1
            continue
        always.append(
            TaskRow(question.id, task, prompt_text(task, question), target_text(task, question.answer, explanation))
        )
    counterfactuals: list[TaskRow] = []
    for i in wrong_choices(question) if "counterfactual" in weights else ():
        text = one_line(rationales.counterfactual[i]) if i < len(rationales.counterfactual) else ""
        if not text:
            missing["counterfactual"] += 1
            continue
        row_input = prompt_text("counterfactual", question, text)
        counterfactuals.append(
            TaskRow(question.id, "counterfactual", row_input, target_text("counterfactual", question.choices[i]))
        )
    return QuestionRows(tuple(always), tuple(counterfactuals), missing)


def drawn_counterfactual(question_id: str, count: int, epoch: int, seed: int) -> int:
    """Which of `count` counterfactual rows is used in this epoch; depends on nothing but its arguments."""
    return random.Random(f"{seed}/{epoch}/{question_id}").randrange(count)  # noqa: S311 -- a training draw, not a secret


def reading_prompt(question: Question, explanation: str) -> str:
    """The counterfactual task's input without the question: all a student gets when it is asked where an explanation
    alone leads.
    """
    return f"[counterfactual] Choices: {choices_text(question.choices)}\nRationale: {one_line(explanation)}"
