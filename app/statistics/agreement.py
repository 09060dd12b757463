"""Whether raters agree about the same explanation: Krippendorff's ordinal alpha and the intraclass correlation."""

from __future__ import annotations

from dataclasses import dataclass

import krippendorff
import numpy as np
import pandas as pd

from app.statistics.data import RatingsData
from app.statistics.mixed_result import Row, plain
from app.statistics.resampling import Vector, generator, participant_weights, percentile_interval

KEYS = ("krippendorff_alpha", "krippendorff_ci", "icc", "icc_ci")


@dataclass(frozen=True)
class AgreementResult:
    """rows: [construct, estimable, reason, explanations, ratings, krippendorff_alpha, krippendorff_ci, icc, icc_ci].

    explanations and ratings count those with at least two raters, which alone tell of agreement.
    """

    rows: list[Row]

    def to_dict(self) -> list[Row]:
        """The list in results.json."""
        rows: list[Row] = plain(self.rows)
        return rows


def agreement(data: RatingsData, *, alpha: float = 0.05, seed: int = 0, bootstrap: int = 2000) -> AgreementResult:
    """Agreement about explanations that at least two participants rated, per construct.

    icc is ICC(1): one-way random effects, single rater, with the mean number of raters of unbalanced data, because each
    explanation has its own raters (Shrout and Fleiss 1979, case 1; Donner 1986). Intervals: percentile bootstrap of items
    with all their explanations. Participants aren't resampled: one who is drawn twice would agree with himself.
    """
    rows: list[Row] = []
    for name in data.constructs:
        frame = data.trials[["item", "explanation", name]].dropna()
        several = frame.groupby("explanation")[name].transform("size") > 1
        frame = frame[several]
        row: Row = {"construct": name, "estimable": False, "reason": None}
        row |= {"explanations": frame["explanation"].nunique(), "ratings": len(frame), **dict.fromkeys(KEYS)}
        rows.append(row)
        if frame.empty:
            row["reason"] = "no explanation was rated by two participants, so that nothing is known about agreement"
        elif frame["explanation"].nunique() < 2:
            row["reason"] = "only one explanation was rated by two participants"
        elif frame[name].nunique() < 2:
            row["reason"] = "every rating is the same"
        else:
            row["estimable"] = True
            counts, item = _counts(frame, name)
            row["krippendorff_alpha"] = krippendorff.alpha(value_counts=counts, level_of_measurement="ordinal")
            values = np.sort(frame[name].unique()).astype(float)
            row["icc"] = float(_icc(_moments(counts, values).sum(axis=0)[None])[0])
            items = int(item.max()) + 1
            weights = participant_weights(items, bootstrap, generator(seed, f"agreement {name}"))
            row["krippendorff_ci"] = percentile_interval(_alphas(weights, counts, item, items), alpha)
            moments = np.zeros((items, 6))
            np.add.at(moments, item, _moments(counts, values))
            row["icc_ci"] = percentile_interval(_icc(weights @ moments), alpha)
    return AgreementResult(rows)


def _counts(frame: pd.DataFrame, name: str) -> tuple[Vector, np.ndarray]:
    """(units, K) ratings of each explanation by ascending value, and each unit's item (units,)."""
    table = pd.crosstab(frame["explanation"], frame[name])
    item = frame.groupby("explanation")["item"].first().loc[table.index]
    return table.to_numpy(float), np.unique(item.to_numpy(str), return_inverse=True)[1]


def _alphas(weights: Vector, counts: Vector, item: np.ndarray, items: int) -> Vector:
    """(resamples,) Krippendorff's ordinal alpha of weighted items, from the sums of their coincidences."""
    k = counts.shape[1]
    raters = counts.sum(axis=1)
    own = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(k)
    coincidences = np.zeros((items, k * k))
    np.add.at(coincidences, item, (own / (raters - 1)[:, None, None]).reshape(-1, k * k))
    observed = (weights @ coincidences).reshape(-1, k, k)
    margins = observed.sum(axis=2)
    total = margins.sum(axis=1)
    middle = np.cumsum(margins, axis=1) - margins / 2
    distance = (middle[:, :, None] - middle[:, None, :]) ** 2  # ordinal: ratings between the two, ends counted half
    expected = margins[:, :, None] * margins[:, None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        out: Vector = 1 - (total - 1) * (observed * distance).sum(axis=(1, 2)) / (expected * distance).sum(axis=(1, 2))
    return out


def _moments(counts: Vector, values: Vector) -> Vector:
    """(units, 6) what ICC(1) needs, additive over units: 1, n, n², sum, sum²/n, sum of squares."""
    n, total = counts.sum(axis=1), counts @ values
    return np.column_stack([np.ones(len(n)), n, n**2, total, total**2 / n, counts @ values**2])


def _icc(moments: Vector) -> Vector:
    """(S,) ICC(1) by analysis of variance from summed moments (S, 6)."""
    units, n, squares, total, between, values = moments.T
    with np.errstate(invalid="ignore", divide="ignore"):
        ms_between = (between - total**2 / n) / (units - 1)
        ms_within = (values - between) / (n - units)
        raters = (n - squares / n) / (units - 1)
        out: Vector = (ms_between - ms_within) / (ms_between + (raters - 1) * ms_within)
    return out
