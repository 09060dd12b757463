"""The sentences: they say what the results say, with the right words for no evidence, equivalence and what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from app.reports import wording
from app.reports.conclusion import conclusion
from app.reports.contrasts import in_order, turned
from app.reports.disagreements import disagreements, pair_disagreements
from app.reports.formats import bounded, interval, number, p_value, precise, ratio
from app.reports.paragraphs import methods_paragraph, results_paragraph
from tests.reports.made_up import results

Row = dict[str, Any]
THREE = ["few_shot", "counterfactual", "critique"]


def made(**options: Any) -> Row:
    """Three conditions on two constructs of five points."""
    return results(THREE, [1, 2, 3, 4, 5], ["Plausibility", "Satisfaction"], **options)


@pytest.mark.parametrize(
    ("value", "printed"),
    [(0.0004, "< .001"), (0.0123, ".012"), (0.05, ".050"), (0.9996, "> .999"), (None, "–"), (float("nan"), "–")],
)
def test_p_values_are_printed_after_apa(value: float | None, printed: str) -> None:
    assert p_value(value) == printed


def test_numbers_have_real_minus_signs_and_no_negative_zero() -> None:
    assert [number(-1.234), number(-0.001), number(1234.5, 1), number(None)] == ["−1.23", "0.00", "1,234.5", "–"]
    assert [bounded(0.844), bounded(-0.2), bounded(1.0)] == [".84", "−.20", "1.00"]
    assert [precise(0.00168), precise(1.4), precise(409.29), precise(123456.0)] == ["0.00168", "1.40", "409", "123,456"]
    assert [ratio(1.4), ratio(0.0123), ratio(250.0)] == ["1.40", "0.0123", "250"]
    assert [interval([1, 2]), interval([None, 2]), interval(None)] == ["[1.00, 2.00]", "–", "–"]


def test_a_turned_contrast_is_the_mirror_image() -> None:
    row = {
        "a": "x",
        "b": "y",
        "estimate": -0.5,
        "odds_ratio": 0.5,
        "ci": [-1.0, 0.25],
        "odds_ratio_ci": [0.25, 0.8],
        "p": 0.04,
    }
    expected = {
        "a": "y",
        "b": "x",
        "estimate": 0.5,
        "odds_ratio": 2.0,
        "ci": [-0.25, 1.0],
        "odds_ratio_ci": [1.25, 4.0],
        "p": 0.04,
    }
    assert turned(row, ["y", "x"]) == expected
    assert turned(row, ["x", "y"]) == row
    assert [(c["a"], c["b"]) for c in in_order([row, {"a": "z", "b": "y"}], ["y", "x", "z"])] == [
        ("y", "x"),
        ("y", "z"),
    ]


def test_differences_are_said_with_direction_size_and_interval() -> None:
    text = " ".join(conclusion(made()))
    assert "rated differently on both constructs: Plausibility and Satisfaction" in text
    assert (
        "critique was rated higher than few_shot on both of them: the odds of a higher rating were 1.82 times as large"
        in text
    )
    assert "95% intervals [1.40, 2.36]" in text
    assert "few_shot was rated higher" not in text
    assert "about 40 % of the ratings of critique to be 4 or 5" in text


def test_no_evidence_is_not_called_equal() -> None:
    text = " ".join(conclusion(made(p=0.4)))
    assert "no sufficient evidence that the conditions were rated differently on any of the two constructs" in text
    assert "does not make conditions equal" in text
    assert "No pair could be shown to be equivalent" in text
    assert "rated higher" not in text


def test_equivalence_is_claimed_only_where_the_test_shows_it() -> None:
    found = made(p=0.4)
    found["ordinal"][0]["equivalence"][0]["p_tost"] = 0.01
    text = " ".join(conclusion(found))
    assert (
        "equivalent, which here means an odds ratio between 0.67 and 1.5: few_shot and counterfactual on Plausibility ("
        in text
    )
    assert (
        "Equivalent within odds ratios of 0.67 and 1.5: few_shot and counterfactual (Plausibility)."
        in results_paragraph(found)
    )


def test_a_contrast_counts_only_where_the_construct_differs() -> None:
    found = made()
    found["ordinal"][0]["p_holm"] = 0.2
    text = " ".join(conclusion(found))
    assert "rated differently on one of the two constructs: Satisfaction" in text
    assert "On Plausibility there is no sufficient evidence" in text
    assert "higher than few_shot on Satisfaction" in text
    assert "No significant difference between conditions was found on Plausibility" in results_paragraph(found)


def test_what_could_not_be_fitted_is_said() -> None:
    found = made()
    found["ordinal"][1] = {
        "construct": "Satisfaction",
        "estimable": False,
        "reason": "every rating is 5",
        "contrasts": [],
    }
    assert "On one construct the model could not be fitted" in conclusion(found)[0]
    assert "Satisfaction could not be analysed: every rating is 5." in results_paragraph(found)
    found["ordinal"] = found["ordinal"][1:]
    assert conclusion(found) == [
        "The primary model could not be fitted on any construct. Nothing is concluded about the conditions; the reasons are below."
    ]


def test_covariates_and_fragile_differences_are_told() -> None:
    found = made()
    found["data"]["covariates"] = ["length"]
    plain = made()["ordinal"]
    plain[0]["p_holm"] = 0.3
    hangs = {"construct": "Plausibility", "a": THREE[0], "b": THREE[1], "ratings": 1, "share": 0.01, "reason": None}
    found["sensitivity"] = {"without_covariates": plain, "dropped": [hangs], "binary": plain}
    text = " ".join(conclusion(found))
    assert "hold at equal length" in text
    assert "differ on one of the two constructs (Satisfaction), no longer on Plausibility" in text
    assert "remains significant on one of two constructs where ratings are only high (4 or 5) or low" in text
    assert "between counterfactual and few_shot on Plausibility hangs on one rating (1.0 % of all)" in text
    assert "with length as a covariate" in methods_paragraph(found).replace("effect, length", "effect, with length")


def test_the_methods_paragraph_leaves_out_what_was_not_done() -> None:
    one = results(["a", "b"], [0, 1], ["Trust"])
    text = methods_paragraph(one)
    assert "Ratings of Trust were analysed" in text
    assert "from 0 to 1" in text
    assert "Holm" not in text
    assert "Tukey" not in text
    assert "Kuznetsova" not in text
    two = made()
    two["data"]["flow"]["excluded"] = [{"rule": "too fast", "participants": 3, "trials": 12}]
    assert "Holm's correction over the two constructs (Holm, 1979)" in methods_paragraph(two)
    assert "Excluded before the analysis: too fast (3 participants, 12 trials)." in methods_paragraph(two)


def kruskal(p: float, p_holm: float) -> list[Row]:
    """The reference's test on both constructs."""
    return [{"construct": c, "p": p, "p_holm": p_holm} for c in ("Plausibility", "Satisfaction")]


@pytest.mark.parametrize(
    ("primary", "without", "reference", "holm", "why"),
    [
        (0.01, 0.01, 0.2, 0.4, "Participants differ in how high they rate (30 % of the variance"),
        (0.01, 0.30, 0.2, 0.4, "The difference appears only at equal length"),
        (0.30, 0.40, 0.03, 0.06, "does not adjust for the number of constructs"),
        (0.30, 0.01, 0.01, 0.02, "but not at equal length"),
        (0.30, 0.40, 0.01, 0.02, "independent of each other"),
        (0.01, 0.01, 0.01, 0.02, "Both find a difference."),
        (0.30, 0.30, 0.30, 0.30, "Neither finds a difference."),
    ],
)
def test_a_disagreement_has_the_reason_that_the_results_support(
    primary: float, without: float, reference: float, holm: float, why: str
) -> None:
    found = made(p=primary)
    found["data"]["covariates"] = ["length"]
    found["sensitivity"] = {"without_covariates": made(p=without)["ordinal"]}
    found["kruskal"] = kruskal(reference, holm)
    row = disagreements(found)[0]
    assert why in row["why"]
    assert row["agree"] == ((primary < 0.05) == (reference < 0.05))


def test_pairs_count_for_the_reference_only_after_its_overall_test() -> None:
    found = made()
    pairs = [(c["a"], c["b"]) for c in found["ordinal"][0]["contrasts"]]
    found["dunn"] = [
        {"construct": c, "a": a, "b": b, "p_bonferroni": 0.001}
        for c in ("Plausibility", "Satisfaction")
        for a, b in pairs
    ]
    found["kruskal"] = kruskal(0.01, 0.02)
    assert pair_disagreements(found) == []
    found["kruskal"] = kruskal(0.2, 0.4)
    assert {row["reference"] for row in pair_disagreements(found)} == {None}
    assert len(pair_disagreements(found)) == 6


def test_words_for_counts_and_lists() -> None:
    assert [wording.counted(n, "rating") for n in (1, 3, 23)] == ["one rating", "three ratings", "23 ratings"]
    assert [wording.listed([]), wording.listed(["a"]), wording.listed(["a", "b", "c"])] == ["none", "a", "a, b and c"]
    assert wording.upper_points(results(["a", "b"], [0, 1], ["x"])) == "1"
