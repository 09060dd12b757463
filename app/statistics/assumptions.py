"""Diagnostics of the reference study's tests. They gate nothing: the primary analysis doesn't rest on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.statistics import pingouin_adapter
from app.statistics.data import RatingsData
from app.statistics.mixed_result import Row, plain

MOST = 5000
"""Ratings of one condition up to which Shapiro and Wilk's p value holds (Royston 1995)."""
MOST_HENZE_ZIRKLER = 4000
"""Trials up to which Henze and Zirkler's test, quadratic in them, is run."""


@dataclass(frozen=True)
class AssumptionsResult:
    """shapiro_wilk: [construct, condition, n, W, p, reason]; levene: [construct, F, df1, df2, p, reason];
    box_m: {chi2, df, p, reason}; henze_zirkler: {n, hz, p, reason}."""

    shapiro_wilk: list[Row]
    levene: list[Row]
    box_m: Row
    henze_zirkler: Row

    def to_dict(self) -> Row:
        """The entry of results.json."""
        out: Row = plain(vars(self))
        return out


def assumptions(data: RatingsData) -> AssumptionsResult:
    """Normality per condition (Shapiro-Wilk), equal spread (Levene around the median), equal covariances (Box's M), joint
    normality (Henze-Zirkler) of the ratings."""
    labels = data.trials["condition"].to_numpy(str)
    shapiro, levene = [], []
    for measure in data.measures:
        values = data.values(measure)
        groups = [values[(labels == condition) & np.isfinite(values)] for condition in data.conditions]
        shapiro += [
            {"construct": measure, "condition": condition, **_shapiro(own)}
            for condition, own in zip(data.conditions, groups, strict=True)
        ]
        levene.append({"construct": measure, **levene_of(groups)})
    complete = data.trials[data.constructs].notna().all(axis=1).to_numpy()
    matrix = data.trials[data.constructs].to_numpy(float)[complete]
    return AssumptionsResult(shapiro, levene, _box_m(matrix, labels[complete]), _henze_zirkler(matrix))


def _shapiro(values: np.ndarray) -> Row:
    row: Row = {"n": len(values), "W": None, "p": None, "reason": None}
    if len(values) < 4:
        return row | {"reason": "fewer than four ratings"}
    if np.ptp(values) == 0:
        return row | {"reason": "every rating is the same"}
    if len(values) > MOST:
        return row | {"reason": f"more than {MOST} ratings: the p value is not known to be right"}
    row["W"], row["p"] = pingouin_adapter.shapiro(values)
    return row


def levene_of(groups: list[np.ndarray], too_few: str = "a condition has fewer than two ratings") -> Row:
    """Levene's test around the medians: F, df1, df2, p; None with a reason (`too_few` or no spread) where there is none."""
    row: Row = {
        "F": None,
        "df1": len(groups) - 1,
        "df2": sum(map(len, groups)) - len(groups),
        "p": None,
        "reason": None,
    }
    if len(groups) < 2 or min(map(len, groups)) < 2:
        return row | {"reason": too_few}
    if all(np.ptp(np.abs(own - np.median(own))) == 0 for own in groups):
        return row | {"reason": "the distances from the medians don't vary"}
    row["F"], row["p"] = pingouin_adapter.levene(groups)
    return row


def _box_m(matrix: np.ndarray, labels: np.ndarray) -> Row:
    row: Row = {"chi2": None, "df": None, "p": None, "reason": None}
    if matrix.shape[1] < 2:
        return row | {"reason": "one construct has no covariance"}
    groups = [matrix[labels == condition] for condition in np.unique(labels)]
    if len(groups) < 2 or min(map(len, groups)) <= matrix.shape[1]:
        return row | {"reason": "a condition has too few complete trials"}
    if any(np.linalg.matrix_rank(np.cov(own.T)) < matrix.shape[1] for own in groups):
        return row | {"reason": "the constructs' covariance matrix of a condition is singular"}
    row["chi2"], row["df"], row["p"] = pingouin_adapter.box_m(matrix, labels)
    return row


def _henze_zirkler(matrix: np.ndarray) -> Row:
    n, k = matrix.shape
    row: Row = {"n": n, "hz": None, "p": None, "reason": None}
    if k < 2:
        return row | {"reason": "one construct: see Shapiro-Wilk"}
    if n > MOST_HENZE_ZIRKLER:
        return row | {"reason": f"more than {MOST_HENZE_ZIRKLER} trials: the test needs memory quadratic in them"}
    if n <= k or np.linalg.matrix_rank(np.cov(matrix.T)) < k:
        return row | {"reason": "the constructs' covariance matrix is singular"}
    row["hz"], row["p"] = pingouin_adapter.henze_zirkler(matrix)
    return row
