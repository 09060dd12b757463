"""Rows of text as token ids, the same in training and at test time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.student.config import StudentConfig
from training.student.models import Student
from training.student.objectives import QuestionRows, Task, TaskRow, drawn_counterfactual


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A row as token ids; the target ends with the end token."""

    task: Task
    input_ids: list[int]
    target_ids: list[int]

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return len(self.input_ids) + len(self.target_ids)


@dataclass(frozen=True, slots=True)
class EncodedQuestion:
    """The rows of one question; see objectives.QuestionRows."""

    question_id: str
    always: tuple[EncodedRow, ...]
    counterfactuals: tuple[EncodedRow, ...]

    def rows(self, counterfactuals: str, epoch: int, seed: int) -> list[EncodedRow]:
        """The rows of this question in this epoch."""
        if counterfactuals == "all" or not self.counterfactuals:
            return [*self.always, *self.counterfactuals]
        drawn = drawn_counterfactual(self.question_id, len(self.counterfactuals), epoch, seed)
        return [*self.always, self.counterfactuals[drawn]]


def encode_prompts(student: Student, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of inputs. An encoder's input ends with its end token; a decoder-only prompt ends with a line break, and
    the target follows.
    """
    if not texts:
        return []
    if student.is_encoder_decoder:
        return student.tokenizer(list(texts)).input_ids
    encoded = student.tokenizer([text + "\n" for text in texts]).input_ids
    return [ids[:-1] if ids and ids[-1] == student.eos_id else ids for ids in encoded]


def encode_targets(student: Student, texts: Sequence[str], *, end: bool = True) -> list[list[int]]:
    """Token ids of targets, each with the end token after it unless `end` is False."""
    if not texts:
        return []
    encoded = student.tokenizer(list(texts), add_special_tokens=False).input_ids
    return [[*ids, student.eos_id] if end else ids for ids in encoded]


def encode_questions(
    student: Student, questions: Sequence[QuestionRows], config: StudentConfig
) -> tuple[list[EncodedQuestion], dict[str, int]]:
    """Tokenise all rows at once. Rows over max_input_tokens or max_target_tokens are left out whole (a cut target would
    lose its answer).

    Returns:
        the questions that keep at least one row, and how many rows were left out as "missing_<task>" and
        "too_long_<task>".
    """
    rows: list[TaskRow] = [row for question in questions for row in (*question.always, *question.counterfactuals)]
    inputs = iter(encode_prompts(student, [row.input for row in rows]))
    targets = iter(encode_targets(student, [row.target for row in rows]))
    left_out: dict[str, int] = {}

    def encoded(group: Sequence[TaskRow]) -> tuple[EncodedRow, ...]:
        kept = []
        for row in group:
            input_ids, target_ids = next(inputs), next(targets)
            if len(input_ids) > config.max_input_tokens or len(target_ids) > config.max_target_tokens:
                left_out[f"too_long_{row.task}"] = left_out.get(f"too_long_{row.task}", 0) + 1
            else:
                kept.append(EncodedRow(row.task, input_ids, target_ids))
        return tuple(kept)

    result = []
    for question in questions:
        for task, count in question.missing.items():
            left_out[f"missing_{task}"] = left_out.get(f"missing_{task}", 0) + count
        always, counterfactuals = encoded(question.always), encoded(question.counterfactuals)
        if always or counterfactuals:
            first = (question.always or question.counterfactuals)[0]
            result.append(EncodedQuestion(first.question_id, always, counterfactuals))
    return result, left_out
