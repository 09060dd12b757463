"""The reference study's rule for outliers, as rstatix::identify_outliers has it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OUTLIER, EXTREME = 1.5, 3.0


def is_outlier(
    values: NDArray[np.float64], groups: NDArray[np.str_] | None = None, coefficient: float = OUTLIER
) -> NDArray[np.bool_]:
    """(n,) True outside [Q1 - c IQR, Q3 + c IQR] of the value's group (quantiles of type 7); NaN is no outlier."""
    out = np.zeros(len(values), dtype=bool)
    labels = np.zeros(len(values), dtype=int) if groups is None else groups
    for group in np.unique(labels):
        at = np.flatnonzero((labels == group) & np.isfinite(values))
        if len(at):
            q1, q3 = np.quantile(values[at], [0.25, 0.75])
            margin = coefficient * (q3 - q1)
            out[at] = (values[at] < q1 - margin) | (values[at] > q3 + margin)
    return out
