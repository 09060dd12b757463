"""Who sees what: `trials_per_condition` stimuli of every condition, no question twice, the least rated first, in random order.

Pure: counts in, a choice out. How the counts are read under a lock is in app/participation/service.py (reserve_trials).

Each choice is one exact assignment (Hungarian method) of the participant's slots to questions. Filling the least rated stimuli
greedily can lead into a corner: at the end of a round the last open stimuli of two conditions may belong to the same questions,
which one person may not see twice. Two things keep the way open:

- Among equally rated stimuli, questions that are still open in the most conditions go first. In the bipartite graph of
  conditions and questions this is the step of König's edge-colouring theorem that lowers the highest degree each time.
- When a round does not divide by k, its remainder (which a later participant must take whole) is set aside first.

Where every condition has an explanation for each of n >= conditions x k questions and nobody drops out, the counts within a
condition therefore differ by at most 1 after every participant; with gaps (released trials) the gaps are filled first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from app.errors import InputError

Matrix = NDArray[np.float64]
RESERVED = 0.5  # a set-aside stimulus counts as half a rating more: behind its equals, before the next round's


class TooFewStimuliError(InputError):
    """A participant cannot be given enough stimuli of every condition without meeting a question twice."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stimulus and how often it was given out already (trials that were not released)."""

    stimulus_id: int
    condition_id: int
    question_id: int
    count: int = 0


def allocate(candidates: Sequence[Candidate], trials_per_condition: int, seed: Sequence[int]) -> list[int]:
    """Stimulus ids for one participant in the order in which they are shown: `trials_per_condition` of every condition.

    `seed` (e.g. study seed, participant id) makes ties and the order reproducible. Raises TooFewStimuliError.
    """
    counts, stimuli = _matrix(candidates)
    random = np.random.default_rng(list(seed))
    rows, columns = _choose(counts, trials_per_condition, random)
    chosen = [int(stimuli[row, column]) for row, column in zip(rows, columns, strict=True)]
    return [chosen[i] for i in random.permutation(len(chosen))]


def check_supply(candidates: Sequence[Candidate], conditions: int, trials_per_condition: int) -> None:
    """Raise TooFewStimuliError, saying what is missing, unless a participant can be given a full set. For the launch."""
    counts, _ = _matrix(candidates)
    available = [int(n) for n in np.isfinite(counts).sum(axis=1)] if len(candidates) else []
    needed = conditions * trials_per_condition
    questions = counts.shape[1] if len(candidates) else 0
    advice = "Add explanations, or lower design.trials_per_condition."
    if len(available) < conditions:
        raise TooFewStimuliError(
            f"{conditions - len(available)} of {conditions} conditions have no explanation that fits. {advice}"
        )
    if min(available) < trials_per_condition:
        raise TooFewStimuliError(
            f"each participant sees {trials_per_condition} explanations of every condition, but one condition has only "
            f"{min(available)}. {advice}"
        )
    if questions < needed:
        raise TooFewStimuliError(
            f"each participant sees {needed} explanations ({trials_per_condition} of each of {conditions} conditions), no "
            f"question twice, so {needed} questions are needed; there are {questions}. {advice}"
        )
    _choose(counts, trials_per_condition, np.random.default_rng(0))


def _matrix(candidates: Sequence[Candidate]) -> tuple[Matrix, NDArray[np.int64]]:
    """Counts (conditions x questions, infinite where there is no stimulus) and the stimulus ids in the same places."""
    conditions = {c: i for i, c in enumerate(sorted({x.condition_id for x in candidates}))}
    questions = {q: i for i, q in enumerate(sorted({x.question_id for x in candidates}))}
    counts = np.full((len(conditions), len(questions)), np.inf)
    stimuli = np.zeros(counts.shape, dtype=np.int64)
    # Of several stimuli of one condition for the same question, the least given one stands for all.
    for x in sorted(candidates, key=lambda x: (-x.count, -x.stimulus_id)):
        place = conditions[x.condition_id], questions[x.question_id]
        counts[place], stimuli[place] = x.count, x.stimulus_id
    return counts, stimuli


def _choose(counts: Matrix, k: int, random: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Condition and question indices of one participant's stimuli: k of each row of `counts`, no column twice."""
    if counts.size == 0:
        raise TooFewStimuliError("the study has no explanations")
    level = counts.min(axis=1, keepdims=True)
    is_open = counts == level
    open_count = is_open.sum(axis=1)
    remainder = np.where(open_count > k, open_count % k, 0)
    costs = counts.copy()
    if remainder.any():
        aside = _assign(counts, remainder, random)
        costs[aside] += np.where(is_open[aside], RESERVED, 0)
    return _assign(costs, np.full(len(counts), k), random)


def _assign(costs: Matrix, slots: NDArray[Any], random: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Fill `slots[c]` places of each row c with columns, no column twice: the lowest costs first, then the columns that are
    open (at their row's lowest cost) in the most rows, then by chance."""
    # How far each column is behind: every row that has not had it this round counts once, earlier gaps count more.
    lowest = costs.min(axis=1, keepdims=True)
    behind = np.where(np.isfinite(costs), np.maximum(lowest + 1 - costs, 0), 0).sum(axis=0)
    rank = np.unique(-behind, return_inverse=True)[1].astype(float)
    level = np.unique(costs, return_inverse=True)[1].reshape(costs.shape).astype(float)
    # Lexicographic: one step of a higher criterion outweighs all slots' steps of the lower ones.
    width = float(slots.sum() + 1)
    step = width * (rank.max() + 1)
    weights = level * step * width + rank * width + random.random(costs.shape)
    weights[~np.isfinite(costs)] = np.inf
    rows = np.repeat(np.arange(len(costs)), slots)
    try:
        places, columns = linear_sum_assignment(weights[rows])
    except ValueError:
        places, columns = np.array([], dtype=int), np.array([], dtype=int)
    if len(places) < len(rows):
        raise TooFewStimuliError(
            "the explanations do not allow a full set for a participant without showing a question twice. "
            "Add explanations, or lower design.trials_per_condition."
        )
    return rows[places], columns
