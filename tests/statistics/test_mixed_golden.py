"""The mixed models against R: ordinal::clmm, lme4 and lmerTest, emmeans (oracle/oracle_mixed.R made the numbers)."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from app.statistics.mixed_result import OrdinalResult
from app.statistics.ordinal import fit_ordinal
from app.statistics.ordinal_checks import check_proportional_odds
from tests.statistics.mixed_oracle import (
    COLUMNS,
    as_list,
    golden,
    linear_differences,
    linear_of,
    ordinal_differences,
    ordinal_of,
)

RESULTS = golden()
CASES = RESULTS["cases"]
LINEAR = [name for name, case in CASES.items() if "linear" in case]


@pytest.mark.parametrize("name", CASES)
def test_the_ordinal_model_agrees_with_clmm_and_emmeans(name: str) -> None:
    differences = ordinal_differences(ordinal_of(CASES[name]), CASES[name]["ordinal"])
    for quantity, difference in differences.items():
        assert difference < (1e-4 if quantity.startswith("p of") else 1e-3), (quantity, difference)


@pytest.mark.parametrize("name", LINEAR)
def test_the_linear_model_agrees_with_lmer_and_lmertest(name: str) -> None:
    for quantity, difference in linear_differences(linear_of(CASES[name]), CASES[name]["linear"]).items():
        assert difference < 1e-4, (quantity, difference)


def test_an_item_variance_of_zero_is_reported_as_on_the_boundary() -> None:
    result = ordinal_of(CASES["boundary_5"])
    assert result.sd["item"] == 0.0
    assert "the standard deviation of item is estimated as 0 (on the boundary)" in result.notes
    assert all(row["mode"] == 0.0 for row in result.random_effects["item"])


def test_a_scale_point_that_nobody_used_has_no_threshold_and_is_noted() -> None:
    result = ordinal_of(CASES["unused_middle"])
    assert [row["cut"] for row in result.thresholds] == ["1|2", "2|4", "4|5"]
    assert "nobody used scale point 3; it has no threshold" in result.notes


def _separated() -> OrdinalResult:
    return fit_ordinal(pd.DataFrame(RESULTS["separated"]["data"]), **COLUMNS)


def test_a_condition_rated_at_the_top_throughout_has_no_estimate_and_leaves_the_others_right() -> None:
    result, theirs = _separated(), RESULTS["separated"]["ordinal"]
    by_name = {row["condition"]: row for row in result.coefficients}
    assert by_name["C"]["estimate"] is None and by_name["C"]["p"] is None
    assert any("no finite estimate for C" in note for note in result.notes)
    for term, estimate, se in zip(theirs["terms"], theirs["estimates"], theirs["ses"], strict=True):
        ours = by_name[term.removeprefix("condition")]
        assert abs(ours["estimate"] - estimate) < 1e-3 and abs(ours["se"] - se) < 1e-3
    assert result.log_likelihood is not None and result.log_likelihood_null is not None
    assert abs(result.log_likelihood - theirs["log_likelihood"]) < 1e-3
    assert abs(result.log_likelihood_null - RESULTS["separated"]["log_likelihood_null"]) < 1e-3


def test_contrasts_with_a_separated_condition_are_empty_and_no_part_of_holms_family() -> None:
    contrasts = {(row["a"], row["b"]): row for row in _separated().contrasts}
    assert contrasts["A", "C"]["estimate"] is None and contrasts["A", "C"]["p_holm"] is None
    smallest = min(contrasts["A", "B"]["p"], contrasts["A", "D"]["p"], contrasts["B", "D"]["p"])
    assert math.isclose(
        min(row["p_holm"] for row in contrasts.values() if row["p_holm"] is not None), min(1.0, 3 * smallest)
    )


def test_ratings_without_any_grouping_give_the_model_without_random_effects() -> None:
    theirs = RESULTS["independent"]
    result = fit_ordinal(pd.DataFrame(theirs["data"]), **COLUMNS)
    assert result.sd == {}
    assert "no random effect can be estimated: ratings are treated as independent" in result.notes
    assert result.log_likelihood == pytest.approx(theirs["log_likelihood"], abs=1e-6)
    assert result.log_likelihood_null == pytest.approx(theirs["log_likelihood_null"], abs=1e-6)
    assert [row["estimate"] for row in result.coefficients] == pytest.approx(as_list(theirs["estimates"]), abs=1e-5)
    assert [row["se"] for row in result.coefficients] == pytest.approx(as_list(theirs["ses"]), abs=1e-5)


def test_the_proportional_odds_test_agrees_with_clms_nominal_effects() -> None:
    theirs = RESULTS["independent"]
    check = check_proportional_odds(pd.DataFrame(theirs["data"]), **COLUMNS)
    assert check.merged == [] and check.df == 9
    assert check.lr == pytest.approx(theirs["nominal_lr"], abs=1e-4)
