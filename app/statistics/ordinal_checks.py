"""Is the ordinal model's one odds ratio per condition a fair summary? A test of it, and a binary model for where it is doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype
from scipy import stats
from threadpoolctl import threadpool_limits

from app.errors import InputError
from app.statistics.mixed_blocks import Codes
from app.statistics.mixed_design import Design, NotEstimableError, make_design
from app.statistics.mixed_result import OrdinalResult, ProportionalOddsResult, Row
from app.statistics.ordinal import check_levels, code_ratings, fit_ordinal, reference_index
from app.statistics.ordinal_fit import maximise
from app.statistics.ordinal_likelihood import OrdinalData, Point, joint_information


def upper_part(values: pd.Series, scale: tuple[float, float] | None = None) -> float:
    """The lowest rating above the middle of `scale` (default: the range of `values`): 4 of 5 points, 5 of 7, 6 of 0 to 10."""
    low, high = scale if scale else (float(values.min()), float(values.max()))
    return float(np.floor((low + high) / 2.0) + 1.0)


def fit_binary(
    data: pd.DataFrame,
    *,
    response: str,
    at_least: float | None = None,
    scale: tuple[float, float] | None = None,
    construct: str | None = None,
    **options: Any,
) -> OrdinalResult:
    """The same mixed model of `response >= at_least`: log odds of a rating in the upper part of the scale.

    `at_least` defaults to `upper_part` of `scale`; `options` are those of `fit_ordinal`. The result's categories are 0 and 1
    and its first note says which ratings count as 1. Raises InputError as `fit_ordinal` does, and for ratings that aren't numbers.
    """
    if response not in data.columns:
        raise InputError(f"there is no column {response!r}; the columns are {', '.join(map(str, data.columns))}")
    if not is_numeric_dtype(data[response]):
        raise InputError(f"column {response!r} has ratings that are not numbers, so none is 'at least' another")
    limit = upper_part(data[response], scale) if at_least is None else at_least
    binary = data.assign(**{response: (data[response] >= limit).astype(float).where(data[response].notna())})
    result = fit_ordinal(binary, response=response, construct=construct, **options)
    result.notes.insert(0, f"1 means a rating of at least {limit:g}, 0 a lower one")
    return result


def check_proportional_odds(
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
) -> ProportionalOddsResult:
    """Likelihood-ratio test of thresholds of their own for each condition against one shift per condition, in the mixed model.

    Both models have the same random effects and covariates; df = (conditions - 1) (cuts - 1). Neighbouring scale points are
    taken together until every condition uses each (both models use the merged scale). The standard errors of `cuts` are given
    the random effects' standard deviations, so slightly small. `doubtful` is p < alpha: then read the odds ratios cut by cut,
    and `fit_binary`. Arguments and errors as in `fit_ordinal`.
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
            return _check(design, name, reference_index(design, reference), alpha)
    except NotEstimableError as error:
        reason = str(error)
    except np.linalg.LinAlgError:
        reason = "the likelihood of these data is numerically singular"
    return ProportionalOddsResult(construct=name, estimable=False, reason=reason)


def merge_rare(ratings: Codes, condition: Codes, categories: int, conditions: int) -> NDArray[np.intp]:
    """(K,) the merged category of each category, so that every condition uses every merged category.

    Greedy from below: a group is closed once all conditions have a rating in it; what is left joins the last group.
    """
    counts = np.zeros((categories, conditions), dtype=np.intp)
    np.add.at(counts, (ratings, condition), 1)
    merged = np.zeros(categories, dtype=np.intp)
    group, seen = 0, np.zeros(conditions, dtype=np.intp)
    for k in range(categories):
        seen += counts[k]
        merged[k] = group
        if np.all(seen > 0):
            group, seen = group + 1, np.zeros(conditions, dtype=np.intp)
    merged[merged == group] = max(group - 1, 0)
    return merged


def _check(design: Design, construct: str, reference: int, alpha: float) -> ProportionalOddsResult:
    ratings, categories = code_ratings(design)
    count = len(design.conditions)
    merged = merge_rare(ratings, design.condition, len(categories), count)
    size = int(merged.max()) + 1
    groups = [[category for category, m in zip(categories, merged, strict=True) if m == g] for g in range(size)]
    if size < 3:
        raise NotEstimableError(
            "fewer than three parts of the scale are used in every condition, so there is only one cut to compare"
            if len(categories) > 2
            else "two categories have one cut only: there is nothing to compare"
        )
    parameters = count * (size - 1) + len(design.terms) + len(design.groupings)
    if design.n <= parameters:
        raise NotEstimableError(f"{design.n} ratings are too few for a model of {parameters} parameters")
    together = merged[ratings]
    shared = OrdinalData(together, size, design.fixed, design.blocks(), np.zeros(design.n, dtype=np.intp))
    one = maximise(shared, fixed_at_zero=design.fixed_at_zero)
    own = OrdinalData(together, size, design.fixed[:, count - 1 :], shared.blocks, design.condition, count)
    effects = np.insert(one.point.effects[: count - 1], design.baseline, 0.0)
    sds = one.point.sds if design.fixed_at_zero else np.maximum(one.point.sds, 0.1)
    start = Point(one.point.thresholds - effects[:, None], one.point.effects[count - 1 :], sds)
    many = maximise(own, start, fixed_at_zero=design.fixed_at_zero)
    lr = max(0.0, 2.0 * (many.log_likelihood - one.log_likelihood))
    df = (count - 1) * (size - 2)
    p = float(stats.chi2.sf(lr, df))
    notes = list(design.notes)
    if not (one.converged and many.converged):
        notes.append("a fit did not converge: the test is not to be relied on")
    information, _ = joint_information(own, many.mode)
    return ProportionalOddsResult(
        construct=construct,
        notes=notes,
        lr=lr,
        df=df,
        p=p,
        doubtful=p < alpha,
        merged=[group for group in groups if len(group) > 1],
        cuts=_cuts(design, many.point, information, groups, reference),
    )


def _cuts(
    design: Design, point: Point, information: NDArray[np.float64], groups: list[list[Any]], reference: int
) -> list[Row]:
    """Log odds ratio above each cut: the reference's threshold minus the condition's."""
    cuts = len(groups) - 1
    covariance = np.linalg.pinv(information, hermitian=True)
    rows: list[Row] = []
    for c, label in enumerate(design.conditions):
        if c == reference:
            continue
        for j in range(cuts):
            a, b = reference * cuts + j, c * cuts + j
            variance = covariance[a, a] + covariance[b, b] - 2.0 * covariance[a, b]
            rows.append(
                {
                    "condition": label,
                    "cut": f"{groups[j][-1]}|{groups[j + 1][0]}",
                    "estimate": float(point.thresholds[reference, j] - point.thresholds[c, j]),
                    "se": float(np.sqrt(max(variance, 0.0))),
                }
            )
    return rows
