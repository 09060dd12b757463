"""The Laplace likelihood against brute force, and its gradient against finite differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from app.statistics.mixed_blocks import CrossedBlocks
from app.statistics.ordinal_fit import maximise, natural_information
from app.statistics.ordinal_likelihood import OrdinalData, Point, find_mode, gradient_at, joint_information, terms_at
from tests.statistics.mixed_data import ratings


def _problem(seed: int, sets: int = 1, cells: bool = False) -> tuple[OrdinalData, Point]:
    rng = np.random.default_rng(seed)
    n, categories = 60, 4
    people = np.resize(np.arange(6), n)
    items = rng.permutation(np.resize(np.arange(5), n))
    condition = rng.permutation(np.resize(np.arange(3), n))
    codes = [people, items] + ([people * 3 + condition] if cells else [])
    codes = [np.unique(c, return_inverse=True)[1].astype(np.intp) for c in codes]
    blocks = CrossedBlocks(codes, [int(c.max()) + 1 for c in codes])
    fixed = (condition[:, None] == np.arange(1, 3)).astype(float)
    data = OrdinalData(
        rng.permutation(np.resize(np.arange(categories), n)), categories, fixed, blocks, rng.integers(0, sets, n), sets
    )
    thresholds = np.sort(rng.normal(0, 1.5, (sets, categories - 1)), axis=1) + 0.2 * np.arange(categories - 1)
    return data, Point(thresholds, rng.normal(size=2), rng.normal(0, 1, len(codes)))


def _flat(point: Point) -> NDArray[np.float64]:
    return np.concatenate([point.thresholds.ravel(), point.effects, point.sds])


def _point(like: Point, x: NDArray[np.float64]) -> Point:
    count = like.thresholds.size
    return Point(
        x[:count].reshape(like.thresholds.shape), x[count : count + len(like.effects)], x[count + len(like.effects) :]
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), sets=st.sampled_from([1, 2]), cells=st.booleans())
def test_the_gradient_equals_central_differences(seed: int, sets: int, cells: bool) -> None:
    data, point = _problem(seed, sets, cells)
    start = np.zeros(data.blocks.size)
    found = gradient_at(data, point, find_mode(data, point, start))
    x, step = _flat(point), 1e-5
    differences = [
        (
            find_mode(data, _point(point, x + step * unit), start).log_likelihood
            - find_mode(data, _point(point, x - step * unit), start).log_likelihood
        )
        / (2 * step)
        for unit in np.eye(len(x))
    ]
    np.testing.assert_allclose(_flat(Point(found.thresholds, found.effects, found.sds)), differences, atol=2e-6)


def test_the_likelihood_is_even_in_the_standard_deviations() -> None:
    data, point = _problem(1)
    start = np.zeros(data.blocks.size)
    mirrored = Point(point.thresholds, point.effects, -point.sds)
    assert find_mode(data, point, start).log_likelihood == pytest.approx(
        find_mode(data, mirrored, start).log_likelihood, abs=1e-9
    )


def _log_joint(data: OrdinalData, point: Point, u: NDArray[np.float64]) -> float:
    """log P(ratings | u) - u'u/2 straight from the definition."""
    eta = data.fixed @ point.effects + data.blocks.gather(data.blocks.spread(point.sds) * u)
    cumulative = np.hstack(
        [
            np.zeros((len(eta), 1)),
            stats.logistic.cdf(point.thresholds[data.threshold_set] - eta[:, None]),
            np.ones((len(eta), 1)),
        ]
    )
    rows = np.arange(len(eta))
    p = cumulative[rows, data.rating + 1] - cumulative[rows, data.rating]
    return float(np.log(p).sum() - 0.5 * u @ u)


def test_the_laplace_likelihood_equals_that_of_a_general_optimiser_and_numerical_hessian() -> None:
    data, point = _problem(3)
    size = data.blocks.size
    found = optimize.minimize(
        lambda u: -_log_joint(data, point, u), np.zeros(size), method="BFGS", options={"gtol": 1e-7}
    )
    step, units = 1e-3, np.eye(size)
    hessian = np.empty((size, size))
    for i, j in itertools.product(range(size), repeat=2):
        corners = [
            _log_joint(data, point, found.x + step * (s * units[i] + t * units[j])) for s in (1, -1) for t in (1, -1)
        ]
        hessian[i, j] = -(corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2)
    expected = -found.fun - 0.5 * np.linalg.slogdet(hessian)[1]
    assert find_mode(data, point, np.zeros(size)).log_likelihood == pytest.approx(expected, abs=1e-4)


def test_one_participant_many_ratings_the_laplace_likelihood_is_close_to_the_integral() -> None:
    rng = np.random.default_rng(4)
    n = 200
    blocks = CrossedBlocks([np.zeros(n, dtype=np.intp)], [1])
    data = OrdinalData(rng.integers(0, 3, n), 3, np.zeros((n, 0)), blocks, np.zeros(n, dtype=np.intp))
    point = Point(np.array([[-0.7, 0.8]]), np.zeros(0), np.array([0.9]))
    grid = np.linspace(-3, 3, 20_001)
    values = np.array([_log_joint(data, point, np.array([u])) for u in grid[::20]])
    integral = np.log(np.trapezoid(np.exp(values - values.max()), grid[::20])) + values.max() - 0.5 * np.log(2 * np.pi)
    assert find_mode(data, point, np.zeros(1)).log_likelihood == pytest.approx(integral, abs=0.01)


def test_one_sided_differences_of_the_gradient_give_the_same_standard_errors() -> None:
    frame = ratings(seed=1, participants=60)
    codes = [frame[name].to_numpy().astype(np.intp) for name in ("participant", "item")]
    fixed = np.column_stack([frame["condition"] == "B", frame["condition"] == "C"]).astype(float)
    rating = frame["y"].to_numpy().astype(np.intp) - 1
    data = OrdinalData(rating, 5, fixed, CrossedBlocks(codes, [60, 12]), np.zeros(len(frame), dtype=np.intp))
    fit = maximise(data)
    central, one_sided = (
        np.sqrt(np.diagonal(np.linalg.inv(natural_information(data, fit, one_sided=choice))))
        for choice in (False, True)
    )
    np.testing.assert_allclose(one_sided, central, rtol=1e-3)


def test_probabilities_far_in_the_tails_keep_their_digits() -> None:
    above, below = np.array([800.0, -799.0, np.inf]), np.array([799.0, -800.0, 700.0])
    expected = np.log1p(-np.exp(-1.0)) - np.array([799.0, 799.0, 700.0])
    expected[2] = -700.0
    np.testing.assert_allclose(terms_at(above, below, np.zeros(3)).log_p, expected, rtol=1e-12)


def test_information_given_the_standard_deviations_equals_that_of_the_profile_likelihood() -> None:
    data, point = _problem(5)
    mode = find_mode(data, point, np.zeros(data.blocks.size))
    information, kept = joint_information(data, mode)

    def penalised(x: NDArray[np.float64]) -> float:
        moved = Point(x[:3].reshape(1, 3), x[3:], point.sds)
        at = find_mode(data, moved, mode.u)
        return at.log_likelihood + 0.5 * at.factor.logdet

    x, step = np.concatenate([point.thresholds.ravel(), point.effects]), 1e-3
    units = np.eye(len(x)) * step
    for i, j in itertools.combinations_with_replacement(range(len(x)), 2):
        corners = [penalised(x + s * units[i] + t * units[j]) for s in (1, -1) for t in (1, -1)]
        second = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2)
        assert information[i, j] == pytest.approx(-second, abs=2e-3)
    assert np.all((kept > 0) & (kept < 1))
