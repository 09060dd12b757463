"""What each step holds: rows of all tasks with a weight for each, cut into micro-batches of little padding.

A step's loss is the weighted sum over tasks of the mean loss per target token. Each target token of task t carries
the weight w_t / N_t, N_t being the number of target tokens of that task in the whole step, so that a step may be cut
anywhere (into micro-batches, over processes) and the parts add up to the same gradient. That freedom is used against
padding: rows are grouped by shape, and cut where that saves most padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from training.errors import TrainingInputError
from training.student.config import StudentConfig
from training.student.encoding import EncodedQuestion, EncodedRow
from training.student.models import Student
from training.student.objectives import Task

POOL_STEPS = 50
"""Steps whose questions are sorted together by length before they are cut into steps: larger pads less and mixes less.
"""


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
