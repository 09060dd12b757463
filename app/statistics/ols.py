"""The reference study's regression of the constructs' mean, and what becomes of it with errors clustered by participant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.statistics.data import RatingsData
from app.statistics.mixed_result import Row, plain
from app.statistics.outliers import is_outlier
from app.statistics.resampling import Vector


@dataclass(frozen=True)
class OlsResult:
    """models: [background, outliers_removed, n, removed, r_squared, adjusted_r_squared, residual_sd, F, df1, df2, p,
    coefficients, reason]; coefficients: [term, estimate, se, t, p, ci, se_cluster, t_cluster, p_cluster, ci_cluster].

    The first model is the reference study's. `removed` counts outliers by condition. A term that the others determine has
    None throughout, as NA in R.
    """

    response: str
    models: list[Row]

    def to_dict(self) -> Row:
        """The entry of results.json."""
        out: Row = plain(vars(self))
        return out


def ols(data: RatingsData, *, alpha: float = 0.05) -> OlsResult:
    """mean of the constructs ~ condition + covariates [+ background], by least squares.

    Outliers are removed within conditions by the 1.5 IQR rule, as in the reference study, and not. Clustered errors are CR1
    with (clusters - 1) degrees of freedom. Background variables refer to their commonest value.
    """
    response = data.measures[-1]
    values, labels = data.values(response), data.trials["condition"].to_numpy(str)
    outlier = is_outlier(values, labels)
    models: list[Row] = []
    with_background = [False, True] if len(data.background.columns) else [False]
    for background in with_background:
        for removed in (True, False):
            design = _design(data, background)
            keep = np.isfinite(values) & design.notna().all(axis=1).to_numpy() & ~(outlier & removed)
            counts = {c: int((outlier & (labels == c)).sum()) if removed else 0 for c in data.conditions}
            row: Row = {"background": background, "outliers_removed": removed, "n": int(keep.sum()), "removed": counts}
            people = data.trials["participant"].to_numpy(str)[keep]
            models.append(row | _fit(values[keep], design[keep], people, alpha))
    return OlsResult(response, models)


def _design(data: RatingsData, background: bool) -> pd.DataFrame:
    """Intercept, condition indicators (the reference left out), covariates, background indicators."""
    trials = data.trials
    columns: dict[str, object] = {"(Intercept)": np.ones(len(trials))}
    for condition in data.conditions[1:]:
        columns[condition] = (trials["condition"] == condition).astype(float).to_numpy()
    texts = {name: trials[name].astype(str) for name in data.covariates if trials[name].dtype.kind not in "fi"}
    for name in data.covariates:
        if name not in texts:
            columns[name] = trials[name].to_numpy(float)
    if background:
        for name in data.background.columns:
            texts[name] = trials["participant"].map(data.background[name].replace("", "no answer")).astype(str)
    for name, cells in texts.items():
        counts = cells.value_counts()
        levels = sorted(counts.index, key=lambda level: (-counts[level], level))
        for level in sorted(levels[1:]):
            columns[f"{name}: {level}"] = (cells == level).astype(float).to_numpy()
    return pd.DataFrame(columns)


def _fit(values: Vector, design: pd.DataFrame, people: np.ndarray, alpha: float) -> Row:
    import statsmodels.api as sm

    X = design.to_numpy(float)
    kept = independent_columns(X)
    n, rank = len(values), len(kept)
    keys = ("r_squared", "adjusted_r_squared", "residual_sd", "F", "df1", "df2", "p")
    clusters = len(set(people))
    if n <= rank or clusters < 2 or np.ptp(values) == 0:
        reason = "every value is the same" if n and np.ptp(values) == 0 else "too few trials for so many terms"
        return {**dict.fromkeys(keys), "coefficients": [], "reason": reason}
    fit = sm.OLS(values, X[:, kept]).fit()
    robust = fit.get_robustcov_results("cluster", groups=np.unique(people, return_inverse=True)[1], use_t=True)
    ordinary, clustered = fit.conf_int(alpha), robust.conf_int(alpha)
    names = ("estimate", "se", "t", "p", "ci", "se_cluster", "t_cluster", "p_cluster", "ci_cluster")
    coefficients: list[Row] = []
    for at, term in enumerate(design.columns):
        row: Row = {"term": term, **dict.fromkeys(names)}
        if at in kept:
            j = kept.index(at)
            row |= {"estimate": fit.params[j], "se": fit.bse[j], "t": fit.tvalues[j], "p": fit.pvalues[j]}
            row |= {"ci": ordinary[j], "se_cluster": robust.bse[j], "t_cluster": robust.tvalues[j]}
            row |= {"p_cluster": robust.pvalues[j], "ci_cluster": clustered[j]}
        coefficients.append(row)
    return {
        "r_squared": fit.rsquared,
        "adjusted_r_squared": fit.rsquared_adj,
        "residual_sd": np.sqrt(fit.mse_resid),
        "F": fit.fvalue,
        "df1": int(fit.df_model),
        "df2": int(fit.df_resid),
        "p": fit.f_pvalue,
        "coefficients": coefficients,
        "reason": None,
    }


def independent_columns(X: Vector) -> list[int]:
    """Columns that those before them don't determine, in order (as R drops the later of aliased terms)."""
    kept: list[int] = []
    basis = np.zeros((X.shape[0], 0))
    for at in range(X.shape[1]):
        column = X[:, at]
        rest = column - basis @ (basis.T @ column)
        rest = rest - basis @ (basis.T @ rest)
        norm = float(np.linalg.norm(rest))
        if norm > 1e-7 * max(float(np.linalg.norm(column)), 1e-300):
            kept.append(at)
            basis = np.column_stack([basis, rest / norm])
    return kept
