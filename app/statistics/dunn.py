"""The reference study's pairwise comparisons: Dunn's test on the ranks, and Vargha and Delaney's A as its effect size."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from app.statistics.data import RatingsData
from app.statistics.mixed_result import Row, plain
from app.statistics.resampling import Vector, generator, holm, participant_weights, percentile_interval, sums_by


@dataclass(frozen=True)
class DunnResult:
    """rows: [construct, a, b, n_a, n_b, z, p, p_bonferroni, p_holm, vargha_delaney_a, vargha_delaney_ci, reason].

    z is positive and A above 0.5 where b was rated higher than a. p values are corrected over the pairs of one construct.
    """

    rows: list[Row]

    def to_dict(self) -> list[Row]:
        """The list in results.json."""
        rows: list[Row] = plain(self.rows)
        return rows


def dunn(data: RatingsData, *, alpha: float = 0.05, seed: int = 0, bootstrap: int = 2000) -> DunnResult:
    """Compare every pair of conditions on every construct (and their mean).

    z = (mean rank b - mean rank a) / sqrt((N (N + 1) / 12 - T / (12 (N - 1))) (1 / n_a + 1 / n_b)), T = sum of t³ - t over
    ties (Dunn 1964), ratings taken as independent. A = P(b > a) + P(b = a) / 2 (Vargha and Delaney 2000); its interval is a
    percentile bootstrap of whole participants.
    """
    people, person = np.unique(data.trials["participant"].to_numpy(str), return_inverse=True)
    weights = participant_weights(len(people), bootstrap, generator(seed, "dunn"))
    condition = pd.Categorical(data.trials["condition"], data.conditions).codes.astype(np.intp)
    pairs = list(combinations(range(len(data.conditions)), 2))
    rows: list[Row] = []
    for measure in data.measures:
        values = data.values(measure)
        seen = np.isfinite(values)
        own = _pairs(values[seen], condition[seen], data.conditions, pairs)
        if own[0]["reason"] is None:
            points, code = np.unique(values[seen], return_inverse=True)
            width = len(data.conditions) * len(points)
            cell = condition[seen] * len(points) + code
            counts = sums_by(person[seen], len(people), cell, width, np.ones(int(seen.sum())))
            shape = (-1, len(data.conditions), len(points))
            observed, resampled = counts.sum(axis=0).reshape(shape), (weights @ counts).reshape(shape)
            for row, (a, b) in zip(own, pairs, strict=True):
                if row["n_a"] and row["n_b"]:
                    row["vargha_delaney_a"] = float(superiority(observed[:, a], observed[:, b])[0])
                    samples = superiority(resampled[:, a], resampled[:, b])
                    row["vargha_delaney_ci"] = percentile_interval(samples, alpha)
        rows += [{"construct": measure, **row} for row in own]
    return DunnResult(rows)


def superiority(a: Vector, b: Vector) -> Vector:
    """(S,) P(b > a) + P(b = a) / 2 from counts per ascending scale point (S, K); NaN where one of the two is empty."""
    below = np.cumsum(a, axis=1) - a
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Vector = ((below + a / 2) * b).sum(axis=1) / (a.sum(axis=1) * b.sum(axis=1))
    return share


def _pairs(values: Vector, condition: np.ndarray, labels: list[str], pairs: list[tuple[int, int]]) -> list[Row]:
    """Dunn's test of each pair; `reason` instead of numbers where nothing can be compared."""
    counts = np.bincount(condition, minlength=len(labels))
    n = len(values)
    empty = dict.fromkeys(("z", "p", "p_bonferroni", "p_holm", "vargha_delaney_a", "vargha_delaney_ci", "reason"))
    rows: list[Row] = [
        {"a": labels[a], "b": labels[b], "n_a": int(counts[a]), "n_b": int(counts[b]), **empty} for a, b in pairs
    ]
    if n < 2 or np.ptp(values) == 0:
        for row in rows:
            row["reason"] = "every rating is the same" if n else "there is no rating"
        return rows
    ranks = stats.rankdata(values)
    _, ties = np.unique(values, return_counts=True)
    variance = n * (n + 1) / 12 - float((ties.astype(float) ** 3 - ties).sum()) / (12 * (n - 1))
    sums = np.bincount(condition, weights=ranks, minlength=len(labels))
    for row, (a, b) in zip(rows, pairs, strict=True):
        if not (counts[a] and counts[b]):
            row["reason"] = "one of the two conditions has no rating"
            continue
        row["z"] = (sums[b] / counts[b] - sums[a] / counts[a]) / np.sqrt(variance * (1 / counts[a] + 1 / counts[b]))
        row["p"] = 2 * stats.norm.sf(abs(row["z"]))
        row["p_bonferroni"] = min(1.0, row["p"] * len(pairs))
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return rows
