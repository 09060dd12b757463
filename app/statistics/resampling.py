"""Resampling shared by the analyses: seeded generators, bootstrap of whole participants, Holm's correction."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def generator(seed: int, name: str) -> np.random.Generator:
    """A random generator of its own for each analysis, so that adding one leaves the others' numbers as they are."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def participant_weights(participants: int, resamples: int, rng: np.random.Generator) -> Vector:
    """(resamples, participants): how often each participant is in each bootstrap sample of whole participants."""
    counts = rng.multinomial(participants, np.full(participants, 1.0 / participants), size=resamples)
    return counts.astype(np.float64)


def sums_by(codes: NDArray[np.intp], groups: int, cells: NDArray[np.intp], width: int, values: Vector) -> Vector:
    """(groups, width): the sum of `values` over rows of each participant `codes` and each cell `cells`."""
    sums: Vector = np.bincount(codes * width + cells, weights=values, minlength=groups * width).astype(np.float64)
    return sums.reshape(groups, width)


def percentile_interval(samples: Vector, alpha: float) -> list[float] | None:
    """[low, high], the percentile interval of level 1 - alpha; None if fewer than 90 % of the samples have a value."""
    found = samples[np.isfinite(samples)]
    if len(found) < 0.9 * len(samples):
        return None
    low, high = np.quantile(found, [alpha / 2, 1 - alpha / 2])
    return [float(low), float(high)]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p values in the given order; None stays None and doesn't count."""
    known = [(p, at) for at, p in enumerate(p_values) if p is not None]
    out: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, at) in enumerate(sorted(known)):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        out[at] = highest
    return out
