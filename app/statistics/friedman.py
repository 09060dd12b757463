"""Friedman's test on each participant's mean of each condition: repeated measures without a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.statistics import pingouin_adapter
from app.statistics.data import RatingsData
from app.statistics.mixed_result import Row, plain

DIGITS = 9
"""Means are rounded so that equal ones tie: 4.1 from 41/10 and from 12.3/3 differ in the last bit."""


@dataclass(frozen=True)
class FriedmanResult:
    """rows: [construct, n, left_out, chi2, df, p, kendall_w, reason]; n participants rated every condition, left_out didn't."""

    rows: list[Row]

    def to_dict(self) -> list[Row]:
        """The list in results.json."""
        rows: list[Row] = plain(self.rows)
        return rows


def friedman(data: RatingsData) -> FriedmanResult:
    """Friedman's chi² (corrected for ties) and Kendall's W of every construct (and their mean)."""
    rows: list[Row] = []
    for measure in data.measures:
        frame = pd.DataFrame(
            {"who": data.trials["participant"], "condition": data.trials["condition"], "value": data.values(measure)}
        )
        means = frame.groupby(["who", "condition"])["value"].mean().unstack().reindex(columns=data.conditions)
        complete = means.dropna().round(DIGITS).to_numpy(float)
        n = len(complete)
        row: Row = {"construct": measure, "n": n, "left_out": len(means) - n}
        row |= dict.fromkeys(("chi2", "df", "p", "kendall_w", "reason"))
        if len(data.conditions) < 3:
            row["reason"] = "Friedman's test needs three conditions"
        elif n < 3:
            row["reason"] = "fewer than three participants rated every condition"
        elif np.all(np.ptp(complete, axis=1) == 0):
            row["reason"] = "no participant's means differ between conditions"
        else:
            row["chi2"], row["df"], row["p"], row["kendall_w"] = pingouin_adapter.friedman(complete)
        rows.append(row)
    return FriedmanResult(rows)
