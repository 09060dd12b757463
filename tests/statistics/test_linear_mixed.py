"""What must hold of the linear mixed model beside its agreement with R (test_mixed_golden)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from app.statistics.linear_mixed import fit_linear
from app.statistics.linear_reml import Model, fit_reml, profiled
from app.statistics.mixed_blocks import CrossedBlocks
from app.statistics.mixed_result import LinearResult
from tests.statistics.mixed_data import ratings

COLUMNS = {"response": "y", "condition": "condition", "participant": "participant", "item": "item"}
FEW = settings(max_examples=8, deadline=None)
SEEDS = st.integers(0, 10_000)


def _fit(frame: pd.DataFrame, **options: Any) -> LinearResult:
    return fit_linear(frame, **COLUMNS, **options)


def _model(seed: int) -> Model:
    frame = ratings(seed)
    codes = [frame[name].to_numpy().astype(np.intp) for name in ("participant", "item")]
    fixed = np.column_stack([np.ones(len(frame)), frame["condition"] == "B", frame["condition"] == "C"])
    return Model(frame["y"].to_numpy(dtype=float), fixed, CrossedBlocks(codes, [int(c.max()) + 1 for c in codes]))


@FEW
@given(seed=SEEDS)
def test_the_deviance_equals_that_of_the_dense_covariance_matrix(seed: int) -> None:
    model = _model(seed)
    relative = np.random.default_rng(seed).uniform(0.1, 1.5, 2)
    n, x, y = len(model.y), model.fixed, model.y
    v = np.eye(n)
    for columns, size, r in zip(model.blocks.columns, model.blocks.sizes, relative, strict=True):
        z = (columns[:, None] == np.unique(columns)).astype(float)
        assert z.shape[1] == size
        v += r**2 * z @ z.T
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    residual = y - x @ np.linalg.solve(information, x.T @ inverse @ y)
    variance = residual @ inverse @ residual / (n - x.shape[1])
    expected = (
        np.linalg.slogdet(v)[1]
        + np.linalg.slogdet(information)[1]
        + (n - x.shape[1]) * (1 + np.log(2 * np.pi * variance))
    )
    assert profiled(model, relative)[0] == pytest.approx(expected, abs=1e-7)


@FEW
@given(seed=SEEDS)
def test_the_gradient_of_the_deviance_equals_central_differences(seed: int) -> None:
    model = _model(seed)
    relative = np.random.default_rng(seed).uniform(0.1, 1.5, 2)
    step = 1e-5
    differences = [
        (profiled(model, relative + step * unit)[0] - profiled(model, relative - step * unit)[0]) / (2 * step)
        for unit in np.eye(2)
    ]
    np.testing.assert_allclose(profiled(model, relative)[1], differences, atol=1e-5)


@FEW
@given(seed=SEEDS)
def test_no_nearby_standard_deviation_has_a_lower_deviance(seed: int) -> None:
    model = _model(seed)
    fit = fit_reml(model.y, model.fixed, model.blocks)
    for k in range(2):
        for step in (-0.02, 0.02):
            moved = fit.relative.copy()
            moved[k] = abs(moved[k] + step)
            assert profiled(model, moved)[0] >= fit.deviance - 1e-7


@FEW
@given(seed=SEEDS, shift=st.floats(-1e4, 1e4), factor=st.floats(0.01, 100))
def test_another_unit_of_the_response_changes_the_numbers_accordingly(seed: int, shift: float, factor: float) -> None:
    frame = ratings(seed)
    plain, moved = _fit(frame), _fit(frame.assign(y=shift + factor * frame["y"]))
    assert moved.residual_sd == pytest.approx(factor * (plain.residual_sd or 0), rel=1e-5)
    for row, other in zip(plain.contrasts, moved.contrasts, strict=True):
        assert other["estimate"] == pytest.approx(factor * row["estimate"], rel=1e-5, abs=1e-6 * factor)
        assert (other["df"], other["p_tukey"]) == pytest.approx((row["df"], row["p_tukey"]), rel=1e-3, abs=1e-5)


@FEW
@given(seed=SEEDS)
def test_names_and_the_order_of_rows_do_not_matter(seed: int) -> None:
    frame = ratings(seed)
    names = {"A": "z", "B": "x", "C": "y"}
    plain = {frozenset((names[r["a"]], names[r["b"]])): r for r in _fit(frame).contrasts}
    other = _fit(frame.assign(condition=frame["condition"].map(names)).sample(frac=1.0, random_state=seed))
    for row in other.contrasts:
        same = plain[frozenset((row["a"], row["b"]))]
        sign = 1.0 if names[same["a"]] == row["a"] else -1.0
        assert row["estimate"] == pytest.approx(sign * same["estimate"], abs=1e-6)
        assert (row["se"], row["df"], row["p_tukey"]) == pytest.approx(
            (same["se"], same["df"], same["p_tukey"]), rel=1e-4, abs=1e-6
        )


def test_complete_balanced_data_give_the_degrees_of_freedom_of_the_anova() -> None:
    rng = np.random.default_rng(0)
    people, conditions = np.repeat(np.arange(12), 3), np.tile(list("ABC"), 12)
    y = rng.normal(0, 2, 12)[people] + np.tile([0.0, 0.5, 1.0], 12) + rng.normal(size=36)
    result = _fit(pd.DataFrame({"participant": people, "item": "one", "condition": conditions, "y": y}))
    assert result.test["df2"] == pytest.approx(22.0, rel=1e-5)
    assert [row["df"] for row in result.contrasts] == pytest.approx([22.0] * 3, rel=1e-5)
    table = y.reshape(12, 3)
    residual = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    f = 12 * ((table.mean(axis=0) - table.mean()) ** 2).sum() / 2 / ((residual**2).sum() / 22)
    assert result.test["F"] == pytest.approx(f, rel=1e-6)
    assert result.test["p"] == pytest.approx(stats.f.sf(f, 2, 22), rel=1e-5)


def test_fitted_values_and_residuals_add_up_to_the_response() -> None:
    frame = ratings()
    result = _fit(frame)
    np.testing.assert_allclose(np.add(result.fitted, result.residuals), frame["y"], atol=1e-9)
    assert abs(np.mean(result.residuals)) < 1e-9
    assert 0 < (result.r2_marginal or 0) < (result.r2_conditional or 0) < 1
    assert sum(result.icc.values()) < 1


def test_variances_of_zero_are_reported_as_on_the_boundary() -> None:
    rng = np.random.default_rng(3)
    frame = ratings().assign(y=rng.permutation(np.resize([1.0, 2.0, 3.0], 180)))
    frame["y"] -= frame.groupby("participant")["y"].transform("mean")
    result = _fit(frame)
    assert result.sd["participant"] == 0.0
    assert "the standard deviation of participant is estimated as 0 (on the boundary)" in result.notes


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"y": 2.5}, "every value is 2.5"),
        ({"condition": "B"}, "there is only one condition with ratings (B)"),
        ({"y": "good"}, "the ratings are not numbers"),
    ],
)
def test_data_without_a_comparison_say_why(change: dict[str, Any], reason: str) -> None:
    result = _fit(ratings().assign(**change))
    assert (result.estimable, result.reason) == (False, reason)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_small_table_gives_a_traceback_or_a_number_that_is_not_finite(data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, 3), st.integers(0, 3), st.sampled_from("ABC"), st.one_of(st.none(), st.integers(1, 5))
            ),
            min_size=1,
            max_size=25,
        )
    )
    result = _fit(pd.DataFrame(rows, columns=["participant", "item", "condition", "y"]))
    json.dumps(result.to_dict(), allow_nan=False)
    assert result.estimable or result.reason
