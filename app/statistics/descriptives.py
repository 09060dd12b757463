"""What was observed: per construct and condition n, mean, quartiles, counts, and the share of the two best scale points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.statistics.data import RatingsData
from app.statistics.mixed_result import Row, plain
from app.statistics.resampling import generator, participant_weights, percentile_interval, sums_by


@dataclass(frozen=True)
class DescriptivesResult:
    """rows: [construct, condition, n, participants, mean, mean_ci, sd, median, q1, q3, counts, top2, top2_ci].

    `counts` is {scale point: ratings}; None for the mean of the constructs, which has no scale points. `top2` is the share
    of values at or above the last but one scale point. Intervals: percentile bootstrap of whole participants.
    """

    rows: list[Row]

    def to_dict(self) -> list[Row]:
        """The list in results.json."""
        rows: list[Row] = plain(self.rows)
        return rows


def describe(data: RatingsData, *, alpha: float = 0.05, seed: int = 0, bootstrap: int = 2000) -> DescriptivesResult:
    """Describe every construct (and their mean) under every condition.

    Participants are resampled whole, because the ratings of one person belong together. Quartiles are of type 7 (R's and
    NumPy's default). Where a participant-bootstrap has no value in more than 10 % of resamples the interval is None.
    """
    people, person = np.unique(data.trials["participant"].to_numpy(str), return_inverse=True)
    weights = participant_weights(len(people), bootstrap, generator(seed, "descriptives"))
    cell = pd.Categorical(data.trials["condition"], data.conditions).codes.astype(np.intp)
    width = len(data.conditions)
    rows: list[Row] = []
    for measure in data.measures:
        values = data.values(measure)
        seen = np.isfinite(values)
        filled = np.where(seen, values, 0.0)
        top = seen & (values >= data.high - 1)
        total, sums, tops = (
            weights @ sums_by(person, len(people), cell, width, part.astype(float)) for part in (seen, filled, top)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            means, shares = sums / total, tops / total
        for at, condition in enumerate(data.conditions):
            own = seen & (cell == at)
            row = _describe(values[own], data, measure in data.constructs)
            row["mean_ci"] = percentile_interval(means[:, at], alpha)
            row["top2_ci"] = percentile_interval(shares[:, at], alpha)
            people_seen = len(np.unique(person[own]))
            rows.append(
                {"construct": measure, "condition": condition, "n": row.pop("n"), "participants": people_seen, **row}
            )
    return DescriptivesResult(rows)


def _describe(values: np.ndarray, data: RatingsData, scale_points: bool) -> Row:
    """One cell's numbers; all None but n where there is no value, sd None where there is one."""
    n = len(values)
    q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75]) if n else (None, None, None)
    counts = {str(point): int((values == point).sum()) for point in range(data.low, data.high + 1)}
    return {
        "n": n,
        "mean": values.mean() if n else None,
        "mean_ci": None,
        "sd": values.std(ddof=1) if n > 1 else None,
        "median": median,
        "q1": q1,
        "q3": q3,
        "counts": counts if scale_points else None,
        "top2": (values >= data.high - 1).mean() if n else None,
        "top2_ci": None,
    }
