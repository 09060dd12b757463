"""Examining one batch of questions: the student's answers, its explanation, and whether the one follows from the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from training.errors import TrainingInputError
from training.records import Objective, Question
from training.student.answers import exact_match, explanation_of, parse_answer
from training.student.choice_scoring import best_choice, score_choices
from training.student.config import EvaluationConfig
from training.student.encoding import encode_prompts, encode_targets
from training.student.generation import Generated, generate
from training.student.models import Student
from training.student.objectives import (
    ANSWER_TASK,
    EXPLANATION_TASK,
    Task,
    prompt_text,
    reading_prompt,
    same_text,
    target_text,
)

ANSWER_TOKENS = 12
"""Room for the words around the answer when only an answer is generated."""


@dataclass(frozen=True, slots=True)
class Item:
    """All that was found out about one question. predicted, generated: positions of choices, None where no answer was
    given.

    predicted comes from constrained choice, generated from the parsed output. agrees: whether the explanation alone
    leads to `predicted` (None: not asked).
    """

    question_id: str
    predicted: int | None
    correct: bool
    generated: int | None
    generated_correct: bool
    exact_match: bool
    output: str
    explanation: str
    finished: bool
    agrees: bool | None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def task_prompts(student: Student, task: Task, questions: Sequence[Question], max_input_tokens: int) -> list[list[int]]:
    """Token ids of the task's inputs.

    Raises:
        TrainingInputError: one is longer than max_input_tokens; a question is never cut.
    """
    prompts = encode_prompts(student, [prompt_text(task, question) for question in questions])
    for question, prompt in zip(questions, prompts, strict=True):
        if len(prompt) > max_input_tokens:
            raise TrainingInputError(
                f"question {question.id}: {len(prompt)} tokens, but max_input_tokens is {max_input_tokens}. Raise it."
            )
    return prompts


def choice_targets(student: Student, task: Task, question: Question, explanation: str) -> list[list[int]]:
    """For each choice the tokens that would give it as the answer. `factual` puts the student's own explanation before;
    `standard` stops after the answer.
    """
    texts = [target_text(task, choice, explanation if task == "factual" else "").strip() for choice in question.choices]
    return encode_targets(student, texts, end=task != "standard")


def examine_batch(
    student: Student,
    objective: Objective,
    questions: Sequence[Question],
    max_input_tokens: int,
    config: EvaluationConfig,
) -> list[Item]:
    """Examine questions that fit into memory together. Explanations and answers are decoded greedily."""
    answer_task, explanation_task = ANSWER_TASK[objective], EXPLANATION_TASK[objective]
    answer_prompts = task_prompts(student, answer_task, questions, max_input_tokens)
    outputs: list[Generated] | None = None
    if config.explanations or answer_task == "factual":
        prompts = (
            answer_prompts
            if answer_task == explanation_task
            else task_prompts(student, explanation_task, questions, max_input_tokens)
        )
        outputs = generate(
            student,
            prompts,
            config.max_new_tokens,
            no_repeat_ngram_size=config.no_repeat_ngram_size,
            repetition_penalty=config.repetition_penalty,
        )
    explanations = [
        explanation_of(explanation_task, o.text, q.choices)
        for o, q in zip(outputs or (), questions, strict=outputs is not None)
    ]
    targets = [
        choice_targets(student, answer_task, q, explanations[i] if explanations else "")
        for i, q in enumerate(questions)
    ]
    predicted = [best_choice(scores) for scores in score_choices(student, answer_prompts, targets)]
    if outputs is not None and answer_task == explanation_task:
        answers = outputs
    else:
        longest = max(len(target) for choices in targets for target in choices)
        answers = generate(student, answer_prompts, longest + ANSWER_TOKENS)
    agreement = _agreement(student, questions, explanations, predicted)
    items = []
    for i, question in enumerate(questions):
        generated = parse_answer(answer_task, answers[i].text, question.choices)
        items.append(
            Item(
                question_id=question.id,
                predicted=predicted[i],
                correct=_is_right(question, predicted[i]),
                generated=generated,
                generated_correct=_is_right(question, generated),
                exact_match=exact_match(answer_task, answers[i].text, question.answer),
                output=answers[i].text,
                explanation=explanations[i] if explanations else "",
                finished=outputs[i].finished if outputs else True,
                agrees=agreement[i],
            )
        )
    return items


def _is_right(question: Question, position: int | None) -> bool:
    """By text, so that either place of a repeated right choice counts."""
    return position is not None and same_text(question.choices[position], question.answer)


def _agreement(
    student: Student, questions: Sequence[Question], explanations: Sequence[str], predicted: Sequence[int | None]
) -> list[bool | None]:
    """Whether the student, given the choices and its explanation without the question, picks what it had answered. None
    without explanation or answer.
    """
    asked = [i for i, text in enumerate(explanations) if text and predicted[i] is not None]
    result: list[bool | None] = [None] * len(questions)
    if not asked:
        return result
    prompts = encode_prompts(student, [reading_prompt(questions[i], explanations[i]) for i in asked])
    targets = [choice_targets(student, "counterfactual", questions[i], "") for i in asked]
    for i, scores in zip(asked, score_choices(student, prompts, targets), strict=True):
        followed, answered = best_choice(scores), predicted[i]
        result[i] = (
            followed is not None
            and answered is not None
            and same_text(questions[i].choices[followed], questions[i].choices[answered])
        )
    return result
