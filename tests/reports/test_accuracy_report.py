"""The report of accuracies, from a real analysis of simulated runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from app.reports.accuracy_figures import accuracies, against_quality
from app.reports.accuracy_report import conclusion, write_accuracy_report
from app.statistics.accuracy import AccuracyData, analyze_accuracy, read_accuracies
from tests.reports.made_up import text_problems

METHODS = ["a method <b>with</b> a long name, distilled from critiques", "second", "third & last"]


def runs(outliers: bool) -> AccuracyData:
    """Three methods at two sizes, six runs each; the third is better, more so at the large size. `outliers`: a run far off."""
    random = np.random.default_rng(3)
    rows = [
        {
            "method": method, "size": size, "run": run,
            "accuracy": 0.5 + (number == 2) * (0.06 if size == "large" else 0.03) + 0.1 * (size == "large")
            + random.normal(0, 0.004) - 0.2 * (outliers and run == 0 and number < 2),
        }
        for size in ("large", "small")
        for number, method in enumerate(METHODS)
        for run in range(6)
    ]  # fmt: skip
    frame = pd.DataFrame(rows).astype(str)
    return read_accuracies(frame, outcome="accuracy", method=["method"], size="size", run="run")


@pytest.fixture(scope="module")
def data() -> AccuracyData:
    """Runs with outliers."""
    return runs(outliers=True)


@pytest.fixture(scope="module")
def results(data: AccuracyData) -> dict[str, Any]:
    """The analysis, with ratings of two of the methods."""
    found = analyze_accuracy(data, permutations=99)
    found["quality"] = [
        {
            "method": c["method"], "condition": f"rated {c['method']}", "size": c["size"], "accuracy": c["mean"], "accuracy_ci": c["ci"],
            "quality": 3.0 + METHODS.index(c["method"]), "quality_ci": [2.9, 3.1],
        }
        for c in found["cells"]
        if c["method"] in METHODS[:2]
    ]  # fmt: skip
    return found


def test_texts_of_the_figures_neither_overlap_nor_leave_the_figure(results: dict[str, Any], data: AccuracyData) -> None:
    assert text_problems(accuracies(results, data.runs).figure) == []
    quality = against_quality(results)
    assert quality is not None
    assert text_problems(quality.figure) == []


def test_without_ratings_there_is_no_figure_of_quality(results: dict[str, Any]) -> None:
    assert against_quality(results | {"quality": []}) is None


def test_the_conclusion_tells_what_removing_outliers_decides(results: dict[str, Any]) -> None:
    text = " ".join(conclusion(results))
    assert "Over 36 runs (all runs)" in text
    assert "The reference's rule removes" in text
    assert "the analysis of all runs is the one to rely on" in text
    assert "the explanations of rated second (second) have the highest mean rating (4.00)" in text
    assert "no relation between accuracy and perceived quality can be tested" in text


def test_without_outliers_nothing_is_said_to_change() -> None:
    found = analyze_accuracy(runs(outliers=False), permutations=99)
    found["outliers"] = []
    text = " ".join(conclusion(found))
    assert "its removal changes nothing" in text
    assert "third & last has the highest mean" in text
    assert "significantly above all others" in text


def test_the_report_has_page_figures_and_tables_with_names_escaped(
    results: dict[str, Any], data: AccuracyData, tmp_path: Path
) -> None:
    page = write_accuracy_report(results, data, tmp_path).read_text(encoding="utf-8")
    assert "<b>with</b>" not in page
    assert "&lt;b&gt;with&lt;/b&gt;" in page
    forms = ("svg", "pdf", "png", "csv")
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {
        f"{n}.{f}" for n in ("accuracy", "quality") for f in forms
    }
    tukey = pd.read_csv(tmp_path / "tables" / "tukey.csv")
    assert len(tukey) == 6
    assert {"a", "b", "estimate", "ci_low", "ci_high", "kept_p"} <= set(tukey.columns)
    anova = pd.read_csv(tmp_path / "tables" / "anova.csv")
    assert anova["set"].value_counts().to_dict() == {"all runs": 4, "without outliers": 4}


def test_one_size_is_compared_within_it_and_the_reason_is_said(tmp_path: Path) -> None:
    every = runs(outliers=False)
    one = (
        every.runs[every.runs["size"] == "small"]
        .rename(columns={"value": "accuracy"})[["method", "size", "run", "accuracy"]]
        .astype(str)
    )
    data = read_accuracies(one, outcome="accuracy", method=["method"], size="size", run="run")
    found = analyze_accuracy(data, permutations=99) | {"quality": []}
    page = write_accuracy_report(found, data, tmp_path).read_text(encoding="utf-8")
    assert "No two-way analysis of all runs: there is one size only" in page
    assert "Pairs of methods within each size" in page
