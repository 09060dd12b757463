"""Maximum of the Laplace likelihood: quasi-Newton on unconstrained, prescaled parameters, and the observed information.

Thresholds are the first one and the logarithms of the gaps, so that they stay ordered; standard deviations may take any sign
(the likelihood is even in them). The inverse of the information given the standard deviations prescales the problem, after
which about ten BFGS steps suffice (Nocedal & Wright, Numerical Optimization, 2nd ed., chapter 6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.statistics.mixed_blocks import Vector
from app.statistics.ordinal_likelihood import Mode, OrdinalData, Point, find_mode, gradient_at, joint_information

GRADIENT_TOLERANCE = 1e-5
"""Largest gradient component at which the search stops, in units of about one standard error."""
ROUGH = [1.0]
"""Tolerances of the passes before the last; each pass begins with a prescaling at where it starts."""
ACCEPTED_GRADIENT = 1e-3
"""Above this the fit is reported as not converged: estimates may be off by this share of their standard error."""
MAX_ITERATIONS = 150
ZERO_SD = 1e-3
"""A standard deviation below this is tried at 0, and taken as 0 if the likelihood is no lower there."""
LONGEST_STEP = 1.5
"""Largest change of a packed parameter in one step: all are on the logit scale or logarithms."""
STANDSTILL = 4
"""Steps in a row without a change of the likelihood beyond rounding after which the search stops."""
MANY_RATINGS = 20_000
FLAT = 0.01
"""Information on one parameter below which its estimate has run away (separated ratings): a standard error above 10."""


@dataclass
class Fit:
    """The estimate; `information` (and `mode`) at it. Standard deviations are not negative; `at_zero` are on the boundary."""

    point: Point
    mode: Mode
    converged: bool
    iterations: int
    evaluations: int
    gradient: float
    at_zero: list[int] = field(default_factory=list)

    @property
    def log_likelihood(self) -> float:
        """Laplace log-likelihood at the estimate."""
        return self.mode.log_likelihood


def start_point(data: OrdinalData, fixed_at_zero: bool = False) -> Point:
    """Thresholds from the ratings' marginal distribution, no effects, standard deviations of 0.7."""
    counts = np.zeros((data.sets, data.categories))
    np.add.at(counts, (data.threshold_set, data.rating), 1.0)
    share = np.cumsum(counts + 0.1, axis=1)[:, :-1] / (counts + 0.1).sum(axis=1, keepdims=True)
    sds = np.zeros(data.blocks.count) if fixed_at_zero else np.full(data.blocks.count, 0.7)
    spread = np.sqrt(1.0 + float(sds @ sds) * 3.0 / np.pi**2)
    return Point(np.log(share / (1.0 - share)) * spread, np.zeros(data.fixed.shape[1]), sds)


def _pack(point: Point) -> Vector:
    gaps = np.log(np.diff(point.thresholds, axis=1))
    return np.concatenate([np.hstack([point.thresholds[:, :1], gaps]).ravel(), point.effects, point.sds])


def _unpack(data: OrdinalData, x: Vector) -> Point:
    count = data.sets * data.cuts
    raw = x[:count].reshape(data.sets, data.cuts)
    with np.errstate(over="ignore"):
        steps = np.hstack([raw[:, :1], np.exp(raw[:, 1:])])
    p = data.fixed.shape[1]
    return Point(np.cumsum(steps, axis=1), x[count : count + p], x[count + p :])


def _threshold_jacobian(data: OrdinalData, x: Vector) -> NDArray[np.float64]:
    """d thresholds / d (first, log gaps), for all sets (sets*cuts, sets*cuts)."""
    count = data.sets * data.cuts
    out = np.zeros((count, count))
    for s in range(data.sets):
        at = slice(s * data.cuts, (s + 1) * data.cuts)
        raw = x[at]
        out[at, at] = np.tril(np.ones((data.cuts, data.cuts))) * np.concatenate([[1.0], np.exp(raw[1:])])
    return out


def _prescale(data: OrdinalData, x: Vector, mode: Mode, free: NDArray[np.bool_]) -> NDArray[np.float64]:
    """M with MM' about the inverse information in the free packed parameters: one unit of z in x = x0 + Mz is a standard error.

    The block of thresholds and effects is that given the standard deviations; the columns of these are differences of the
    exact gradient, because thresholds and effects grow with them.
    """
    information, kept = joint_information(data, mode)
    count, m = data.sets * data.cuts, len(information)
    jacobian = np.eye(m)
    jacobian[:count, :count] = _threshold_jacobian(data, x)
    full = np.zeros((len(x), len(x)))
    full[:m, :m] = jacobian.T @ information @ jacobian
    here = _packed_gradient(data, x, mode)
    for k in np.flatnonzero(free[m:]):
        step = 0.02 * max(abs(x[m + k]), 0.1)
        moved = x.copy()
        moved[m + k] += step
        column = (
            here - _packed_gradient(data, moved, find_mode(data, _unpack(data, moved), mode.u, mode.factor))
        ) / step
        full[m + k, : m + k + 1] = full[: m + k + 1, m + k] = column[: m + k + 1]
        # One-way classification: the information on a standard deviation s with shrinkage k is 2 q k^2 / s^2.
        usual = 2.0 * data.blocks.sizes[k] * (max(kept[k], 0.05) / max(abs(x[m + k]), 0.1)) ** 2
        if column[m + k] < 0.2 * usual:
            full[m + k, :], full[:, m + k] = 0.0, 0.0
            full[m + k, m + k] = usual
    values, vectors = np.linalg.eigh(full[np.ix_(free, free)])
    out = np.zeros((len(x), int(free.sum())))
    out[free] = vectors / np.sqrt(np.maximum(values, FLAT))
    return out


def _packed_gradient(data: OrdinalData, x: Vector, mode: Mode) -> Vector:
    """Gradient of the log-likelihood in the packed parameters."""
    found = gradient_at(data, _unpack(data, x), mode)
    return np.concatenate([_threshold_jacobian(data, x).T @ found.thresholds.ravel(), found.effects, found.sds])


class _Objective:
    """Minus the log-likelihood and its gradient in z, each mode search started from the last mode."""

    def __init__(self, data: OrdinalData, x0: Vector, free: NDArray[np.bool_]) -> None:
        self.data, self.x0, self.free = data, x0, free
        self.evaluations = 0
        self.u = np.zeros(data.blocks.size)
        self.mode = find_mode(data, _unpack(data, x0), self.u)
        self.u = self.mode.u
        self.scaling = _prescale(data, x0, self.mode, free)

    def x(self, z: Vector) -> Vector:
        """Packed parameters at z."""
        return self.x0 + self.scaling @ z

    def __call__(self, z: Vector) -> tuple[float, Vector]:
        self.evaluations += 1
        x = self.x(z)
        point = _unpack(self.data, x)
        if not np.all(np.isfinite(point.thresholds)) or np.any(np.diff(point.thresholds, axis=1) <= 0):
            return np.inf, np.zeros(len(z))
        try:
            mode = find_mode(self.data, point, self.u, self.mode.factor)
        except np.linalg.LinAlgError:
            return np.inf, np.zeros(len(z))
        if not np.isfinite(mode.log_likelihood):
            return np.inf, np.zeros(len(z))
        self.mode, self.u = mode, mode.u
        return -mode.log_likelihood, -(self.scaling.T @ _packed_gradient(self.data, x, mode))


def minimise(
    objective: Callable[[Vector], tuple[float, Vector]], scaling: NDArray[np.float64], tolerance: float
) -> tuple[Vector, float, Vector, int]:
    """(z, value, gradient, iterations): BFGS from z = 0 with the identity as first inverse Hessian.

    No step moves a parameter (`scaling` @ z) by more than LONGEST_STEP. Backtracking with quadratic interpolation; an update
    that would lose positive definiteness is left out.
    """
    size = scaling.shape[1]
    z = np.zeros(size)
    value, gradient = objective(z)
    inverse = np.eye(size)
    iteration = still = 0
    for iteration in range(1, MAX_ITERATIONS + 1):
        if size == 0 or np.abs(gradient).max() < tolerance:
            break
        direction = -inverse @ gradient
        slope = float(gradient @ direction)
        if slope >= 0:
            inverse = np.eye(size)
            direction, slope = -gradient, -float(gradient @ gradient)
        length = min(1.0, LONGEST_STEP / max(float(np.abs(scaling @ direction).max()), 1e-300))
        noise = 1e-11 * (1.0 + abs(value))
        while True:
            new_value, new_gradient = objective(z + length * direction)
            if new_value <= value + 1e-4 * length * slope + noise:
                break
            if length < 1e-8:
                return z, value, gradient, iteration
            curvature = new_value - value - length * slope
            ratio = -0.5 * length * slope / curvature if np.isfinite(curvature) and curvature > 0 else 0.1
            length *= min(max(ratio, 0.1), 0.5)
        step, change = length * direction, new_gradient - gradient
        product = float(step @ change)
        if product > 1e-10 * float(np.linalg.norm(step) * np.linalg.norm(change)):
            left = np.eye(size) - np.outer(step, change) / product
            inverse = left @ inverse @ left.T + np.outer(step, step) / product
        still = still + 1 if value - new_value < noise else 0
        z, value, gradient = z + step, new_value, new_gradient
        if still == STANDSTILL:
            break
    return z, value, gradient, iteration


def maximise(data: OrdinalData, start: Point | None = None, *, fixed_at_zero: bool = False) -> Fit:
    """The Laplace maximum-likelihood estimate, from `start` or a start of its own.

    A standard deviation whose likelihood is highest at 0 is set to 0 and listed in `at_zero`.
    """
    point = start_point(data, fixed_at_zero) if start is None else start
    iterations = evaluations = 0
    zero = np.full(len(point.sds), fixed_at_zero)
    tolerances = [*ROUGH, GRADIENT_TOLERANCE]
    while True:
        x0 = _pack(point)
        free = np.concatenate([np.ones(len(x0) - len(zero), dtype=bool), ~zero])
        objective = _Objective(data, x0, free)
        tolerance = tolerances.pop(0) if len(tolerances) > 1 else tolerances[0]
        z, _, gradient, steps = minimise(objective, objective.scaling, tolerance)
        iterations += steps
        evaluations += objective.evaluations
        point = _unpack(data, objective.x(z))
        point = Point(point.thresholds, point.effects, np.abs(point.sds))
        if tolerance > GRADIENT_TOLERANCE:
            continue
        mode = find_mode(data, point, objective.u)
        small = (point.sds < ZERO_SD) & ~zero
        for k in np.flatnonzero(small):
            at_zero = _with_sd(point, int(k), 0.0)
            without = find_mode(data, at_zero, mode.u)
            if without.log_likelihood >= mode.log_likelihood - 1e-7:
                point, mode, zero[k] = at_zero, without, True
        risen = None if fixed_at_zero else _rise_from_zero(data, point, mode, zero)
        if risen is None:
            break
        point = risen
        zero[:] = False
    largest = float(np.abs(gradient).max()) if len(gradient) else 0.0
    return Fit(
        point,
        mode,
        largest < ACCEPTED_GRADIENT,
        iterations,
        evaluations,
        largest,
        [int(k) for k in np.flatnonzero(zero)],
    )


def _with_sd(point: Point, k: int, value: float) -> Point:
    sds = point.sds.copy()
    sds[k] = value
    return Point(point.thresholds, point.effects, sds)


def _rise_from_zero(data: OrdinalData, point: Point, mode: Mode, zero: NDArray[np.bool_]) -> Point | None:
    """A better point off 0 if 0 is not a maximum in some standard deviation (the gradient at 0 is always 0)."""
    for k in np.flatnonzero(zero):
        moved = _with_sd(point, int(k), 0.1)
        if find_mode(data, moved, mode.u).log_likelihood > mode.log_likelihood + 1e-6:
            return moved
    return None


def natural_information(data: OrdinalData, fit: Fit, *, one_sided: bool | None = None) -> NDArray[np.float64]:
    """Observed information of (thresholds, effects, standard deviations not at 0): differences of the exact gradient.

    Steps are a thousandth of a standard error. Central differences have a relative error of about 1e-6; from MANY_RATINGS on
    they are `one_sided` unless told otherwise, at half the cost: the likelihood is so close to quadratic that standard errors
    differ by less than 1e-4 of themselves.
    """
    point = fit.point
    count = point.thresholds.size
    free = [k for k in range(len(point.sds)) if k not in fit.at_zero]
    values = np.concatenate([point.thresholds.ravel(), point.effects, point.sds[free]])
    information, kept = joint_information(data, fit.mode)
    sizes = np.asarray(data.blocks.sizes)[free]
    sd_steps = np.maximum(point.sds[free], 0.01) / np.sqrt(2.0 * sizes) / np.maximum(kept[free], 0.05)
    steps = 1e-3 * np.concatenate([1.0 / np.sqrt(np.maximum(np.diagonal(information), FLAT)), sd_steps])

    def gradient(x: Vector) -> Vector:
        sds = point.sds.copy()
        sds[free] = x[count + len(point.effects) :]
        moved = Point(x[:count].reshape(point.thresholds.shape), x[count : count + len(point.effects)], sds)
        found = gradient_at(data, moved, find_mode(data, moved, fit.mode.u, fit.mode.factor))
        return np.concatenate([found.thresholds.ravel(), found.effects, found.sds[free]])

    if one_sided is None:
        one_sided = len(data.rating) >= MANY_RATINGS
    here = gradient(values) if one_sided else None
    columns = []
    for j, step in enumerate(steps):
        shift = np.zeros(len(values))
        shift[j] = step
        below, width = (gradient(values - shift), 2.0 * step) if here is None else (here, step)
        columns.append((below - gradient(values + shift)) / width)
    matrix = np.column_stack(columns)
    return 0.5 * (matrix + matrix.T)
