"""Laplace approximation of the cumulative link mixed model's likelihood (logit), with its exact gradient.

logit P(Y_i <= j) = theta_j - eta_i,  eta = X beta + Z S u,  u ~ N(0, I),  S the standard deviations. With a, b the thresholds
above and below the rating minus eta, and F the logistic function,

    log P(Y_i) = log F(a) + log(1 - F(b)) + log(1 - exp(b - a)),

an identity of the logistic function that loses no digits in the tails and whose last part does not depend on eta, so that
the weight -d2/deta2 = F'(a) + F'(b) is positive and the penalised likelihood strictly concave in u. Then

    L = sum_i log P(Y_i) - u'u/2 - log det(H)/2 at the mode u,  H = I + S Z'WZ S

(Laplace as in ordinal::clmm; Pinheiro & Chao 2006, J. Comput. Graph. Stat. 15, 58). The gradient follows the mode: with h
the leverages and c = H^-1 S Z'(h dW/deta), du/dx enters as c'd(score)/dx, so that one solve serves every parameter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.statistics.mixed_blocks import Codes, CrossedBlocks, Factor, Vector

MODE_DECREMENT = 1e-8
"""Squared Newton decrement at which the mode is taken; convergence is quadratic, so the error left is about its square."""
CHORD_DECREMENT = 1e-14
"""The same for steps with a factor from nearby, which converge linearly."""
CHORD_START = 0.1
"""Larger decrements are left to Newton's method."""
MODE_STEPS = 100
ROUNDING = 1e-9
"""Relative rounding error of a sum of log probabilities, generously."""


@dataclass(frozen=True)
class OrdinalData:
    """Ratings coded 0…K-1 (n,), the fixed effects' matrix (n, p), random effects, and which set of thresholds applies.

    With `sets` > 1 each observation has the thresholds of its own set (used to test proportional odds).
    """

    rating: Codes
    categories: int
    fixed: NDArray[np.float64]
    blocks: CrossedBlocks
    threshold_set: Codes
    sets: int = 1

    @property
    def cuts(self) -> int:
        """Thresholds in one set."""
        return self.categories - 1


@dataclass(frozen=True)
class Point:
    """Parameters: thresholds (sets, cuts) ascending in each row, fixed effects (p,), standard deviations (K,) of any sign.

    The likelihood is even in each standard deviation, which makes 0 an ordinary point and no boundary for the optimiser.
    """

    thresholds: NDArray[np.float64]
    effects: Vector
    sds: Vector


@dataclass
class Terms:
    """log P and its derivatives with respect to a, b and eta; all (n,)."""

    log_p: Vector
    upper: Vector
    lower: Vector
    gap: Vector

    @property
    def score(self) -> Vector:
        """d log P / d eta."""
        return self.upper + self.lower - 1.0

    @property
    def slopes(self) -> tuple[Vector, Vector]:
        """F'(a), F'(b)."""
        return self.upper * (1.0 - self.upper), self.lower * (1.0 - self.lower)

    @property
    def weight(self) -> Vector:
        """W = -d2 log P / d eta2."""
        slope_a, slope_b = self.slopes
        return slope_a + slope_b


@dataclass
class Mode:
    """The penalised likelihood at its mode, with H factored there."""

    u: Vector
    terms: Terms
    factor: Factor
    log_likelihood: float


def bounds(data: OrdinalData, thresholds: NDArray[np.float64]) -> tuple[Vector, Vector]:
    """The thresholds above and below each rating, infinite at the ends of the scale."""
    ends = np.full((data.sets, 1), np.inf)
    padded = np.hstack([-ends, thresholds, ends])
    return padded[data.threshold_set, data.rating + 1], padded[data.threshold_set, data.rating]


def terms_at(above: Vector, below: Vector, eta: Vector) -> Terms:
    """log P and derivatives for thresholds `above` and `below` the ratings."""
    a, b = above - eta, below - eta
    gap = above - below
    ea, eb = np.exp(-np.abs(a)), np.exp(-np.abs(b))
    # log F(a) = min(a, 0) - log1p(exp(-|a|)); log(1 - F(b)) = -max(b, 0) - log1p(exp(-|b|)); an infinite end adds 0.
    log_p = np.minimum(a, 0.0) - np.log1p(ea) - np.maximum(b, 0.0) - np.log1p(eb) + np.log(-np.expm1(-gap))
    upper = np.where(a >= 0, 1.0, ea) / (1.0 + ea)
    lower = np.where(b >= 0, 1.0, eb) / (1.0 + eb)
    return Terms(log_p, upper, lower, gap)


def find_mode(data: OrdinalData, point: Point, start: Vector, near: Factor | None = None) -> Mode:
    """Newton's method for the mode of log P(Y | u) - u'u/2, halving steps that do not climb, from `start` (size,).

    `near` is H at a nearby mode: steps with it cost no factorisation, and are taken as long as each gains two digits.
    Where it isn't found in MODE_STEPS steps the log-likelihood is minus infinity.
    """
    blocks = data.blocks
    scale = blocks.spread(point.sds)
    above, below = bounds(data, point.thresholds)
    fixed = data.fixed @ point.effects

    def evaluate(u: Vector) -> tuple[float, Terms]:
        terms = terms_at(above, below, fixed + blocks.gather(scale * u))
        return float(terms.log_p.sum()) - 0.5 * float(u @ u), terms

    def gradient(u: Vector, terms: Terms) -> Vector:
        return scale * blocks.scatter(terms.score) - u

    u = start
    value, terms = evaluate(u)
    if start.any():
        zero = np.zeros_like(u)
        at_zero, terms_zero = evaluate(zero)
        if at_zero > value:
            u, value, terms = zero, at_zero, terms_zero
    found, previous = False, CHORD_START
    while near is not None and not found:
        slope = gradient(u, terms)
        move = near.solve(slope)
        decrement = float(slope @ move)
        if not decrement < previous:
            break
        new_value, new_terms = evaluate(u + move)
        if new_value < value - ROUNDING * (1.0 + abs(value)):
            break
        u, value, terms = u + move, new_value, new_terms
        found, previous = decrement < CHORD_DECREMENT, 0.01 * decrement
    steps = 0
    while not found and steps < MODE_STEPS:
        steps += 1
        slope = gradient(u, terms)
        move = blocks.factor(terms.weight, point.sds).solve(slope)
        decrement = float(slope @ move)
        # Close to the mode the value no longer tells better from worse: rounding is let pass there.
        slack = ROUNDING * (1.0 + abs(value)) if decrement < 1e-4 else 0.0
        length = 1.0
        while True:
            new_value, new_terms = evaluate(u + length * move)
            if new_value >= value - slack or length < 1e-6:
                break
            length *= 0.5
        u, value, terms = u + length * move, new_value, new_terms
        found = decrement < MODE_DECREMENT
    factor = blocks.factor(terms.weight, point.sds)
    # Not found: parameters far from any fit, where weights vanish. The search for them backs off.
    return Mode(u, terms, factor, value - 0.5 * factor.logdet if found else -np.inf)


@dataclass
class Gradient:
    """dL/dx, in the shapes of Point."""

    thresholds: NDArray[np.float64]
    effects: Vector
    sds: Vector


def gradient_at(data: OrdinalData, point: Point, mode: Mode) -> Gradient:
    """The exact gradient of the Laplace log-likelihood at `point`, whose mode is `mode`."""
    blocks, terms = data.blocks, mode.terms
    scale = blocks.spread(point.sds)
    slope_a, slope_b = terms.slopes
    curve_a, curve_b = slope_a * (1.0 - 2.0 * terms.upper), slope_b * (1.0 - 2.0 * terms.lower)
    leverage, diagonal = mode.factor.inverse_entries()
    third = -(curve_a + curve_b)  # dW/deta
    adjoint = mode.factor.solve(scale * blocks.scatter(leverage * third))
    carried = blocks.gather(scale * adjoint)
    total = terms.score - 0.5 * leverage * third + 0.5 * (slope_a + slope_b) * carried
    # d/da and d/db of log P, through the gap and directly
    with np.errstate(over="ignore"):
        push = 1.0 / np.expm1(terms.gap)
    at_upper = 1.0 - terms.upper + push - 0.5 * leverage * curve_a - 0.5 * slope_a * carried
    at_lower = -terms.lower - push - 0.5 * leverage * curve_b - 0.5 * slope_b * carried
    width = data.cuts + 2
    flat = data.threshold_set * width + data.rating
    sums = np.bincount(flat + 1, at_upper, minlength=data.sets * width).astype(float, copy=False)
    sums += np.bincount(flat, at_lower, minlength=data.sets * width)
    thresholds = sums.reshape(data.sets, width)[:, 1:-1]
    by_level = blocks.scatter(total) * mode.u
    sds = np.zeros(blocks.count)
    for k, at in enumerate(blocks.level_columns):
        if point.sds[k] != 0.0:  # at 0 the likelihood, even in the standard deviation, is flat
            lost = len(at) - float(diagonal[at].sum()) + 0.5 * float(adjoint[at] @ mode.u[at])
            sds[k] = float(by_level[at].sum()) - lost / point.sds[k]
    return Gradient(thresholds, data.fixed.T @ total, sds)


def joint_information(data: OrdinalData, mode: Mode) -> tuple[NDArray[np.float64], Vector]:
    """(information, shrinkage) given the standard deviations, from one factorisation.

    information: minus the second derivative of the penalised likelihood in (thresholds, effects) with u profiled out. It
    leaves out how log det H moves; close to, not equal to, the marginal information. shrinkage (K,): the share of its
    prior variance that a random effect keeps on average is 1 - shrinkage.
    """
    blocks, terms = data.blocks, mode.terms
    n, p = data.fixed.shape
    count = data.sets * data.cuts
    slope_a, slope_b = terms.slopes
    upper, lower = np.zeros((n, count + p)), np.zeros((n, count + p))
    rows = np.arange(n)
    place = data.threshold_set * data.cuts + data.rating
    top, bottom = data.rating < data.cuts, data.rating > 0
    upper[rows[top], place[top]] = 1.0
    lower[rows[bottom], place[bottom] - 1] = 1.0
    gap = upper - lower
    upper[:, count:] = lower[:, count:] = -data.fixed
    inner = top & bottom
    # exp(g) / (exp(g) - 1)^2 for the categories that have a threshold on both sides
    kappa = np.zeros(n)
    kappa[inner] = 0.25 / np.sinh(0.5 * np.minimum(terms.gap[inner], 700.0)) ** 2
    information = (
        upper.T @ (slope_a[:, None] * upper) + lower.T @ (slope_b[:, None] * lower) + gap.T @ (kappa[:, None] * gap)
    )
    moved = slope_a[:, None] * upper + slope_b[:, None] * lower
    scale = blocks.spread(mode.factor.sds)
    cross = np.column_stack([scale * blocks.scatter(moved[:, j]) for j in range(count + p)])
    information -= cross.T @ mode.factor.solve(cross)
    _, diagonal = mode.factor.inverse_entries()
    kept = np.array([1.0 - float(diagonal[at].mean()) for at in blocks.level_columns])
    return information, kept
