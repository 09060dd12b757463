"""Whether the constructs measure one thing: Cronbach's alpha, omega, item-rest correlations, over trials."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import optimize, stats

from app.statistics import pingouin_adapter
from app.statistics.data import RatingsData
from app.statistics.mixed_result import Row, plain
from app.statistics.resampling import Vector

LEAST_UNIQUENESS = 0.005
"""Lower bound of an item's unique variance (a Heywood case ends here), as psych::fa has it."""


@dataclass(frozen=True)
class ReliabilityResult:
    """`items`: [construct, alpha_if_dropped, item_rest, loading]. `estimable` False: `reason` says why, the numbers are None."""

    n: int
    estimable: bool = True
    reason: str | None = None
    notes: list[str] = field(default_factory=list)
    alpha: float | None = None
    alpha_ci: list[float] | None = None
    omega_total: float | None = None
    items: list[Row] = field(default_factory=list)

    def to_dict(self) -> Row:
        """The entry of results.json."""
        out: Row = plain(vars(self))
        return out


def reliability(data: RatingsData, *, alpha: float = 0.05) -> ReliabilityResult:
    """Reliability of the mean of the constructs, over trials with all constructs rated.

    The interval of alpha is Feldt's (Feldt, Woodruff and Salih 1987): 1 - (1 - a) F(n - 1, (n - 1)(k - 1)). Omega total =
    1 - sum of unique variances / sum of the correlation matrix (McDonald), from one factor by minimum residuals.
    """
    matrix = data.trials[data.constructs].dropna().to_numpy(float)
    n, k = matrix.shape
    if k < 2:
        return ReliabilityResult(n, False, "one construct: nothing to agree with")
    if n < 3:
        return ReliabilityResult(n, False, "fewer than three trials have every construct")
    constant = [name for name, spread in zip(data.constructs, np.ptp(matrix, axis=0), strict=True) if spread == 0]
    if constant:
        return ReliabilityResult(n, False, f"every rating of {', '.join(constant)} is the same")
    cronbach = pingouin_adapter.cronbach_alpha(matrix)
    df1, df2 = n - 1, (n - 1) * (k - 1)
    interval = [1 - (1 - cronbach) * float(stats.f.ppf(level, df1, df2)) for level in (1 - alpha / 2, alpha / 2)]
    notes = ["trials are taken as independent; those of one participant are not, so that the interval is too narrow"]
    loadings = one_factor(np.corrcoef(matrix.T)) if k > 2 else None
    if loadings is None:
        notes.append("omega needs three constructs")
    elif (loadings < 0).any():
        notes.append("a loading is negative: is a construct scored the other way round?")
    items: list[Row] = []
    for at, name in enumerate(data.constructs):
        rest = np.delete(matrix, at, axis=1)
        total = rest.sum(axis=1)
        items.append(
            {
                "construct": name,
                "alpha_if_dropped": pingouin_adapter.cronbach_alpha(rest) if k > 2 and np.ptp(total) else None,
                "item_rest": np.corrcoef(matrix[:, at], total)[0, 1] if np.ptp(total) else None,
                "loading": None if loadings is None else loadings[at],
            }
        )
    omega = None
    if loadings is not None:
        omega = float(1 - (1 - loadings**2).sum() / np.corrcoef(matrix.T).sum())
    return ReliabilityResult(n, True, None, notes, cronbach, interval, omega, items)


def one_factor(correlations: Vector) -> Vector:
    """(k,) loadings of one factor that minimise the squared residual correlations off the diagonal; their sum is positive."""
    k = len(correlations)
    above = np.triu_indices(k, 1)
    bound = float(np.sqrt(1 - LEAST_UNIQUENESS))
    values, vectors = np.linalg.eigh(correlations)
    start = np.clip(vectors[:, -1] * np.sqrt(values[-1]), -bound * 0.99, bound * 0.99)

    def residuals(loadings: Vector) -> Vector:
        return (np.outer(loadings, loadings) - correlations)[above]

    def jacobian(loadings: Vector) -> Vector:
        rows = np.zeros((len(above[0]), k))
        rows[np.arange(len(rows)), above[0]] = loadings[above[1]]
        rows[np.arange(len(rows)), above[1]] = loadings[above[0]]
        return rows

    found = optimize.least_squares(residuals, start, jacobian, (-bound, bound), ftol=1e-15, xtol=1e-15, gtol=1e-15)
    loadings: Vector = found.x * (1.0 if found.x.sum() >= 0 else -1.0)
    return loadings
