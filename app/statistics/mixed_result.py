"""What the mixed models return: plain rows that go into results.json as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

Row = dict[str, Any]


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: Python scalars, lists and dicts; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    number = float(value)
    return number if math.isfinite(number) else None


@dataclass(frozen=True, kw_only=True)
class MixedResult:
    """What the ordinal and the linear mixed model share.

    `estimable` is False when no model can be fitted, and then `reason` says why and the rest is empty. A single number that
    cannot be estimated (separated ratings, say) is None and `notes` says why. Every `ci` has level 1 - alpha, is
    pointwise, and is on the scale of `estimate`. A contrast's estimate is b - a: positive means that b was rated higher.
    """

    construct: str
    estimable: bool = True
    reason: str | None = None
    notes: list[str] = field(default_factory=list)
    n: int = 0
    alpha: float = 0.05
    reference: str | None = None
    conditions: list[str] = field(default_factory=list)
    levels: dict[str, int] = field(default_factory=dict)
    """Number of levels of each random effect: {participant, item, …}."""
    sd: dict[str, float] = field(default_factory=dict)
    """Standard deviation of each random effect; 0.0 is an estimate on the boundary and is in `notes`."""
    icc: dict[str, float] = field(default_factory=dict)
    """Share of each random effect in the variance that condition and covariates leave."""
    coefficients: list[Row] = field(default_factory=list)
    contrasts: list[Row] = field(default_factory=list)
    random_effects: dict[str, list[Row]] = field(default_factory=dict)
    """Conditional modes, {participant: [level, mode, sd], …}; sd is the conditional standard deviation."""
    convergence: Row = field(default_factory=dict)
    """converged, iterations, evaluations, gradient (largest absolute component at the solution, standardised); the ordinal
    model also condition_number (of the observed information)."""
    log_likelihood: float | None = None

    def to_dict(self) -> Row:
        """The entry of results.json: the fields by name, in their order."""
        return {entry.name: plain(getattr(self, entry.name)) for entry in fields(self)}


@dataclass(frozen=True, kw_only=True)
class OrdinalResult(MixedResult):
    """A cumulative link mixed model (logit link). Estimates are log odds of a higher rating.

    coefficients: [condition, estimate, se, z, p, odds_ratio, ci, odds_ratio_ci], against `reference`.
    contrasts: [a, b, estimate, se, z, p, p_tukey, p_holm, odds_ratio, ci, odds_ratio_ci, ci_tukey].
    """

    categories: list[Any] = field(default_factory=list)
    """The ratings that occur, ascending; a scale point that nobody used has no threshold of its own."""
    thresholds: list[Row] = field(default_factory=list)
    """[cut, estimate, se], cut is 'j|j+1'; at covariates 0 (first level of a text covariate), as clmm reports them."""
    covariates: list[Row] = field(default_factory=list)
    """[term, estimate, se, z, p, odds_ratio, ci, odds_ratio_ci]."""
    log_likelihood_null: float | None = None
    """Of the same model without condition."""
    lr: float | None = None
    df: int | None = None
    p: float | None = None
    """Likelihood-ratio test of condition: lr on df degrees of freedom."""
    equivalence_bound: float | None = None
    """The odds ratio that counts as equivalent."""
    equivalence: list[Row] = field(default_factory=list)
    """[a, b, p_tost, ci90, odds_ratio_ci90]: two one-sided tests of |log odds ratio| < log(bound)."""
    probabilities: list[Row] = field(default_factory=list)
    """[condition, category, population, typical], covariates at their means. population: averaged over the random effects;
    typical: for a participant and an item whose random effects are 0."""


@dataclass(frozen=True, kw_only=True)
class LinearResult(MixedResult):
    """A linear mixed model fitted by REML, with Satterthwaite's degrees of freedom.

    coefficients: [term, condition, estimate, se, df, t, p, ci]; term is '(Intercept)', a condition or a covariate, and
    `condition` is the condition's label or None. contrasts: [a, b, estimate, se, df, t, p, p_tukey, p_holm, ci].
    """

    residual_sd: float | None = None
    r2_marginal: float | None = None
    r2_conditional: float | None = None
    test: Row = field(default_factory=dict)
    """F test of condition: F, df1, df2, p."""
    fitted: list[float] = field(default_factory=list)
    """Fitted values with the random effects, in the order of the analysed rows (rows with missing values left out)."""
    residuals: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ProportionalOddsResult:
    """Does one odds ratio per condition hold at every cut of the scale?"""

    construct: str
    estimable: bool = True
    reason: str | None = None
    notes: list[str] = field(default_factory=list)
    lr: float | None = None
    df: int | None = None
    p: float | None = None
    doubtful: bool = False
    """p < alpha."""
    merged: list[list[Any]] = field(default_factory=list)
    """Scale points taken together, so that every condition uses every category."""
    cuts: list[Row] = field(default_factory=list)
    """[condition, cut, estimate, se]: log odds ratio of a rating above the cut, against the reference."""

    def to_dict(self) -> Row:
        """The entry of results.json: the fields by name, in their order."""
        return {entry.name: plain(getattr(self, entry.name)) for entry in fields(self)}
