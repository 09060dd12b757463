"""The primary analysis: a cumulative link mixed model of one construct's ratings, with everything reported about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits

from app.errors import InputError
from app.statistics.contrasts import Effects, equivalence_tests, odds, odds_contrasts, wald
from app.statistics.mixed_blocks import Codes
from app.statistics.mixed_design import Design, NotEstimableError, coded, make_design
from app.statistics.mixed_result import OrdinalResult, Row
from app.statistics.ordinal_fit import FLAT, Fit, maximise, natural_information
from app.statistics.ordinal_likelihood import OrdinalData, Point

LATENT_VARIANCE = np.pi**2 / 3.0
"""Variance of the standard logistic distribution."""
LARGE_SD = 10.0
NODES = 61


def fit_ordinal(
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
    equivalence: float = 1.5,
    participant_condition: bool = False,
    construct: str | None = None,
) -> OrdinalResult:
    """Fit logit P(Y <= j) = theta_j - (condition + covariates + u_participant + v_item [+ w_explanation]) to `response`.

    Random effects are independent and normal; with `participant_condition` each participant × condition cell has one too.
    Laplace approximation, maximum likelihood (as ordinal::clmm); `data` has one row per trial, `response` is ordered
    (numbers, or an ordered categorical). Text covariates become indicators. `reference` is the condition that coefficients
    are against (default: the first). `equivalence` is an odds ratio above 1. `construct` names the entry (default:
    `response`). Columns of condition, participant and item may hold any labels; rows with missing values are left out.

    Raises InputError for a missing column, an unknown reference, alpha or a bound out of range. Data that cannot carry the
    model give a result with `estimable` False and the reason.
    """
    check_levels(alpha, equivalence)
    name = construct or response
    try:
        with threadpool_limits(1, user_api="blas"):  # the matrices are small: threads cost more than they bring
            design = make_design(
                data,
                response=response,
                condition=condition,
                participant=participant,
                item=item,
                explanation=explanation,
                covariates=covariates,
                participant_condition=participant_condition,
            )
            chosen = reference_index(design, reference)
            return _fit(design, name, chosen, alpha, equivalence)
    except NotEstimableError as error:
        reason = str(error)
    except np.linalg.LinAlgError:
        reason = "the likelihood of these data is numerically singular"
    return OrdinalResult(construct=name, estimable=False, reason=reason, alpha=alpha, reference=reference)


def check_levels(alpha: float, bound: float = 1.5) -> None:
    """Raise InputError unless 0 < alpha < 0.5 and the equivalence bound is an odds ratio above 1."""
    if not 0.0 < alpha < 0.5:
        raise InputError(f"alpha is {alpha}; it must lie between 0 and 0.5")
    if not 1.0 < bound < np.inf:
        raise InputError(f"the equivalence bound is {bound}; it is an odds ratio and must be above 1")


def reference_index(design: Design, reference: str | None) -> int:
    """The reference condition's index (the first condition if None); InputError if there is no such condition."""
    if reference is None:
        return 0
    if str(reference) not in design.conditions:
        raise InputError(
            f"there is no condition {reference!r} to refer to; the conditions are {', '.join(design.conditions)}"
        )
    return design.conditions.index(str(reference))


def code_ratings(design: Design) -> tuple[Codes, list[object]]:
    """(ratings coded 0…K-1, the K values that occur); NotEstimableError if there is only one or hardly any data."""
    ratings, labels = coded(pd.Series(design.response))
    categories = [_plain_category(label) for label in labels]
    if len(categories) < 2:
        raise NotEstimableError(f"every rating is {categories[0]}")
    parameters = len(categories) - 1 + design.fixed.shape[1] + len(design.groupings)
    if design.n <= parameters:
        raise NotEstimableError(f"{design.n} ratings are too few for a model of {parameters} parameters")
    return ratings, categories


def _plain_category(label: object) -> object:
    """4.0, or NumPy's 4, as 4; anything else as it is."""
    if isinstance(label, int | float | np.number) and float(label).is_integer():
        return int(label)
    return label


def runaway_conditions(design: Design, ratings: Codes, categories: int) -> NDArray[np.bool_]:
    """(C,) True for conditions whose ratings all lie at one end of the scale: their effect is infinite."""
    out = np.zeros(len(design.conditions), dtype=bool)
    for c in range(len(out)):
        own = ratings[design.condition == c]
        out[c] = own.min() == categories - 1 or own.max() == 0
    return out


@dataclass(frozen=True)
class _Estimates:
    """Natural parameters (thresholds, effects, standard deviations), covariance with zeros for what isn't known, and what is."""

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]
    known: NDArray[np.bool_]
    condition_number: float | None

    def linear(self, weights: NDArray[np.float64]) -> tuple[float, float] | None:
        """(value, standard error) of a linear combination, or None if it takes part in an unknown parameter."""
        if np.any(weights[~self.known] != 0.0):
            return None
        variance = float(weights @ self.covariance @ weights)
        return (float(weights @ self.values), float(np.sqrt(variance))) if variance > 0.0 else None


def _estimates(data: OrdinalData, fit: Fit, runaway: NDArray[np.bool_], notes: list[str]) -> _Estimates:
    """Invert the observed information over the parameters that have an estimate. `runaway` (p,) are effects known to have none."""
    free = [k for k in range(len(fit.point.sds)) if k not in fit.at_zero]
    values = np.concatenate([fit.point.thresholds.ravel(), fit.point.effects, fit.point.sds[free]])
    information = natural_information(data, fit)
    known = np.diagonal(information) > FLAT
    cuts = fit.point.thresholds.size
    known[cuts : cuts + len(runaway)] &= ~runaway
    covariance = np.zeros_like(information)
    at = np.flatnonzero(known)
    if not len(at):
        return _Estimates(values, covariance, known, None)
    eigenvalues = np.linalg.eigvalsh(information[np.ix_(at, at)])
    if eigenvalues.min() <= 1e-12 * eigenvalues.max():
        notes.append("the observed information is singular: no standard errors")
        return _Estimates(values, covariance, np.zeros_like(known), None)
    covariance[np.ix_(at, at)] = np.linalg.inv(information[np.ix_(at, at)])
    return _Estimates(values, covariance, known, float(eigenvalues.max() / eigenvalues.min()))


def _fit(design: Design, construct: str, reference: int, alpha: float, bound: float) -> OrdinalResult:
    notes = list(design.notes)
    ratings, categories = code_ratings(design)
    sets = np.zeros(design.n, dtype=np.intp)
    data = OrdinalData(ratings, len(categories), design.fixed, design.blocks(), sets)
    fit = maximise(data, fixed_at_zero=design.fixed_at_zero)
    count = len(design.conditions)
    null_data = OrdinalData(ratings, len(categories), design.fixed[:, count - 1 :], data.blocks, sets)
    null_start = Point(
        fit.point.thresholds,
        fit.point.effects[count - 1 :],
        fit.point.sds if design.fixed_at_zero else np.maximum(fit.point.sds, 0.1),
    )
    null = maximise(null_data, null_start, fixed_at_zero=design.fixed_at_zero)
    separated = runaway_conditions(design, ratings, len(categories))
    others = np.delete(np.arange(count), design.baseline)
    effects_away = np.concatenate([separated[others], np.zeros(len(design.terms), dtype=bool)])
    estimates = _estimates(data, fit, effects_away, notes)
    effects = _condition_effects(design, estimates, len(categories) - 1)
    notes += _fit_notes(design, fit, null, effects, categories, bool(separated[design.baseline]))
    lr = max(0.0, 2.0 * (fit.log_likelihood - null.log_likelihood))
    total = float(fit.point.sds @ fit.point.sds) + LATENT_VARIANCE
    names = [grouping.name for grouping in design.groupings]
    return OrdinalResult(
        construct=construct,
        notes=notes,
        n=design.n,
        alpha=alpha,
        reference=design.conditions[reference],
        conditions=design.conditions,
        levels=design.levels,
        sd={} if design.fixed_at_zero else dict(zip(names, fit.point.sds.tolist(), strict=True)),
        icc={} if design.fixed_at_zero else dict(zip(names, (fit.point.sds**2 / total).tolist(), strict=True)),
        coefficients=_coefficients(effects, reference, alpha),
        contrasts=odds_contrasts(effects, alpha),
        random_effects={} if design.fixed_at_zero else _random_effects(design, data, fit),
        convergence={
            "converged": fit.converged and null.converged,
            "iterations": fit.iterations,
            "evaluations": fit.evaluations,
            "gradient": fit.gradient,
            "condition_number": estimates.condition_number,
        },
        log_likelihood=fit.log_likelihood,
        categories=categories,
        thresholds=_thresholds(design, estimates, categories, reference),
        covariates=_covariates(design, estimates, len(categories) - 1, alpha),
        log_likelihood_null=null.log_likelihood,
        lr=lr,
        df=count - 1,
        p=float(stats.chi2.sf(lr, count - 1)),
        equivalence_bound=bound,
        equivalence=equivalence_tests(effects, bound),
        probabilities=_probabilities(design, fit, categories),
    )


def _condition_effects(design: Design, estimates: _Estimates, cuts: int) -> Effects:
    """All conditions against the baseline, which is 0 without error."""
    count = len(design.conditions)
    others = np.delete(np.arange(count), design.baseline)
    at = np.arange(cuts, cuts + count - 1)
    values, covariance, known = np.zeros(count), np.zeros((count, count)), np.ones(count, dtype=bool)
    values[others], known[others] = estimates.values[at], estimates.known[at]
    covariance[np.ix_(others, others)] = estimates.covariance[np.ix_(at, at)]
    return Effects(design.conditions, values, covariance, known)


def _fit_notes(
    design: Design, fit: Fit, null: Fit, effects: Effects, categories: list[object], no_baseline: bool
) -> list[str]:
    """What a reader must know about this fit."""
    notes = []
    if not fit.converged:
        notes.append(f"the fit did not converge (largest gradient {fit.gradient:.1e} standard errors)")
    if not null.converged:
        notes.append(
            f"the fit without condition did not converge (largest gradient {null.gradient:.1e} standard errors)"
        )
    for grouping, sd in zip(design.groupings, fit.point.sds, strict=True):
        if design.fixed_at_zero:
            continue
        if sd == 0.0:
            notes.append(f"the standard deviation of {grouping.name} is estimated as 0 (on the boundary)")
        elif sd > LARGE_SD:
            notes.append(f"the standard deviation of {grouping.name} is very large: its ratings hardly vary")
    away = [label for label, known in zip(effects.labels, effects.known, strict=True) if not known]
    if no_baseline:
        away = list(effects.labels)
    if away:
        notes.append(
            f"no finite estimate for {', '.join(away)}: the ratings are separated (all at one end of the scale)"
        )
    whole = [c for c in categories if isinstance(c, int)]
    if len(whole) == len(categories):
        unused = [str(point) for point in range(whole[0], min(whole[-1], whole[0] + 100)) if point not in whole]
        if unused:
            notes.append(f"nobody used scale point {', '.join(unused)}; it has no threshold")
    return notes


def _coefficients(effects: Effects, reference: int, alpha: float) -> list[Row]:
    """Each condition against the reference."""
    rows: list[Row] = []
    for c, label in enumerate(effects.labels):
        if c == reference:
            continue
        row: Row = {"condition": label}
        row |= dict.fromkeys(("estimate", "se", "z", "p", "odds_ratio", "ci", "odds_ratio_ci"))
        found = effects.contrast(reference, c)
        if found:
            test = wald(*found, alpha)
            row |= {"estimate": found[0], "se": found[1], **test, **odds(found[0], test["ci"])}
        rows.append(row)
    return rows


def _thresholds(design: Design, estimates: _Estimates, categories: list[object], reference: int) -> list[Row]:
    """Thresholds for the reference condition at covariates 0: the model's own are for the baseline at the means."""
    cuts, count = len(categories) - 1, len(design.conditions)
    rows: list[Row] = []
    for j in range(cuts):
        weights = np.zeros(len(estimates.values))
        weights[j] = 1.0
        if reference != design.baseline:
            weights[cuts + reference - (reference > design.baseline)] = -1.0
        first = cuts + count - 1
        weights[first : first + len(design.terms)] = design.centre / design.scale
        found = estimates.linear(weights) or (None, None)
        rows.append({"cut": f"{categories[j]}|{categories[j + 1]}", "estimate": found[0], "se": found[1]})
    return rows


def _covariates(design: Design, estimates: _Estimates, cuts: int, alpha: float) -> list[Row]:
    """Log odds ratio of one unit of each covariate term."""
    rows: list[Row] = []
    first = cuts + len(design.conditions) - 1
    for j, term in enumerate(design.terms):
        row: Row = {"term": term, **dict.fromkeys(("estimate", "se", "z", "p", "odds_ratio", "ci", "odds_ratio_ci"))}
        weights = np.zeros(len(estimates.values))
        weights[first + j] = 1.0 / design.scale[j]
        found = estimates.linear(weights)
        if found:
            test = wald(*found, alpha)
            row |= {"estimate": found[0], "se": found[1], **test, **odds(found[0], test["ci"])}
        rows.append(row)
    return rows


def _random_effects(design: Design, data: OrdinalData, fit: Fit) -> dict[str, list[Row]]:
    """Conditional modes and standard deviations of every level."""
    _, diagonal = fit.mode.factor.inverse_entries()
    out: dict[str, list[Row]] = {}
    for grouping, at, sd in zip(design.groupings, data.blocks.level_columns, fit.point.sds, strict=True):
        modes, sds = sd * fit.mode.u[at], sd * np.sqrt(diagonal[at])
        out[grouping.name] = [
            {"level": label, "mode": float(mode), "sd": float(spread)}
            for label, mode, spread in zip(grouping.labels, modes, sds, strict=True)
        ]
    return out


def _probabilities(design: Design, fit: Fit, categories: list[object]) -> list[Row]:
    """Category probabilities of each condition at the covariates' means: over the population, and at random effects 0."""
    effects = np.insert(fit.point.effects[: len(design.conditions) - 1], design.baseline, 0.0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    spread = np.sqrt(float(fit.point.sds @ fit.point.sds)) * nodes
    weights = weights / weights.sum()
    rows: list[Row] = []
    for c, label in enumerate(design.conditions):
        latent = fit.point.thresholds[0][:, None] - effects[c] - spread[None, :]
        population = np.diff(np.concatenate([[0.0], stats.logistic.cdf(latent) @ weights, [1.0]]))
        typical = np.diff(np.concatenate([[0.0], stats.logistic.cdf(fit.point.thresholds[0] - effects[c]), [1.0]]))
        rows += [
            {"condition": label, "category": category, "population": float(population[k]), "typical": float(typical[k])}
            for k, category in enumerate(categories)
        ]
    return rows
