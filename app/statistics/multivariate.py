"""All constructs at once: a permutation test within participants, in place of the reference study's npmv."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from app.statistics.data import RatingsData
from app.statistics.mixed_result import Row, plain
from app.statistics.resampling import Vector, generator

CELLS = 4_000_000
"""Permuted labels held at once."""


@dataclass(frozen=True)
class MultivariateResult:
    """statistic and p of all constructs together; constructs: [construct, statistic, p, p_max], p_max corrected over them.

    `n` trials have every construct rated. `estimable` False: `reason` says why.
    """

    n: int
    permutations: int
    estimable: bool = True
    reason: str | None = None
    statistic: float | None = None
    p: float | None = None
    constructs: list[Row] | None = None

    def to_dict(self) -> Row:
        """The entry of results.json."""
        out: Row = plain(vars(self))
        return out


def multivariate(data: RatingsData, *, seed: int = 0, permutations: int = 1999) -> MultivariateResult:
    """Test that the conditions give every participant the same distribution of all constructs.

    Ratings become ranks, centred within participants. Statistic: sum over conditions of n_c m_c' S^-1 m_c, with m_c the mean
    of the ranks and S their covariance (Lawley and Hotelling's trace, up to a factor that permutation doesn't change). The
    null distribution shuffles the conditions over each participant's trials. A construct's own statistic has S = its variance;
    p_max compares it with the largest over constructs (Westfall and Young 1993). p = (1 + at least as large) / (1 + permutations).
    """
    matrix = data.trials[data.constructs].to_numpy(float)
    complete = np.isfinite(matrix).all(axis=1)
    n = int(complete.sum())
    person = pd.factorize(data.trials["participant"][complete])[0]
    condition = pd.Categorical(data.trials["condition"][complete], data.conditions).codes.astype(np.intp)
    pairs = pd.DataFrame({"who": person, "condition": condition}).groupby("who")["condition"].nunique()
    if n == 0 or not (pairs > 1).any():
        return MultivariateResult(n, permutations, False, "no participant rated all constructs under two conditions")
    ranks = np.column_stack([stats.rankdata(column) for column in matrix[complete].T])
    sums = pd.DataFrame(ranks).groupby(person).transform("mean").to_numpy()
    ranks = ranks - sums
    covariance = ranks.T @ ranks / n
    if np.linalg.matrix_rank(covariance) < len(covariance):
        return MultivariateResult(
            n, permutations, False, "a construct doesn't vary within participants, or repeats another"
        )
    # whitened together for the joint statistic; scaled one by one for the constructs' own
    white = ranks @ np.linalg.inv(np.linalg.cholesky(covariance)).T
    scaled = ranks / np.sqrt(np.diag(covariance))
    both = np.hstack([white, scaled])
    k, count = len(covariance), len(data.conditions)

    def statistics(labels: np.ndarray) -> Vector:
        """(S, 1 + k) the joint and the constructs' statistics of label rows (S, n)."""
        total = np.zeros((len(labels), 2 * k))
        for c in range(count):
            own = (labels == c).astype(float)
            size = np.maximum(own.sum(axis=1, keepdims=True), 1.0)
            total += (own @ both) ** 2 / size
        return np.column_stack([total[:, :k].sum(axis=1), total[:, k:]])

    observed = statistics(condition[None])[0]
    rng = generator(seed, "multivariate")
    larger = np.zeros(1 + 2 * k)
    block = max(1, CELLS // n)
    for start in range(0, permutations, block):
        size = min(block, permutations - start)
        order = np.argsort(rng.random((size, n)) + person, axis=1)  # trials are sorted by participant
        found = statistics(condition[order])
        close = observed * (1 - 1e-10)
        larger[: 1 + k] += (found >= close).sum(axis=0)
        larger[1 + k :] += (found[:, 1:].max(axis=1, keepdims=True) >= close[1:]).sum(axis=0)
    p = (1 + larger) / (1 + permutations)
    rows: list[Row] = [
        {"construct": name, "statistic": observed[1 + at], "p": p[1 + at], "p_max": p[1 + k + at]}
        for at, name in enumerate(data.constructs)
    ]
    return MultivariateResult(n, permutations, True, None, float(observed[0]), float(p[0]), rows)
