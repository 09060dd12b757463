"""The reference study's omnibus test: Kruskal-Wallis per construct. It takes all ratings as independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.statistics import pingouin_adapter
from app.statistics.data import RatingsData
from app.statistics.mixed_result import Row, plain
from app.statistics.resampling import holm


@dataclass(frozen=True)
class KruskalResult:
    """rows: [construct, n, H, df, p, p_holm, epsilon_squared, reason].

    `p_holm` is over the constructs; the mean of the constructs isn't one of them and has None. `reason` says why a test
    has no numbers, else None.
    """

    rows: list[Row]

    def to_dict(self) -> list[Row]:
        """The list in results.json."""
        rows: list[Row] = plain(self.rows)
        return rows


def kruskal(data: RatingsData) -> KruskalResult:
    """Kruskal-Wallis of every construct (and their mean) over the conditions.

    epsilon² = H / (n - 1) (Kelley 1935; Tomczak and Tomczak 2014).
    """
    rows: list[Row] = []
    for measure in data.measures:
        values = data.values(measure)
        seen = np.isfinite(values)
        values, conditions = values[seen], data.trials["condition"].to_numpy(str)[seen]
        n = len(values)
        row: Row = {
            "construct": measure,
            "n": n,
            **dict.fromkeys(("H", "df", "p", "p_holm", "epsilon_squared", "reason")),
        }
        if n == 0 or np.ptp(values) == 0:
            row["reason"] = "every rating is the same" if n else "there is no rating"
        elif len(set(conditions)) < 2:
            row["reason"] = "only one condition has ratings"
        else:
            row["H"], row["df"], row["p"] = pingouin_adapter.kruskal(values, conditions)
            row["epsilon_squared"] = row["H"] / (n - 1)
        rows.append(row)
    of_constructs = [row for row in rows if row["construct"] in data.constructs]
    for row, p in zip(of_constructs, holm([row["p"] for row in of_constructs]), strict=True):
        row["p_holm"] = p
    return KruskalResult(rows)
