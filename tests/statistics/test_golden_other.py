"""Everything but the mixed models against R: psych, car, rstatix and base R, on data simulated there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from app.statistics import agreement as agreements
from app.statistics.accuracy import analyze_accuracy, read_accuracies
from app.statistics.agreement import agreement
from app.statistics.assumptions import assumptions
from app.statistics.data import Columns, RatingsData, from_frame
from app.statistics.descriptives import describe
from app.statistics.dunn import dunn
from app.statistics.friedman import friedman
from app.statistics.kruskal import kruskal
from app.statistics.ols import ols
from app.statistics.outliers import is_outlier
from app.statistics.reliability import one_factor, reliability

GOLDEN = json.loads((Path(__file__).parent / "oracle" / "golden_other.json").read_text(encoding="utf-8"))
CONSTRUCTS = ("one", "two", "three", "four")
STUDIES = list(GOLDEN["studies"])
RUNS = list(GOLDEN["runs"])


def close(found: Any, expected: Any, tolerance: float = 1e-8) -> None:
    """Equal within an absolute (and for large numbers relative) tolerance."""
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module", params=STUDIES)
def study(request: pytest.FixtureRequest) -> tuple[RatingsData, dict[str, Any]]:
    golden = GOLDEN["studies"][request.param]
    frame = pd.DataFrame(golden["data"])
    frame["explanation"] = frame.index  # the simulation lets participants meet an explanation again
    columns = Columns("participant", "item", "condition", CONSTRUCTS, "explanation", ("length",), ("age",))
    return from_frame(frame, columns, reference="A"), golden


Study = tuple[RatingsData, dict[str, Any]]


def by(rows: list[dict[str, Any]], data: RatingsData, key: str) -> list[list[Any]]:
    """One list of `key` for each measure, in order."""
    return [[row[key] for row in rows if row["construct"] == measure] for measure in data.measures]


def test_descriptives_agree(study: Study) -> None:
    data, golden = study
    rows = describe(data, bootstrap=100).to_dict()
    for measure, expected in zip(data.measures, golden["describe"], strict=True):
        for row in (row for row in rows if row["construct"] == measure):
            own = expected[row["condition"]]
            close([row["n"], row["mean"], row["sd"]], [own["n"], own["mean"], own["sd"]])
            close([row["q1"], row["median"], row["q3"]], own["q"])


def test_kruskal_wallis_agrees(study: Study) -> None:
    data, golden = study
    for row, expected in zip(kruskal(data).to_dict(), golden["kruskal"], strict=True):
        close([row["H"], row["df"], row["p"]], [expected["H"], expected["df"], expected["p"]])
        close(row["epsilon_squared"], expected["H"] / (row["n"] - 1))


def test_dunn_and_vargha_delaney_agree(study: Study) -> None:
    data, golden = study
    rows = dunn(data, bootstrap=100).to_dict()
    names = {"z": "z", "p": "p", "p_holm": "p_holm", "p_bonferroni": "p_bonferroni", "vargha_delaney_a": "A"}
    for ours, theirs in names.items():
        for found, expected in zip(by(rows, data, ours), golden["dunn"], strict=True):
            close(found, expected[theirs])


def test_friedman_agrees(study: Study) -> None:
    data, golden = study
    for row, expected in zip(friedman(data).to_dict(), golden["friedman"], strict=True):
        close([row["n"], row["chi2"], row["p"], row["kendall_w"]], [expected[k] for k in ("n", "chi2", "p", "W")])


def test_diagnostics_agree(study: Study) -> None:
    data, golden = study
    found = assumptions(data).to_dict()
    for measure, expected in zip(data.measures, golden["shapiro"], strict=True):
        for row in (row for row in found["shapiro_wilk"] if row["construct"] == measure):
            own = expected[row["condition"]]
            close([row["W"], row["p"]], [own["W"], own["p"]], 1e-6)  # Royston's polynomials differ in their last digits
    for row, expected in zip(found["levene"], golden["levene"], strict=True):
        close([row["F"], row["p"]], [expected["F"], expected["p"]])
    box, hz = golden["box_m"], golden["henze_zirkler"]
    close([found["box_m"][k] for k in ("chi2", "df", "p")], [box["chi2"], box["df"], box["p"]])
    close([found["henze_zirkler"]["hz"], found["henze_zirkler"]["p"]], [hz["hz"], hz["p"]])


def test_reliability_agrees(study: Study) -> None:
    data, golden = study
    found, expected = reliability(data).to_dict(), golden["reliability"]
    close([found["alpha"], *found["alpha_ci"]], [expected["alpha"], *expected["ci"]])
    close([item["alpha_if_dropped"] for item in found["items"]], expected["dropped"])
    close([item["item_rest"] for item in found["items"]], expected["item_rest"])
    close([item["loading"] for item in found["items"]], expected["loadings"])
    close(found["omega_total"], expected["omega"])


def test_least_squares_agree_with_and_without_outliers_and_background(study: Study) -> None:
    data, golden = study
    for model, expected in zip(ols(data).to_dict()["models"], golden["ols"], strict=True):
        assert (model["background"], model["n"]) == (expected["background"], expected["n"])
        close([model[k] for k in ("r_squared", "adjusted_r_squared", "residual_sd", "F")],
              [expected[k] for k in ("r_squared", "adjusted", "sd", "F")])  # fmt: skip
        rows = model["coefficients"]
        for key in ("estimate", "se", "p", "se_cluster", "p_cluster"):
            close([row[key] for row in rows], expected[key])
        close([row["ci"][0] for row in rows], expected["low"])


def test_krippendorff_agrees_also_by_the_way_of_the_bootstrap(study: Study) -> None:
    data, golden = study
    trials = data.trials.assign(
        explanation=data.trials["condition"] + "/" + data.trials["item"], participant=range(len(data.trials))
    )
    columns = Columns("participant", "item", "condition", CONSTRUCTS, "explanation")
    several = from_frame(trials[["participant", "item", "condition", "explanation", *CONSTRUCTS]], columns)
    for row, name, expected in zip(
        agreement(several, bootstrap=100).to_dict(), CONSTRUCTS, golden["krippendorff"], strict=True
    ):
        close(row["krippendorff_alpha"], expected)
        frame = several.trials[["item", "explanation", name]]
        frame = frame[frame.groupby("explanation")[name].transform("size") > 1]
        counts, item = agreements._counts(frame, name)
        items = int(item.max()) + 1
        close(agreements._alphas(np.ones((1, items)), counts, item, items)[0], expected)


def test_intraclass_correlation_agrees_with_psych() -> None:
    matrix = np.array(GOLDEN["icc"]["matrix"])
    target, rater = np.indices(matrix.shape)
    frame = pd.DataFrame({"who": rater.ravel(), "item": target.ravel(), "method": target.ravel() % 2})
    frame["rating"] = matrix.ravel()
    data = from_frame(frame, Columns("who", "item", "method", ("rating",)))
    close(agreement(data, bootstrap=100).to_dict()[0]["icc"], GOLDEN["icc"]["icc"])


def test_outliers_agree_with_rstatix(study: Study) -> None:
    golden = study[1]
    frame = pd.DataFrame(golden["data"])
    own = frame[frame["condition"] == "A"][list(CONSTRUCTS)].mean(axis=1).to_numpy()
    expected = golden["outliers"] if isinstance(golden["outliers"], list) else [golden["outliers"]]
    assert (np.flatnonzero(is_outlier(own)) + 1).tolist() == expected


@pytest.mark.parametrize("name", RUNS)
def test_two_way_analysis_and_tukey_agree(name: str) -> None:
    golden = GOLDEN["runs"][name]
    frame = pd.DataFrame(golden["data"])
    data = read_accuracies(frame, outcome="accuracy", method=["method"], size="size", run="run")
    found = analyze_accuracy(data, permutations=99)
    expected_rows = golden["outliers"] if isinstance(golden["outliers"], list) else [golden["outliers"]]
    assert sorted(row["row"] - 1 for row in found["outliers"]) == expected_rows
    for key, expected in (("all_runs", golden["all"]), ("without_outliers", golden["without"])):
        anova = found[key]["anova"]
        close([row["ss"] for row in anova], expected["ss"])
        assert [row["df"] for row in anova] == expected["df"]
        for key_ in ("F", "p"):
            close([row[key_] for row in anova[:3]], expected[key_])
        close([row["generalised_eta_squared"] for row in anova[:3]], expected["ges"], 5.1e-4)  # rstatix rounds it
        close([row["F"] for row in found[key]["permutation"]], expected["F"])
        for size, tukey in expected["tukey"].items():
            rows = [row for row in found[key]["tukey"] if row["size"] == size]
            close([row["estimate"] for row in rows], tukey["estimate"])
            close([row["ci"][0] for row in rows], tukey["low"], 1e-7)  # qtukey stops at 1e-4 of its argument's digits
            close([row["p"] for row in rows], tukey["p"], 1e-7)


def test_one_factor_finds_the_loadings_of_a_matrix_that_has_one_factor() -> None:
    loadings = np.array([0.9, 0.7, 0.5, -0.3])
    correlations = np.outer(loadings, loadings)
    np.fill_diagonal(correlations, 1.0)
    close(one_factor(correlations), loadings)
