"""Permutation check of a two-way analysis of variance, for data whose errors aren't normal."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.statistics.mixed_result import Row
from app.statistics.resampling import Vector, generator


def freedman_lane(
    values: Vector, a: NDArray[np.str_], b: NDArray[np.str_], *, permutations: int = 9999, seed: int = 0
) -> list[Row]:
    """[effect, F, p, permutations] for method, size and method:size, sums of squares of type II.

    Freedman and Lane (1983): the residuals of the model without the effect are permuted and added to its fitted values; p is
    the share of F values at least as large as the observed one, which counts itself. Every a × b cell must have runs.
    """
    ones = np.ones((len(values), 1))
    A, B = (pd.get_dummies(factor, drop_first=True).to_numpy(float) for factor in (a, b))
    AB = np.einsum("ni,nj->nij", A, B).reshape(len(values), -1)
    additive = np.hstack([ones, A, B])
    full = np.hstack([additive, AB])
    models = {
        "method": (np.hstack([ones, B]), additive),
        "size": (np.hstack([ones, A]), additive),
        "method:size": (additive, full),
    }
    rng = generator(seed, "accuracy")
    basis = np.linalg.qr(full)[0]
    rows: list[Row] = []
    for effect, (without, with_effect) in models.items():
        small, large = np.linalg.qr(without)[0], np.linalg.qr(with_effect)[0]
        df, df_error = large.shape[1] - small.shape[1], len(values) - basis.shape[1]

        def f_values(
            Y: Vector, small: Vector = small, large: Vector = large, df: int = df, df_error: int = df_error
        ) -> Vector:
            explained = ((large.T @ Y) ** 2).sum(axis=0) - ((small.T @ Y) ** 2).sum(axis=0)
            error = (Y**2).sum(axis=0) - ((basis.T @ Y) ** 2).sum(axis=0)
            out: Vector = (explained / df) / (error / df_error)
            return out

        centred = values - values.mean()
        fitted = small @ (small.T @ centred)
        residuals = centred - fitted
        observed = float(f_values(centred[:, None])[0])
        order = np.argsort(rng.random((permutations, len(values))), axis=1)
        found = f_values(fitted[:, None] + residuals[order].T)
        larger = int((found >= observed * (1 - 1e-9)).sum())
        rows.append(
            {"effect": effect, "F": observed, "p": (1 + larger) / (1 + permutations), "permutations": permutations}
        )
    return rows
