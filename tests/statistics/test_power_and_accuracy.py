"""Power by simulation, and the accuracies of runs: options, refusals, and what must hold of the numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.cli import main
from app.errors import InputError
from app.statistics.accuracy import analyze_accuracy, read_accuracies
from app.statistics.accuracy_quality import against_quality
from app.statistics.power import Assumptions, StudyDesign, from_results, power, simulate
from tests.conftest import PAPER, needs_paper_data

FEW = Assumptions(conditions=2, shares=(0.2, 0.3, 0.5), sd_participant=0.5, sd_item=0.2)


def test_a_simulated_study_has_the_design_that_was_asked_for() -> None:
    world = Assumptions(conditions=3, shares=(0.1, 0.2, 0.3, 0.4), sd_explanation=0.3)
    frame = simulate(StudyDesign(participants=300, trials=9, raters=3), 1.0, world, np.random.default_rng(0))
    assert frame.groupby("participant").size().eq(9).all()
    assert frame.groupby(["participant", "condition"]).size().eq(3).all()
    assert frame.groupby("explanation")["participant"].nunique().eq(3).all()
    shares = frame["value"].value_counts(normalize=True).sort_index()
    np.testing.assert_allclose(shares, world.shares, atol=0.05)


def test_power_grows_with_the_effect_from_about_alpha_to_one_and_gives_the_detectable_effect() -> None:
    found = power([StudyDesign(12, 6)], [1.0, 2.0, 30.0], FEW, replicates=30, workers=1)
    none, some, much = found["power"]
    assert none["ci"][0] < 0.05
    assert none["power"] < some["power"] < much["power"]
    assert much["power"] > 0.9
    detectable = found["minimum_detectable"][0]
    assert 2.0 < detectable["odds_ratio"] < 30.0
    assert detectable["ci"][0] <= detectable["odds_ratio"] <= detectable["ci"][1]


def test_power_does_not_depend_on_processes_or_on_what_else_is_simulated() -> None:
    one = power([StudyDesign(8, 4)], [3.0], FEW, replicates=20, workers=1)
    two = power([StudyDesign(8, 4), StudyDesign(10, 4)], [3.0], FEW, replicates=20, workers=2)
    assert one["power"][0] == two["power"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"designs": [StudyDesign(1, 4)]}, "1 participants, 4 trials, 1 raters: too few"),
        ({"designs": [StudyDesign(4, 4, 9)]}, "9 raters per explanation are more than the 4 participants"),
        (
            {"designs": [StudyDesign(4, 4, 4)], "world": Assumptions(conditions=4)},
            "4 participants × 4 trials with 4 raters per explanation leave too few explanations per condition (1)",
        ),
        ({"odds_ratios": [0.0]}, "odds ratio 0 must be above 0"),
        ({"odds_ratios": []}, "give at least one design and one odds ratio"),
        ({"world": Assumptions(shares=(0.5, 0.6))}, "the shares of the scale points must be above 0 and add up to 1"),
        ({"world": Assumptions(sd_item=-1)}, "a standard deviation is below 0"),
        ({"world": Assumptions(conditions=1)}, "a comparison needs two conditions"),
        ({"alpha": 0.9}, "alpha is 0.9; it must lie between 0 and 0.5"),
        ({"replicates": 5}, "5 replicates are too few; at least 20 are needed"),
    ],
)
def test_power_refuses_what_cannot_be_simulated(change: dict[str, object], message: str) -> None:
    arguments = {"designs": [StudyDesign(10, 6)], "odds_ratios": [2.0], "world": FEW, "replicates": 20} | change
    with pytest.raises(InputError) as error:
        power(**arguments)  # type: ignore[arg-type]
    assert str(error.value) == message


def test_a_world_is_taken_from_results_and_an_unknown_construct_refused() -> None:
    results = {
        "data": {"reference": "A", "conditions": ["A", "B", "C"]},
        "ordinal": [{"construct": "Clear", "estimable": True, "sd": {"participant": 1.2, "item": 0.3}}],
        "descriptives": [{"construct": "Clear", "condition": "A", "counts": {"1": 4, "2": 0, "3": 5}}],
    }
    world = from_results(results)
    assert (world.conditions, world.sd_participant, world.sd_item) == (3, 1.2, 0.3)
    np.testing.assert_allclose(world.shares, np.array([4.5, 0.5, 5.5]) / 10.5)
    with pytest.raises(InputError, match="no ordinal model of Useful; there are: Clear"):
        from_results(results, "Useful")


HEADER = "seed,acc,way,params"
GOOD = [
    f"{seed},{0.5 + 0.1 * (way == 'B') + 0.01 * seed},{way},{size}"
    for seed in (1, 2, 3)
    for way in "AB"
    for size in "sl"
]
OPTIONS = "--outcome acc --method way --size params --run seed --permutations 99"
Change = Callable[[list[str]], list[str]]


def at(row: int, line: str) -> Change:
    return lambda lines: [*lines[: row - 2], line, *lines[row - 1 :]]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (at(3, "1,,A,l"), OPTIONS, "row 3, column acc: the outcome is empty"),
        (at(4, "1,good,A,l"), OPTIONS, "row 4, column acc: 'good' is not a number"),
        (at(2, "1,.5,,s"), OPTIONS, "row 2, column way: the method is empty"),
        (at(2, "1,.5,A,"), OPTIONS, "row 2, column params: the size is empty"),
        (at(2, ",.5,A,s"), OPTIONS, "row 2, column seed: the run is empty"),
        (list, OPTIONS.replace("acc", "accc"), "there is no column 'accc' (outcome); did you mean 'acc'?"),
        (list, OPTIONS.replace("params", "seed"), "the column 'seed' is given twice"),
        (list, OPTIONS + " --include Z", "there is no method 'Z'; the methods are A, B"),
        (list, OPTIONS + " --include A", "the only method is 'A'; a comparison needs two"),
    ],
)
def test_each_problem_of_a_table_of_runs_is_told(
    change: Change, options: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([HEADER, *change(GOOD)]) + "\n")
    with pytest.raises(SystemExit) as exit:
        main(["accuracy", str(path), *options.split(), "--out", str(tmp_path / "out")])
    assert exit.value.code == 2
    assert capsys.readouterr().err == f"blindrate: runs.csv: {message}\n"


def runs(lines: list[str]) -> pd.DataFrame:
    return pd.DataFrame([line.split(",") for line in lines], columns=HEADER.split(","))


def analysed(lines: list[str]) -> dict[str, object]:
    data = read_accuracies(runs(lines), outcome="acc", method=["way"], size="params", run="seed")
    results = analyze_accuracy(data, permutations=99)
    json.dumps(results, allow_nan=False)
    return results


def test_a_run_that_is_there_twice_counts_twice_and_is_told() -> None:
    data = read_accuracies(runs([*GOOD, GOOD[0]]), outcome="acc", method=["way"], size="params", run="seed")
    assert data.warnings == ["Run 1 of A, s, is there 2 times (rows 2, 14); each counts as a run."]
    assert len(data.runs) == 13


def test_an_outlier_is_a_row_and_takes_no_other_row_of_its_key_along() -> None:
    lines = [f"{seed},{value},A,s" for seed, value in enumerate((0.5, 0.51, 0.52, 0.5, 0.51, 0.9))]
    lines += [f"{seed},{0.4 + 0.01 * seed},{way},{size}" for seed in range(6) for way, size in ("Bs", "Al", "Bl")]
    results = analysed([*lines, "5,0.5,A,s"])
    assert [(row["row"], row["run"], row["value"]) for row in results["outliers"]] == [(7, "5", 0.9)]  # type: ignore[attr-defined]
    assert results["without_outliers"]["n"] == results["all_runs"]["n"] - 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([line for line in GOOD if line.endswith("s")], "there is one size only; see the comparison within it"),
        (
            [line for line in GOOD if not line.endswith("B,l")],
            "no run of B at l: the two-way analysis needs all combinations",
        ),
        ([line for line in GOOD if line[0] == "1"], "one run per method and size leaves no error to compare with"),
        (
            [line.replace(line.split(",")[1], "0.5") for line in GOOD],
            "the runs of each method and size have the same value",
        ),
    ],
)
def test_runs_that_carry_no_two_way_analysis_have_a_reason(lines: list[str], reason: str) -> None:
    results = analysed(lines)
    assert results["all_runs"]["reason"] == reason  # type: ignore[index]
    assert results["all_runs"]["anova"] == []  # type: ignore[index]


def test_accuracy_stands_beside_the_quality_of_the_same_method() -> None:
    accuracy = analysed(GOOD)
    rated = {
        "data": {"quality": "Quality", "constructs": ["Clear"]},
        "descriptives": [
            {"construct": "Quality", "condition": name, "mean": mean, "mean_ci": [mean - 0.1, mean + 0.1]}
            for name, mean in (("A", 3.5), ("MT", 4.0))
        ],
    }
    rows = against_quality(accuracy, rated, ["B=MT"])
    assert [(r["method"], r["condition"], r["size"], r["quality"]) for r in rows] == [
        ("A", "A", "l", 3.5), ("B", "MT", "l", 4.0), ("A", "A", "s", 3.5), ("B", "MT", "s", 4.0),
    ]  # fmt: skip
    for mapping, message in ((["C=MT"], "there is no method 'C'"), (["B=X"], "there is no condition 'X'")):
        with pytest.raises(InputError, match=message):
            against_quality(accuracy, rated, mapping)
    assert against_quality(accuracy, None, []) == []


@needs_paper_data
def test_the_reference_studys_runs_are_analysed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--method",
        "training_mode,target_rationale",
        "--size",
        "model_size",
        "--run",
        "run",
        "--permutations",
        "199",
    ]
    with pytest.raises(SystemExit) as exit:
        main(
            ["accuracy", str(PAPER / "experiment.csv"), "--outcome", "test accuracy", *options, "--out", str(tmp_path)]
        )
    assert exit.value.code == 0
    results = json.loads((tmp_path / "accuracy.json").read_text())
    assert results["data"]["runs"] == 69
    assert len(results["data"]["methods"]) == 6
    assert any("Run 1 of counterfactual-prefix" in warning for warning in results["data"]["warnings"])
    assert [row["df"] for row in results["all_runs"]["anova"]] == [5, 1, 5, 57]
    assert "All runs: size: F(1, 57) = 84.26" in capsys.readouterr().out
