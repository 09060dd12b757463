"""From rows of text to the batches of a step: one flat, length-sorted, dynamically padded batch for all tasks, with a
weight per row.

A step's loss is the weighted sum over tasks of the mean loss per target token. Each target token of task t carries
the weight w_t / N_t, N_t being the number of target tokens of that task in the whole step, so that a step may be cut
anywhere (into micro-batches, over processes) and the parts add up to the same gradient. That freedom is used against
padding: rows are grouped by shape, and cut where that saves most padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from training.errors import TrainingInputError
from training.student.config import StudentConfig
from training.student.models import Student
from training.student.objectives import QuestionRows, Task, TaskRow, drawn_counterfactual

POOL_STEPS = 50
"""Steps whose questions are sorted together by length before they are cut into steps: larger pads less and mixes less.
"""


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


def row_weights(rows: Sequence[EncodedRow], weights: dict[Task, float]) -> list[float]:
    """Weight of each target token of each row: w_t / N_t. A task without rows in the step adds nothing to the loss."""
    totals: dict[Task, int] = {}
    for row in rows:
        totals[row.task] = totals.get(row.task, 0) + len(row.target_ids)
    return [weights[row.task] / totals[row.task] for row in rows]


def _best_split(sources: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The cut of a group in two, along one of its lengths, that saves most padded tokens: (saved, one side, other side).

    Equal rows, where nothing can be saved, are cut in the middle. Needs at least two rows.
    """
    count = len(sources)
    whole = count * (sources.max() + targets.max())
    sizes = np.arange(1, count)
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for order in (np.lexsort((targets, sources)), np.lexsort((sources, targets))):
        first, second = sources[order], targets[order]
        before = np.maximum.accumulate(first) + np.maximum.accumulate(second)
        after = np.maximum.accumulate(first[::-1])[::-1] + np.maximum.accumulate(second[::-1])[::-1]
        saved = whole - sizes * before[:-1] - (count - sizes) * after[1:]
        cut = int(saved.argmax()) + 1 if saved.max() > 0 else count // 2
        if best is None or saved[cut - 1] > best[0]:
            best = float(saved[cut - 1]), order[:cut], order[cut:]
    assert best is not None
    return best


def cut_rows(rows: Sequence[EncodedRow], parts: int, *, is_encoder_decoder: bool) -> list[list[int]]:
    """Cut rows into `parts` groups of similar shape. Returns positions of rows; if rows are fewer than parts, some
    groups are empty.

    A group costs its rows times its longest input and longest target (for decoder-only models: times its longest
    input and target together). Again and again the group that gains most is cut in two, and the largest where none
    gains, so that more parts always mean less memory, too.
    """
    sources = np.array([len(row.input_ids) if is_encoder_decoder else row.tokens for row in rows])
    targets = np.array([len(row.target_ids) if is_encoder_decoder else 0 for row in rows])
    groups = [np.arange(len(rows))]
    splits = [_best_split(sources, targets) if len(rows) > 1 else None]

    def gain(i: int) -> tuple[float, int]:
        split = splits[i]
        return (-1.0, 0) if split is None else (split[0], len(groups[i]))

    while len(groups) < min(parts, len(rows)):
        chosen = max(range(len(groups)), key=gain)
        group, split = groups.pop(chosen), splits.pop(chosen)
        assert split is not None
        for side in split[1:]:
            half = group[side]
            groups.append(half)
            splits.append(_best_split(sources[half], targets[half]) if len(half) > 1 else None)
    by_cost = sorted(groups, key=lambda g: -len(g) * (sources[g].max() + targets[g].max()))
    return [*(group.tolist() for group in by_cost), *([[]] * (parts - len(groups)))]


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Rows that go through the model together; weights: per target token of each row."""

    rows: list[EncodedRow]
    weights: list[float]


def micro_batches(
    rows: Sequence[EncodedRow], weights: dict[Task, float], parts: int, *, is_encoder_decoder: bool
) -> list[MicroBatch]:
    """Cut one step into `parts` micro-batches. Where rows are fewer than parts, the rest repeat the first row with
    weight 0: every process has the same number of passes to do.
    """
    per_row = row_weights(rows, weights)
    result = []
    for group in cut_rows(rows, parts, is_encoder_decoder=is_encoder_decoder):
        result.append(
            MicroBatch([rows[i] for i in group], [per_row[i] for i in group]) if group else MicroBatch([rows[0]], [0.0])
        )
    return result


class StepDataset(Dataset[MicroBatch]):
    """All micro-batches of a training in order: item i is part i % parts of step i // parts.

    What a step holds depends on its number, the seed and the questions only, never on what ran before, so that a
    resumed training sees the same data. With several processes, parts = gradient_accumulation * processes, and the
    data loader deals the items out in turn.
    """

    def __init__(
        self,
        student: Student,
        questions: Sequence[EncodedQuestion],
        weights: dict[Task, float],
        config: StudentConfig,
        processes: int = 1,
    ) -> None:
        if not questions:
            raise TrainingInputError(
                "questions: no training row is left; the teacher set has no usable rationale for these questions. Check its ids."
            )
        self.questions = questions
        self.weights = weights
        self.config = config
        self.is_encoder_decoder = student.is_encoder_decoder
        self.parts = config.gradient_accumulation * processes
        self.steps_per_epoch = max(1, len(questions) // config.batch_size)
        rows = [q.always or q.counterfactuals for q in questions]
        self._prompt_lengths = np.array([len(some[0].input_ids) for some in rows])
        self._target_lengths = np.array([sum(len(row.target_ids) for row in some) for some in rows])
        self._step: tuple[int, list[MicroBatch]] | None = None
        self._epoch: tuple[int, list[np.ndarray]] | None = None

    def __len__(self) -> int:
        return self.config.max_steps * self.parts

    def __getitem__(self, item: int) -> MicroBatch:
        step, part = divmod(item, self.parts)
        if self._step is None or self._step[0] != step:
            self._step = step, self.step(step)
        return self._step[1][part]

    def step_questions(self, step: int) -> tuple[int, list[int]]:
        """Epoch and positions of the questions of one step (in the last batch of an epoch, questions that do not fill a
        step wait for the next).
        """
        epoch, index = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self._batches(epoch)
        return epoch, self._epoch[1][index].tolist()

    def _batches(self, epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng([self.config.seed, epoch])
        order = rng.permutation(len(self.questions))
        size = self.config.batch_size
        if len(order) < size:
            return [order]
        order = order[: self.steps_per_epoch * size]
        if self.config.group_by_length:
            pool = POOL_STEPS * size
            order = np.concatenate([self._by_length(order[i : i + pool]) for i in range(0, len(order), pool)])
        batches = np.split(order, self.steps_per_epoch)
        return [batches[i] for i in rng.permutation(len(batches))]

    def _by_length(self, pool: np.ndarray) -> np.ndarray:
        """A pool in strips of similar targets (explanations), each sorted by prompt: neighbours are alike in both."""
        by_target = pool[np.argsort(self._target_lengths[pool], kind="stable")]
        strips = np.array_split(by_target, max(1, round(math.sqrt(len(pool) / self.config.batch_size))))
        return np.concatenate([strip[np.argsort(self._prompt_lengths[strip], kind="stable")] for strip in strips])

    def step(self, step: int) -> list[MicroBatch]:
        """The micro-batches of one step."""
        epoch, positions = self.step_questions(step)
        rows = [
            row
            for i in positions
            for row in self.questions[i].rows(self.config.counterfactuals, epoch, self.config.seed)
        ]
        return micro_batches(rows, self.weights, self.parts, is_encoder_decoder=self.is_encoder_decoder)


def padded(sequences: Sequence[Sequence[int]], fill: int, *, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences as one rectangle filled up with `fill`, and the mask of what is real. Both of shape (rows, longest),
    int64.
    """
    width = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), width), fill, dtype=torch.int64)
    mask = torch.zeros((len(sequences), width), dtype=torch.int64)
    for i, sequence in enumerate(sequences):
        where = slice(width - len(sequence), width) if left else slice(0, len(sequence))
        ids[i, where] = torch.tensor(sequence, dtype=torch.int64)
        mask[i, where] = 1
    return ids, mask


def collate(student: Student, batch: MicroBatch) -> dict[str, Any]:
    """The tensors of one pass.

    inputs: what the model's forward takes. positions: flat indices of the places whose next token is a target,
    target_ids: those tokens, token_weights: their weights (all of shape (target tokens,)); real_tokens and
    padded_tokens: how many tokens are needed and how many are computed. A decoder-only model needs no mask here:
    padding is on the right, where causal attention never looks.
    """
    if student.is_encoder_decoder:
        input_ids, mask = padded([row.input_ids for row in batch.rows], student.pad_id)
        start = student.model.config.decoder_start_token_id
        decoder_ids, _ = padded([[start, *row.target_ids[:-1]] for row in batch.rows], student.pad_id)
        inputs = {"input_ids": input_ids, "attention_mask": mask, "decoder_input_ids": decoder_ids}
        width, first = decoder_ids.shape[1], [0] * len(batch.rows)
        computed = input_ids.numel() + decoder_ids.numel()
    else:
        input_ids, _ = padded([row.input_ids + row.target_ids for row in batch.rows], student.pad_id)
        inputs = {"input_ids": input_ids}
        width, first = input_ids.shape[1], [len(row.input_ids) - 1 for row in batch.rows]
        computed = input_ids.numel()
    positions = [torch.arange(len(row.target_ids)) + i * width + first[i] for i, row in enumerate(batch.rows)]
    weights = [
        torch.full((len(row.target_ids),), weight) for row, weight in zip(batch.rows, batch.weights, strict=True)
    ]
    return {
        "inputs": inputs,
        "positions": torch.cat(positions),
        "target_ids": torch.tensor([token for row in batch.rows for token in row.target_ids]),
        "token_weights": torch.cat(weights),
        "real_tokens": sum(row.tokens for row in batch.rows),
        "padded_tokens": computed,
    }
