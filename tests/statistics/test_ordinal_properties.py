"""What must hold of the ordinal model whatever the data: invariances, and answers instead of tracebacks or NaN."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InputError
from app.statistics.contrasts import holm, tukey_p
from app.statistics.mixed_result import OrdinalResult
from app.statistics.ordinal import fit_ordinal
from app.statistics.ordinal_checks import check_proportional_odds, fit_binary, merge_rare, upper_part
from tests.statistics.mixed_data import ratings

COLUMNS = {"response": "y", "condition": "condition", "participant": "participant", "item": "item"}
FEW = settings(max_examples=8, deadline=None)
SEEDS = st.integers(0, 10_000)


def _fit(frame: pd.DataFrame, **options: Any) -> OrdinalResult:
    return fit_ordinal(frame, **COLUMNS, **options)


def _pairs(result: OrdinalResult) -> dict[tuple[str, str], dict[str, Any]]:
    """Contrasts both ways round, so that results can be compared whatever the order of the conditions."""
    out = {}
    for row in result.contrasts:
        out[row["a"], row["b"]] = row
        out[row["b"], row["a"]] = {**row, "estimate": -row["estimate"]}
    return out


def _assert_same(a: OrdinalResult, b: OrdinalResult, sign: float = 1.0, names: dict[str, str] | None = None) -> None:
    names = names or {label: label for label in a.conditions}
    assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-6)
    assert a.lr == pytest.approx(b.lr, abs=1e-5) and a.df == b.df
    assert a.sd == pytest.approx(b.sd, abs=1e-3)
    theirs = _pairs(b)
    for row in a.contrasts:
        other = theirs[names[row["a"]], names[row["b"]]]
        assert row["estimate"] == pytest.approx(sign * other["estimate"], abs=1e-4)
        assert row["se"] == pytest.approx(other["se"], abs=1e-4)
        assert row["p_tukey"] == pytest.approx(other["p_tukey"], abs=1e-4)


@FEW
@given(seed=SEEDS)
def test_relabelling_conditions_changes_names_only(seed: int) -> None:
    frame = ratings(seed)
    names = {"A": "z", "B": "x", "C": "y"}
    _assert_same(_fit(frame), _fit(frame.assign(condition=frame["condition"].map(names))), names=names)


@FEW
@given(seed=SEEDS)
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    frame = ratings(seed)
    _assert_same(_fit(frame), _fit(frame.sample(frac=1.0, random_state=seed)))


@FEW
@given(seed=SEEDS)
def test_reversing_the_scale_turns_every_estimate_around(seed: int) -> None:
    frame = ratings(seed)
    straight, reversed_ = _fit(frame), _fit(frame.assign(y=6 - frame["y"]))
    _assert_same(straight, reversed_, sign=-1.0)
    backwards = [-row["estimate"] for row in reversed(reversed_.thresholds)]
    assert [row["estimate"] for row in straight.thresholds] == pytest.approx(backwards, abs=1e-4)


@FEW
@given(seed=SEEDS)
def test_another_reference_moves_coefficients_and_leaves_contrasts(seed: int) -> None:
    frame = ratings(seed)
    first, other = _fit(frame, reference="A"), _fit(frame, reference="C")
    _assert_same(first, other)
    against_a = {row["condition"]: row["estimate"] for row in first.coefficients}
    against_c = {row["condition"]: row["estimate"] for row in other.coefficients}
    assert against_c["A"] == pytest.approx(-against_a["C"], abs=1e-9)
    assert against_c["B"] == pytest.approx(against_a["B"] - against_a["C"], abs=1e-9)


@FEW
@given(seed=SEEDS)
def test_a_participant_who_always_rates_alike_is_carried_by_the_random_effect(seed: int) -> None:
    frame = ratings(seed)
    constant = frame[frame["participant"] == 0].assign(participant=999, y=5)
    before, after = _fit(frame), _fit(pd.concat([frame, constant]))
    assert after.levels["participant"] == before.levels["participant"] + 1
    modes = {row["level"]: row["mode"] for row in after.random_effects["participant"]}
    assert modes["999"] >= max(modes.values()) - 1.0
    for row, other in zip(before.contrasts, after.contrasts, strict=True):
        assert abs(row["estimate"] - other["estimate"]) < 0.35


@FEW
@given(seed=SEEDS)
def test_units_of_a_covariate_change_its_coefficient_only(seed: int) -> None:
    frame = ratings(seed)
    frame = frame.assign(length=np.random.default_rng(seed).normal(200, 50, len(frame)))
    plain, scaled = (
        _fit(frame, covariates=["length"]),
        _fit(frame.assign(length=frame["length"] / 1000), covariates=["length"]),
    )
    _assert_same(plain, scaled)
    assert scaled.covariates[0]["estimate"] == pytest.approx(1000 * plain.covariates[0]["estimate"], rel=1e-4, abs=1e-2)
    assert [row["estimate"] for row in plain.thresholds] == pytest.approx(
        [row["estimate"] for row in scaled.thresholds], abs=1e-3
    )


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_small_table_gives_a_traceback_or_a_number_that_is_not_finite(data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, 3), st.integers(0, 3), st.sampled_from("ABC"), st.one_of(st.none(), st.integers(1, 5))
            ),
            min_size=1,
            max_size=30,
        )
    )
    frame = pd.DataFrame(rows, columns=["participant", "item", "condition", "y"])
    result = _fit(frame, participant_condition=data.draw(st.booleans()))
    json.dumps(result.to_dict(), allow_nan=False)
    if not result.estimable:
        assert result.reason
    elif any(row["estimate"] is None for row in result.coefficients):
        assert result.notes
    check = check_proportional_odds(frame, **COLUMNS)
    json.dumps(check.to_dict(), allow_nan=False)
    assert check.estimable or check.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"y": 3}, "every rating is 3"),
        ({"y": None}, "no row is complete"),
        ({"condition": "A"}, "there is only one condition with ratings (A)"),
    ],
)
def test_data_without_a_comparison_say_why(change: dict[str, Any], reason: str) -> None:
    result = _fit(ratings().assign(**change))
    assert (result.estimable, result.reason) == (False, reason)
    assert result.to_dict()["coefficients"] == []


def test_too_few_ratings_say_how_many_parameters_there_are() -> None:
    result = _fit(ratings().head(5))
    assert not result.estimable and result.reason is not None and "are too few for a model of" in result.reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": "Z"}, "there is no condition 'Z' to refer to; the conditions are A, B, C"),
        ({"covariates": ["age"]}, "there is no column 'age'; the columns are participant, item, condition, y"),
        ({"alpha": 0.7}, "alpha is 0.7; it must lie between 0 and 0.5"),
        ({"equivalence": 0.8}, "the equivalence bound is 0.8; it is an odds ratio and must be above 1"),
    ],
)
def test_wrong_arguments_are_input_errors_that_say_what_to_do(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        _fit(ratings(), **options)
    assert str(error.value) == message and error.value.exit_code == 2


def test_missing_values_are_left_out_and_counted() -> None:
    frame = ratings().astype({"y": float})
    frame.loc[[3, 4], "y"] = np.nan
    result = _fit(frame)
    assert result.n == len(frame) - 2
    assert f"2 of {len(frame)} rows have a missing value and were left out" in result.notes
    _assert_same(result, _fit(frame.dropna()))


def test_ratings_read_as_decimals_have_the_same_cuts_as_whole_ones() -> None:
    frame = ratings()
    assert [row["cut"] for row in _fit(frame.astype({"y": float})).thresholds] == ["1|2", "2|3", "3|4", "4|5"]


def test_one_item_and_one_rating_per_explanation_are_left_out_with_a_note() -> None:
    frame = ratings().assign(item="only", explanation=range(180))
    result = _fit(frame, explanation="explanation")
    assert list(result.sd) == ["participant"]
    assert "no random effect for item: there is only one" in result.notes
    assert any(note.startswith("no random effect for explanation: each has one rating") for note in result.notes)


def test_a_constant_covariate_and_a_copy_of_the_condition_are_left_out_with_a_note() -> None:
    frame = ratings()
    frame = frame.assign(site="here", copy=(frame["condition"] == "B").astype(float))
    result = _fit(frame, covariates=["site", "copy"])
    assert result.covariates == []
    assert "copy was left out: it is constant or determined by the other columns" in result.notes
    _assert_same(result, _fit(frame))


def test_one_condition_all_low_and_one_all_high_leave_no_finite_contrast_but_a_finite_test() -> None:
    frame = ratings(effects={"A": 0.0, "B": 0.0})
    result = _fit(frame.assign(y=np.where(frame["condition"] == "A", 1, 5)))
    assert result.contrasts[0]["estimate"] is None and result.equivalence[0]["p_tost"] is None
    assert result.p is not None and result.p < 1e-10
    assert any("separated" in note for note in result.notes)


def test_probabilities_sum_to_one_and_the_population_is_less_extreme_than_the_typical_case() -> None:
    result = _fit(ratings(sd_participant=2.0))
    for label in result.conditions:
        rows = [row for row in result.probabilities if row["condition"] == label]
        assert sum(row["population"] for row in rows) == pytest.approx(1.0)
        assert sum(row["typical"] for row in rows) == pytest.approx(1.0)
    ends = [row for row in result.probabilities if row["category"] in (1, 5)]
    assert sum(row["population"] for row in ends) > sum(row["typical"] for row in ends)


def test_the_planted_effect_is_found_and_b_minus_a_is_positive_where_b_is_rated_higher() -> None:
    result = _fit(ratings(seed=3, participants=80, items=40, trials=12))
    contrast = _pairs(result)["A", "C"]
    assert contrast["ci"][0] < 1.0 < contrast["ci"][1] and contrast["ci"][0] > 0
    assert contrast["odds_ratio"] == pytest.approx(math.exp(contrast["estimate"]))
    assert result.p is not None and result.p < 1e-4


def test_equivalence_is_shown_exactly_when_the_90_percent_interval_lies_within_the_bound() -> None:
    result = _fit(ratings(seed=5, participants=60, effects={"A": 0.0, "B": 0.05, "C": 0.9}), equivalence=2.0)
    for row in result.equivalence:
        inside = -math.log(2) < row["ci90"][0] and row["ci90"][1] < math.log(2)
        assert (row["p_tost"] < 0.05) == inside
    assert {row["p_tost"] < 0.05 for row in result.equivalence} == {True, False}


def test_the_same_data_give_the_same_bytes() -> None:
    frame = ratings(seed=9)
    assert json.dumps(_fit(frame).to_dict()) == json.dumps(_fit(frame.copy()).to_dict())


def test_a_binary_model_of_the_upper_part_equals_the_ordinal_model_of_two_categories() -> None:
    frame = ratings(seed=2)
    binary = fit_binary(frame, at_least=4, **COLUMNS)
    assert binary.notes[0] == "1 means a rating of at least 4, 0 a lower one"
    _assert_same(binary, _fit(frame.assign(y=(frame["y"] >= 4).astype(int))))


@pytest.mark.parametrize(("values", "expected"), [([1, 5], 4), ([1, 7], 5), ([0, 10], 6), ([1, 2], 2), ([1, 4], 3)])
def test_the_upper_part_of_a_scale_begins_above_its_middle(values: list[int], expected: int) -> None:
    assert upper_part(pd.Series(values)) == expected


def test_non_proportional_odds_are_doubted_and_proportional_ones_are_not() -> None:
    proportional = ratings(seed=1, participants=60)
    assert not check_proportional_odds(proportional, **COLUMNS).doubtful
    # In C the middle of the scale is avoided: its spread, not its place, differs.
    polarised = proportional.assign(
        y=proportional["y"].mask((proportional["condition"] == "C") & (proportional["y"] == 3), 1)
    )
    result = check_proportional_odds(polarised, **COLUMNS)
    assert result.doubtful and result.p is not None and result.p < 0.01
    assert {row["condition"] for row in result.cuts} == {"B", "C"}


def test_scale_points_are_merged_until_every_condition_uses_each_part() -> None:
    rating = np.array([0, 1, 2, 3, 0, 2, 3, 3])
    condition = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert merge_rare(rating, condition, 4, 2).tolist() == [0, 1, 1, 2]


def test_holm_steps_down_and_leaves_missing_tests_out() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06], abs=1e-12)


def test_tukey_with_two_means_is_the_plain_test() -> None:
    assert tukey_p(1.96, 2) == pytest.approx(math.erfc(1.96 / math.sqrt(2)), abs=1e-7)
