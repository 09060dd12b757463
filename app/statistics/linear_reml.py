"""REML for crossed random intercepts, profiled over the fixed effects and the residual variance.

With relative standard deviations r (random effect / residual), H = I + R Z'Z R and V = I + Z R R Z' (so det V = det H),

    deviance = log det H + log det X'V^-1 X + (n - p) (1 + log(2 pi s^2)),  s^2 = y'Py / (n - p),

as in Bates et al. 2015 (J. Stat. Softw. 67, 1), equations 40 to 42. V^-1 v = v - Z R H^-1 R Z'v, so that the blocks of
the ordinal model serve here with weights of 1. The gradient is exact:

    d deviance / d r_k = 2 r_k [tr(P Z_k Z_k') - |Z_k'P y|^2 / s^2].
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from app.statistics.mixed_blocks import CrossedBlocks, Factor, Vector

ZERO = 1e-4
"""A relative standard deviation below this is tried at 0."""
GRADIENT_TOLERANCE = 1e-7


@dataclass(frozen=True)
class Model:
    """Response (n,), fixed effects' matrix (n, p) with intercept, random effects."""

    y: Vector
    fixed: NDArray[np.float64]
    blocks: CrossedBlocks

    @property
    def residual_df(self) -> int:
        """n - p."""
        return len(self.y) - self.fixed.shape[1]


@dataclass
class State:
    """The model solved at given relative standard deviations. information is X'V^-1 X; py is P y (n,); rss is y'Py."""

    relative: Vector
    factor: Factor
    information: NDArray[np.float64]
    whitened: NDArray[np.float64]
    effects: Vector
    py: Vector
    rss: float

    def log_dets(self) -> float:
        """log det H + log det X'V^-1 X."""
        return self.factor.logdet + float(np.linalg.slogdet(self.information)[1])


@dataclass
class Reml:
    """The REML estimate. `u` are the standardised random effects, divided by the residual sd; `random` is their sum per row."""

    model: Model
    relative: Vector
    sigma: float
    effects: Vector
    deviance: float
    u: Vector
    random: Vector
    diagonal: Vector
    converged: bool
    iterations: int
    evaluations: int
    gradient: float
    at_zero: list[int] = field(default_factory=list)


def state_at(model: Model, relative: Vector) -> State:
    """Solve the mixed-model equations at `relative` (K,)."""
    blocks = model.blocks
    factor = blocks.factor(np.ones(len(model.y)), relative)
    scale = blocks.spread(relative)

    def apply_inverse(columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """V^-1 columns."""
        inner = np.column_stack([scale * blocks.scatter(columns[:, j]) for j in range(columns.shape[1])])
        solved = scale[:, None] * factor.solve(inner)
        return columns - np.column_stack([blocks.gather(solved[:, j]) for j in range(columns.shape[1])])

    both = apply_inverse(np.column_stack([model.fixed, model.y]))
    whitened, vy = both[:, :-1], both[:, -1]
    information = model.fixed.T @ whitened
    effects: Vector = np.asarray(np.linalg.solve(information, whitened.T @ model.y), dtype=float)
    py = vy - whitened @ effects
    return State(relative, factor, information, whitened, effects, py, float(model.y @ py))


def traces(model: Model, state: State) -> tuple[Vector, Vector]:
    """(tr(P Z_k Z_k') r_k^2, |Z_k'P y|^2 r_k^2), each (K,)."""
    blocks = model.blocks
    _, diagonal = state.factor.inverse_entries()
    scale = blocks.spread(state.relative)
    sums = np.column_stack([scale * blocks.scatter(state.whitened[:, j]) for j in range(state.whitened.shape[1])])
    leverage = np.einsum("ij,ij->i", sums, np.linalg.solve(state.information, sums.T).T)
    residual = (scale * blocks.scatter(state.py)) ** 2
    lost = np.array([len(at) - float(diagonal[at].sum()) - float(leverage[at].sum()) for at in blocks.level_columns])
    return lost, np.array([float(residual[at].sum()) for at in blocks.level_columns])


def profiled(model: Model, relative: Vector) -> tuple[float, Vector]:
    """(deviance, gradient) with the residual variance profiled out; the gradient at a relative sd of 0 is 0."""
    state = state_at(model, relative)
    df = model.residual_df
    variance = max(state.rss, 1e-300) / df
    deviance = state.log_dets() + df * (1.0 + float(np.log(2.0 * np.pi * variance)))
    trace, squares = traces(model, state)
    safe = np.where(relative == 0.0, 1.0, relative)
    return deviance, np.where(relative == 0.0, 0.0, 2.0 * (trace - squares / variance) / safe)


def fit_reml(y: Vector, fixed: NDArray[np.float64], blocks: CrossedBlocks, *, fixed_at_zero: bool = False) -> Reml:
    """The REML estimate; relative standard deviations whose deviance is lowest at 0 are 0 and listed in `at_zero`."""
    model = Model(y - y.mean(), fixed, blocks)  # centred against cancellation in y'Py
    relative = np.zeros(blocks.count) if fixed_at_zero else np.full(blocks.count, 0.7)
    iterations = evaluations = 0
    zero = np.full(blocks.count, fixed_at_zero)
    largest, converged = 0.0, True
    while not fixed_at_zero:
        relative, steps, calls = _search(model, relative, zero)
        iterations, evaluations = iterations + steps, evaluations + calls
        deviance, gradient = profiled(model, relative)
        for k in np.flatnonzero((relative < ZERO) & ~zero):
            without = relative.copy()
            without[k] = 0.0
            at_zero, _ = profiled(model, without)
            if at_zero <= deviance + 1e-9 * (1.0 + abs(deviance)):
                relative, zero[k] = without, True
        largest = float(np.abs(gradient[~zero]).max(initial=0.0))
        converged = largest < 1e-3
        risen = _rise_from_zero(model, relative, zero)
        if risen is None:
            break
        relative = risen
        zero[:] = False
    state = state_at(model, relative)
    df = model.residual_df
    sigma = float(np.sqrt(max(state.rss, 0.0) / df))
    effects = state.effects.copy()
    effects[0] += y.mean()
    deviance = state.log_dets() + df * (1.0 + float(np.log(2.0 * np.pi * max(sigma**2, 1e-300))))
    scale = blocks.spread(relative)
    u = scale * blocks.scatter(state.py)  # R Z'V^-1 (y - X beta)
    _, diagonal = state.factor.inverse_entries()
    at_zero_list = [int(k) for k in np.flatnonzero(zero)]
    return Reml(
        model,
        relative,
        sigma,
        effects,
        deviance,
        u,
        blocks.gather(scale * u),
        diagonal,
        converged,
        iterations,
        evaluations,
        largest,
        at_zero_list,
    )


def _search(model: Model, start: Vector, zero: NDArray[np.bool_]) -> tuple[Vector, int, int]:
    """(relative sds, iterations, evaluations) of a BFGS search over those not at 0; the deviance is even in each."""

    def objective(free: Vector) -> tuple[float, Vector]:
        relative = np.zeros(len(start))
        relative[~zero] = free
        deviance, gradient = profiled(model, relative)
        return deviance, gradient[~zero]

    if zero.all():
        return np.zeros(len(start)), 0, 0
    found = optimize.minimize(objective, start[~zero], jac=True, method="BFGS", options={"gtol": GRADIENT_TOLERANCE})
    relative = np.zeros(len(start))
    relative[~zero] = np.abs(found.x)
    return relative, int(found.nit), int(found.nfev)


def _rise_from_zero(model: Model, relative: Vector, zero: NDArray[np.bool_]) -> Vector | None:
    """Better relative standard deviations off 0, if 0 is not a minimum in one of them (the gradient at 0 is always 0)."""
    deviance, _ = profiled(model, relative)
    for k in np.flatnonzero(zero):
        moved = relative.copy()
        moved[k] = 0.05
        if profiled(model, moved)[0] < deviance - 1e-6:
            return moved
    return None


def deviance_hessian(fit: Reml, free: list[int]) -> NDArray[np.float64]:
    """Hessian of the unprofiled REML deviance in (relative sds `free`, residual sd): differences of its exact gradient.

    deviance = log dets + (n - p) log(2 pi s^2) + y'Py / s^2.
    """
    model, df = fit.model, fit.model.residual_df
    values = np.append(fit.relative[free], fit.sigma)

    def gradient(x: Vector) -> Vector:
        relative = fit.relative.copy()
        relative[free] = x[:-1]
        state = state_at(model, relative)
        trace, squares = traces(model, state)
        slopes = 2.0 * (trace[free] - squares[free] / x[-1] ** 2) / x[:-1]
        return np.append(slopes, 2.0 * df / x[-1] - 2.0 * state.rss / x[-1] ** 3)

    columns = []
    for j, value in enumerate(values):
        shift = np.zeros(len(values))
        shift[j] = 1e-4 * max(value, 0.01)
        columns.append((gradient(values + shift) - gradient(values - shift)) / (2.0 * shift[j]))
    matrix = np.column_stack(columns)
    return 0.5 * (matrix + matrix.T)
