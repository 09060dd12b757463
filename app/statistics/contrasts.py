"""Pairwise comparisons of estimated conditions: Tukey and Holm adjustment, confidence intervals, equivalence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from app.statistics.mixed_result import Row


@dataclass(frozen=True)
class Effects:
    """Estimated condition effects on one scale, each against the same baseline: values (C,), covariance (C, C).

    `known` (C,) is False where an estimate has run away (separated ratings): nothing is said about contrasts with it.
    """

    labels: list[str]
    values: NDArray[np.float64]
    covariance: NDArray[np.float64]
    known: NDArray[np.bool_]

    def contrast(self, a: int, b: int) -> tuple[float, float] | None:
        """(estimate, standard error) of b - a, or None where it cannot be estimated."""
        if not (self.known[a] and self.known[b]):
            return None
        variance = self.covariance[a, a] + self.covariance[b, b] - 2.0 * self.covariance[a, b]
        if not variance > 0.0:
            return None
        return float(self.values[b] - self.values[a]), math.sqrt(variance)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) step-down adjusted p values in the given order; None stays None and is no part of the family."""
    present = [i for i, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, i in enumerate(sorted(present, key=lambda i: float(p_values[i] or 0.0))):
        running = max(running, min(1.0, (len(present) - rank) * float(p_values[i] or 0.0)))
        adjusted[i] = running
    return adjusted


def tukey_p(statistic: float, means: int, df: float = math.inf) -> float | None:
    """P value of |estimate / se| in the family of all pairs of `means` means: studentised range of sqrt(2)|statistic|.

    As emmeans does it for a mixed model, df infinite for an ordinal one (Tukey-Kramer; approximate if unbalanced).
    None below 2 degrees of freedom, where the distribution cannot be computed (nor in R).
    """
    if not df >= 2.0:
        return None
    return float(stats.studentized_range.sf(math.sqrt(2.0) * abs(statistic), means, df))


def tukey_quantile(means: int, alpha: float, df: float = math.inf) -> float:
    """Multiplier of the standard error in simultaneous intervals of all pairs of `means` means."""
    return float(stats.studentized_range.ppf(1.0 - alpha, means, df)) / math.sqrt(2.0)


def wald(estimate: float, se: float, alpha: float) -> Row:
    """z, two-sided p and the interval of a normal estimate."""
    z = estimate / se
    half = float(stats.norm.isf(alpha / 2.0)) * se
    return {"z": z, "p": 2.0 * float(stats.norm.sf(abs(z))), "ci": [estimate - half, estimate + half]}


def odds(estimate: float, interval: Sequence[float]) -> Row:
    """The odds ratio of a log odds ratio, with its interval."""
    return {"odds_ratio": _exp(estimate), "odds_ratio_ci": [_exp(bound) for bound in interval]}


def _exp(x: float) -> float:
    return math.exp(min(x, 700.0))


ODDS_CONTRAST = ("estimate", "se", "z", "p", "p_tukey", "p_holm", "odds_ratio", "ci", "odds_ratio_ci", "ci_tukey")


def odds_contrasts(effects: Effects, alpha: float) -> list[Row]:
    """Every pair's log odds ratio b - a with Tukey's and Holm's p values; fields that cannot be estimated are None."""
    rows: list[Row] = []
    count = len(effects.labels)
    quantile = tukey_quantile(count, alpha)
    for a, b in combinations(range(count), 2):
        row: Row = {"a": effects.labels[a], "b": effects.labels[b], **dict.fromkeys(ODDS_CONTRAST)}
        found = effects.contrast(a, b)
        if found:
            estimate, se = found
            test = wald(estimate, se, alpha)
            row |= {"estimate": estimate, "se": se, **test, **odds(estimate, test["ci"])}
            row["p_tukey"] = tukey_p(test["z"], count)
            row["ci_tukey"] = [estimate - quantile * se, estimate + quantile * se]
        rows.append(row)
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return rows


def equivalence_tests(effects: Effects, bound: float) -> list[Row]:
    """Two one-sided tests of |log odds ratio| < log(bound) for every pair (Schuirmann 1987), with the 90 % interval.

    p_tost < .05 exactly when the interval lies within the bounds; p values are not adjusted over pairs.
    """
    limit = math.log(bound)
    half = float(stats.norm.isf(0.05))
    rows: list[Row] = []
    for a, b in combinations(range(len(effects.labels)), 2):
        row: Row = {
            "a": effects.labels[a],
            "b": effects.labels[b],
            "p_tost": None,
            "ci90": None,
            "odds_ratio_ci90": None,
        }
        found = effects.contrast(a, b)
        if found:
            estimate, se = found
            row["p_tost"] = float(max(stats.norm.sf((estimate + limit) / se), stats.norm.sf((limit - estimate) / se)))
            row["ci90"] = [estimate - half * se, estimate + half * se]
            row["odds_ratio_ci90"] = [_exp(end) for end in row["ci90"]]
        rows.append(row)
    return rows
