"""What single participants and ratings do to an ordinal model's contrasts, without fitting it again for each.

Thresholds, condition effects, covariates and random effects maximise the penalised likelihood given the standard deviations.
Leaving rows out moves that maximum by one Newton step from where it was, exact to second order:

    change = -(H - A'WA)^-1 A's,

with A the left-out rows' design, s and W their score and information. The standard deviations stay as they were, which is the
approximation (tested against refits). For the ratings to drop, the first-order change -H^-1 A's of each is added up, as in
Broderick, Giordano and Meager (2020); the answer is then confirmed by a refit.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from app.statistics.mixed_design import Design, NotEstimableError, make_design
from app.statistics.ordinal import code_ratings
from app.statistics.ordinal_fit import Fit, maximise
from app.statistics.ordinal_likelihood import OrdinalData
from app.statistics.resampling import Vector

MOST_PARAMETERS = 6000
"""Thresholds, effects and levels together up to which the dense information matrix is made (290 MB)."""


@dataclass(frozen=True)
class Influence:
    """Contrasts b - a (pairs in order) of a fit, and how leaving out changes them. Rows are those of the fitted frame.

    rows (n,): index into the frame of each analysed row. participant (n,): its participant. by_row (n, pairs): first-order
    change when the row is left out. by_participant (people, pairs): change when all the participant's rows are.
    """

    pairs: list[tuple[str, str]]
    estimates: Vector
    rows: NDArray[np.intp]
    people: list[str]
    by_row: Vector
    by_participant: Vector


def influence(frame: pd.DataFrame, response: str, arguments: dict[str, Any]) -> Influence | str:
    """Influence on the contrasts of the model that `fit_ordinal(frame, response=…, **arguments)` fits; a reason if there's none."""
    options = {key: value for key, value in arguments.items() if key != "reference"}
    frame = frame.reset_index(drop=True)
    try:
        with threadpool_limits(1, user_api="blas"):
            design = make_design(frame, response=response, participant_condition=False, **options)
            rating, categories = code_ratings(design)
            sets = np.zeros(design.n, dtype=np.intp)
            data = OrdinalData(rating, len(categories), design.fixed, design.blocks(), sets)
            size = data.cuts + design.fixed.shape[1] + data.blocks.size
            if size > MOST_PARAMETERS:
                return f"the model has {size} thresholds, effects and levels; influence is computed up to {MOST_PARAMETERS}"
            fit = maximise(data, fixed_at_zero=design.fixed_at_zero)
            if not fit.converged:
                return "the fit did not converge"
            used = [response, "condition", "participant", "item", *options["covariates"]]
            rows = np.flatnonzero(frame[used].notna().all(axis=1))
            return _influence(design, data, fit, rows, frame["participant"].to_numpy(str)[rows])
    except (NotEstimableError, np.linalg.LinAlgError) as error:
        return str(error)


def _influence(design: Design, data: OrdinalData, fit: Fit, rows: NDArray[np.intp], who: NDArray[np.str_]) -> Influence:
    A, score, weight = _rows(data, fit)
    penalty = np.zeros(A.shape[1])
    penalty[data.cuts + design.fixed.shape[1] :] = 1.0
    n = data.rating.size
    W = sparse.bmat([[sparse.diags_array(weight[:, i, j]) for j in range(2)] for i in range(2)], format="csr")
    H = np.asarray((A.T @ W @ A).todense()) + np.diag(penalty)
    pairs = list(combinations(range(len(design.conditions)), 2))
    others = np.delete(np.arange(len(design.conditions)), design.baseline)
    place = {int(c): data.cuts + k for k, c in enumerate(others)}
    L = np.zeros((A.shape[1], len(pairs)))
    effects = np.insert(fit.point.effects[: len(others)], design.baseline, 0.0)
    for k, (a, b) in enumerate(pairs):
        if b in place:
            L[place[b], k] += 1.0
        if a in place:
            L[place[a], k] -= 1.0
    factor = cho_factor(H)
    Q = A @ cho_solve(factor, L)  # (2n, pairs)
    by_row = -(Q[:n] * score[:, :1] + Q[n:] * score[:, 1:])
    people, code = np.unique(who, return_inverse=True)
    inverse = cho_solve(factor, np.eye(len(H)))
    by_participant = np.zeros((len(people), len(pairs)))
    order = np.argsort(code, kind="stable")
    for person, own in enumerate(np.split(order, np.cumsum(np.bincount(code))[:-1])):
        both = np.concatenate([own, own + n])
        A_own = A[both]
        M = A_own @ inverse @ A_own.T
        W_own = W[both][:, both].todense()
        s = np.concatenate([score[own, 0], score[own, 1]])
        by_participant[person] = -Q[both].T @ np.linalg.solve(np.eye(len(both)) - W_own @ M, s)
    labels = [(design.conditions[a], design.conditions[b]) for a, b in pairs]
    estimates = np.array([effects[b] - effects[a] for a, b in pairs])
    return Influence(labels, estimates, rows, [str(person) for person in people], by_row, by_participant)


def _rows(data: OrdinalData, fit: Fit) -> tuple[sparse.csr_array, Vector, Vector]:
    """How each rating's upper and lower distance (threshold - eta) depends on all parameters (2n, m), the score in the two
    (n, 2) and minus their second derivatives (n, 2, 2)."""
    terms, blocks = fit.mode.terms, data.blocks
    n, p = data.fixed.shape
    rows = np.arange(n)
    upper = np.zeros((n, data.cuts))
    lower = np.zeros((n, data.cuts))
    top, bottom = data.rating < data.cuts, data.rating > 0
    upper[rows[top], data.rating[top]] = 1.0
    lower[rows[bottom], data.rating[bottom] - 1] = 1.0
    scale = blocks.spread(fit.point.sds)
    columns = np.concatenate([blocks.columns[k] for k in range(blocks.count)])
    Z = sparse.csr_array((-scale[columns], (np.tile(rows, blocks.count), columns)), shape=(n, blocks.size))
    shared = sparse.hstack([sparse.csr_array(-data.fixed), Z]) if p else Z
    A = sparse.vstack([sparse.hstack([sparse.csr_array(part), shared]) for part in (upper, lower)], format="csr")
    with np.errstate(over="ignore"):
        push = 1.0 / np.expm1(terms.gap)  # 0 at the ends of the scale, where the gap is infinite
    score = np.column_stack([1.0 - terms.upper + push, -terms.lower - push])
    slope_a, slope_b = terms.slopes
    inner = top & bottom
    kappa = np.zeros(n)
    kappa[inner] = 0.25 / np.sinh(0.5 * np.minimum(terms.gap[inner], 700.0)) ** 2
    weight = np.empty((n, 2, 2))
    weight[:, 0, 0], weight[:, 1, 1] = slope_a + kappa, slope_b + kappa
    weight[:, 0, 1] = weight[:, 1, 0] = -kappa
    return A, score, weight
