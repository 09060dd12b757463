"""Linear mixed model with crossed random intercepts: REML, Satterthwaite's degrees of freedom, R² and ICCs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits

from app.statistics.contrasts import holm, tukey_p
from app.statistics.linear_reml import Reml, deviance_hessian, fit_reml, state_at
from app.statistics.mixed_blocks import Vector
from app.statistics.mixed_design import Design, NotEstimableError, make_design
from app.statistics.mixed_result import LinearResult, Row
from app.statistics.ordinal import check_levels, reference_index

NO_RESIDUAL = "condition, participant and item leave no residual variance"
LARGEST_RELATIVE = 1e3
"""A random effect this many times as variable as the residual: the data are fitted exactly."""


def fit_linear(
    data: pd.DataFrame,
    *,
    response: str,
    condition: str,
    participant: str,
    item: str,
    explanation: str | None = None,
    covariates: Sequence[str] = (),
    reference: str | None = None,
    alpha: float = 0.05,
    construct: str | None = None,
) -> LinearResult:
    """Fit response = condition + covariates + u_participant + v_item [+ w_explanation] + error by REML (as lme4 and lmerTest).

    `response` is a number; the other arguments are those of `fit_ordinal`. Satterthwaite's degrees of freedom follow
    Kuznetsova et al. 2017 (J. Stat. Softw. 82, 13): the variance of each contrast and its gradient in the relative standard
    deviations and the residual one, with the Hessian of the REML deviance. R² is Nakagawa & Schielzeth's (2013).

    Raises InputError as `fit_ordinal` does; data that cannot carry the model give `estimable` False and the reason.
    """
    check_levels(alpha)
    name = construct or response
    try:
        with threadpool_limits(1, user_api="blas"):
            design = make_design(
                data,
                response=response,
                condition=condition,
                participant=participant,
                item=item,
                explanation=explanation,
                covariates=covariates,
                participant_condition=False,
            )
            return _fit(design, name, reference_index(design, reference), alpha)
    except NotEstimableError as error:
        reason = str(error)
    except np.linalg.LinAlgError:
        reason = NO_RESIDUAL
    return LinearResult(construct=name, estimable=False, reason=reason, alpha=alpha, reference=reference)


@dataclass(frozen=True)
class _Inference:
    """Fixed effects with what Satterthwaite's method needs: gradients (v, p, p) of their covariance in the variance
    parameters, and the covariance (v, v) of those."""

    effects: Vector
    covariance: NDArray[np.float64]
    gradients: NDArray[np.float64]
    parameter_covariance: NDArray[np.float64]

    def df(self, weights: Vector) -> float:
        """Satterthwaite's degrees of freedom of a linear combination of the effects."""
        variance = float(weights @ self.covariance @ weights)
        slopes = np.einsum("i,vij,j->v", weights, self.gradients, weights)
        spread = float(slopes @ self.parameter_covariance @ slopes)
        return 2.0 * variance**2 / spread if spread > 0.0 else math.inf

    def row(self, weights: Vector, alpha: float) -> Row:
        """estimate, se, df, t, p, ci of a linear combination."""
        estimate, se = float(weights @ self.effects), math.sqrt(float(weights @ self.covariance @ weights))
        df = self.df(weights)
        t = estimate / se
        half = float(stats.t.isf(alpha / 2.0, df)) * se
        p = 2.0 * float(stats.t.sf(abs(t), df))
        return {"estimate": estimate, "se": se, "df": df, "t": t, "p": p, "ci": [estimate - half, estimate + half]}

    def f_test(self, contrasts: NDArray[np.float64]) -> Row:
        """Joint test of the rows of `contrasts` = 0 with Fai & Cornelius' (1996) denominator degrees of freedom."""
        rank = len(contrasts)
        values, vectors = np.linalg.eigh(contrasts @ self.covariance @ contrasts.T)
        rotated = vectors.T @ contrasts
        f = float(np.sum((rotated @ self.effects) ** 2 / values)) / rank
        dfs = np.array([self.df(row) for row in rotated])
        if rank == 1:
            df2 = float(dfs[0])
        elif np.ptp(dfs) < 1e-8:
            df2 = float(dfs.mean())
        elif np.any(dfs <= 2.0):
            df2 = 2.0
        else:
            total = float(np.sum(dfs / (dfs - 2.0)))
            df2 = 2.0 * total / (total - rank)
        return {"F": f, "df1": rank, "df2": df2, "p": float(stats.f.sf(f, rank, df2))}


def _inference(fit: Reml) -> _Inference:
    """Differences of the covariance of the effects, and the deviance's Hessian, in (relative sds not at 0, residual sd)."""
    free = [k for k in range(len(fit.relative)) if k not in fit.at_zero]
    values = np.append(fit.relative[free], fit.sigma)

    def covariance(x: Vector) -> NDArray[np.float64]:
        relative = fit.relative.copy()
        relative[free] = x[:-1]
        return x[-1] ** 2 * np.linalg.inv(state_at(fit.model, relative).information)

    gradients = []
    for j, value in enumerate(values):
        shift = np.zeros(len(values))
        shift[j] = 1e-4 * max(value, 0.01)
        gradients.append((covariance(values + shift) - covariance(values - shift)) / (2.0 * shift[j]))
    hessian = deviance_hessian(fit, free)
    eigenvalues, vectors = np.linalg.eigh(hessian)
    positive = eigenvalues > 1e-8
    inverse = (vectors[:, positive] / eigenvalues[positive]) @ vectors[:, positive].T
    return _Inference(fit.effects, covariance(values), np.array(gradients), 2.0 * inverse)


def _fit(design: Design, construct: str, reference: int, alpha: float) -> LinearResult:
    notes = list(design.notes)
    try:
        y = design.response.astype(float)
    except (TypeError, ValueError):
        raise NotEstimableError("the ratings are not numbers") from None
    if np.ptp(y) == 0.0:
        raise NotEstimableError(f"every value is {y[0]:g}")
    fixed = np.column_stack([np.ones(design.n), design.fixed])
    if design.n <= fixed.shape[1] + len(design.groupings):
        raise NotEstimableError(f"{design.n} values are too few for a model of {fixed.shape[1]} effects")
    left = y - fixed @ np.linalg.lstsq(fixed, y, rcond=None)[0]
    if float(left @ left) <= 1e-20 * float(np.sum((y - y.mean()) ** 2)):
        raise NotEstimableError(NO_RESIDUAL)
    fit = fit_reml(y, fixed, design.blocks(), fixed_at_zero=design.fixed_at_zero)
    if not fit.sigma > 1e-10 * float(np.ptp(y)) or fit.relative.max() > LARGEST_RELATIVE:
        raise NotEstimableError(NO_RESIDUAL)
    inference = _inference(fit)
    sds = fit.relative * fit.sigma
    if not fit.converged:
        notes.append(f"the fit did not converge (gradient {fit.gradient:.1e})")
    if not design.fixed_at_zero:
        for k in fit.at_zero:
            notes.append(f"the standard deviation of {design.groupings[k].name} is estimated as 0 (on the boundary)")
    names = [] if design.fixed_at_zero else [grouping.name for grouping in design.groupings]
    total = float(sds @ sds) + fit.sigma**2
    contrasts = _contrasts(design, inference, alpha)
    if any(row["p_tukey"] is None for row in contrasts):
        notes.append("no p value of Tukey's for a contrast with fewer than 2 degrees of freedom")
    explained = float(np.var(fixed @ fit.effects, ddof=1))
    fitted = fixed @ fit.effects + fit.random
    return LinearResult(
        construct=construct,
        notes=notes,
        n=design.n,
        alpha=alpha,
        reference=design.conditions[reference],
        conditions=design.conditions,
        levels=design.levels,
        sd=dict(zip(names, sds.tolist(), strict=False)),
        icc=dict(zip(names, (sds**2 / total).tolist(), strict=False)),
        coefficients=_coefficients(design, inference, reference, alpha),
        contrasts=contrasts,
        random_effects=_random_effects(design, fit) if names else {},
        convergence={
            "converged": fit.converged,
            "iterations": fit.iterations,
            "evaluations": fit.evaluations,
            "gradient": fit.gradient,
        },
        # REML depends on the units of X; lme4 reports it for the covariates as they are, ours are scaled.
        log_likelihood=-0.5 * fit.deviance - float(np.log(design.scale).sum()),
        residual_sd=fit.sigma,
        r2_marginal=explained / (explained + total),
        r2_conditional=(explained + float(sds @ sds)) / (explained + total),
        test=inference.f_test(np.eye(len(design.conditions) - 1, fixed.shape[1], k=1)),
        fitted=fitted.tolist(),
        residuals=(y - fitted).tolist(),
    )


def _condition_weights(design: Design, c: int) -> Vector:
    """Weights of condition c's effect against the baseline among (intercept, conditions, covariates)."""
    weights = np.zeros(1 + design.fixed.shape[1])
    if c != design.baseline:
        weights[1 + c - (c > design.baseline)] = 1.0
    return weights


def _coefficients(design: Design, inference: _Inference, reference: int, alpha: float) -> list[Row]:
    """Intercept (reference condition, covariates 0), conditions against the reference, one unit of each covariate."""
    count = len(design.conditions)
    base = _condition_weights(design, reference)
    intercept = base.copy()
    intercept[0] = 1.0
    intercept[count:] = -design.centre / design.scale
    rows: list[Row] = [{"term": "(Intercept)", "condition": None, **inference.row(intercept, alpha)}]
    for c, label in enumerate(design.conditions):
        if c != reference:
            weights = _condition_weights(design, c) - base
            rows.append({"term": label, "condition": label, **inference.row(weights, alpha)})
    for j, term in enumerate(design.terms):
        weights = np.zeros(len(base))
        weights[count + j] = 1.0 / design.scale[j]
        rows.append({"term": term, "condition": None, **inference.row(weights, alpha)})
    return rows


def _contrasts(design: Design, inference: _Inference, alpha: float) -> list[Row]:
    """Every pair's difference b - a, with Tukey's p on the contrast's own degrees of freedom (as emmeans) and Holm's."""
    count = len(design.conditions)
    rows: list[Row] = []
    for a, b in combinations(range(count), 2):
        row = inference.row(_condition_weights(design, b) - _condition_weights(design, a), alpha)
        p_tukey = tukey_p(row["t"], count, row["df"])
        rows.append({"a": design.conditions[a], "b": design.conditions[b], **row, "p_tukey": p_tukey})
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return rows


def _random_effects(design: Design, fit: Reml) -> dict[str, list[Row]]:
    """Best linear unbiased predictors and their conditional standard deviations (given the variances and fixed effects)."""
    out: dict[str, list[Row]] = {}
    for grouping, at, relative in zip(design.groupings, fit.model.blocks.level_columns, fit.relative, strict=True):
        sds = fit.sigma * relative * np.sqrt(fit.diagonal[at])
        out[grouping.name] = [
            {"level": label, "mode": float(mode), "sd": float(sd)}
            for label, mode, sd in zip(grouping.labels, relative * fit.u[at], sds, strict=True)
        ]
    return out
