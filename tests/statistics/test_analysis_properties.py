"""What must not change a result: the names of conditions, the order of rows, the direction of the scale, a constant rater."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import InputError
from app.statistics.agreement import agreement
from app.statistics.analysis import Options, analyze
from app.statistics.assumptions import assumptions
from app.statistics.data import Columns, RatingsData, from_frame
from app.statistics.descriptives import describe
from app.statistics.dunn import dunn
from app.statistics.friedman import friedman
from app.statistics.kruskal import kruskal
from app.statistics.multivariate import multivariate
from app.statistics.ols import ols
from app.statistics.reliability import reliability
from tests.statistics.tables import simulated

CONSTRUCTS = ("Clear", "Useful", "Sound")
COLUMNS = Columns("who", "item", "method", CONSTRUCTS, covariates=("length",), background=("age",))
few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
shapes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "participants": st.integers(3, 10),
        "trials": st.integers(3, 8),
        "points": st.integers(3, 7),
        "raters": st.integers(1, 2),
    }
)


def make(shape: dict[str, int]) -> tuple[pd.DataFrame, RatingsData]:
    """A simulated study and its checked data, the scale given."""
    frame = simulated(**shape)  # type: ignore[arg-type]
    frame = frame.drop_duplicates(["who", "item", "method"]).reset_index(drop=True)
    return frame, again(frame, shape)


def again(frame: pd.DataFrame, shape: dict[str, int], reference: str = "A") -> RatingsData:
    return from_frame(frame, COLUMNS, reference=reference, scale=(1, shape["points"]))


def quick(data: RatingsData) -> dict[str, Any]:
    """All results but the mixed models, which have such tests of their own."""
    return {
        "descriptives": describe(data, bootstrap=200).to_dict(),
        "reliability": reliability(data).to_dict(),
        "agreement": agreement(data, bootstrap=200).to_dict(),
        "kruskal": kruskal(data).to_dict(),
        "dunn": dunn(data, bootstrap=200).to_dict(),
        "friedman": friedman(data).to_dict(),
        "assumptions": assumptions(data).to_dict(),
        "ols": ols(data).to_dict(),
        "multivariate": multivariate(data, permutations=199).to_dict(),
    }


def same(a: Any, b: Any, path: str = "") -> None:
    """Equal, numbers within rounding."""
    if isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), path
        for at, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{path}/{at}")
    elif isinstance(a, float) and isinstance(b, float):
        assert np.isclose(a, b, rtol=1e-9, atol=1e-9), (path, a, b)
    else:
        assert a == b, path


@few
@given(shape=shapes, seed=st.integers(0, 99))
def test_the_order_of_rows_changes_nothing(shape: dict[str, int], seed: int) -> None:
    frame, data = make(shape)
    shuffled = frame.sample(frac=1, random_state=seed)
    assert quick(again(shuffled, shape)) == quick(data)


@few
@given(shape=shapes)
def test_other_names_of_conditions_in_the_same_order_change_nothing_but_names(shape: dict[str, int]) -> None:
    frame, data = make(shape)
    names = {"A": "Alpha way", "B": "beta: way", "C": "γ/way"}
    renamed = again(frame.assign(method=frame["method"].map(names)), shape, names["A"])
    text = quick(data)

    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {names.get(k, k): rename(v) for k, v in value.items()}
        if isinstance(value, list):
            return [rename(v) for v in value]
        return names.get(value, value) if isinstance(value, str) else value

    same(rename(text), quick(renamed))


@few
@given(shape=shapes)
def test_another_reference_turns_the_pairs_round_and_leaves_the_omnibus_tests(shape: dict[str, int]) -> None:
    frame, data = make(shape)
    other = again(frame, shape, "C")
    for function in (kruskal, friedman, reliability):
        same(function(data).to_dict(), function(other).to_dict())
    pairs = {(r["construct"], r["a"], r["b"]): r for r in dunn(other, bootstrap=100).to_dict()}
    for row in dunn(data, bootstrap=100).to_dict():
        if row["b"] == "C" and row["z"] is not None:
            turned = pairs[row["construct"], "C", row["a"]]
            assert np.isclose(turned["z"], -row["z"])
            assert np.isclose(turned["vargha_delaney_a"], 1 - row["vargha_delaney_a"])


@few
@given(shape=shapes)
def test_a_scale_turned_round_turns_the_signs_and_keeps_the_tests(shape: dict[str, int]) -> None:
    frame, data = make(shape)
    turned_frame = frame.assign(**{name: shape["points"] + 1 - frame[name] for name in CONSTRUCTS})
    turned = again(turned_frame, shape)
    a, b = quick(data), quick(turned)
    for name in ("kruskal", "friedman", "reliability", "agreement"):
        same(a[name], b[name], name)
    same(a["multivariate"], b["multivariate"])
    for x, y in zip(a["dunn"], b["dunn"], strict=True):
        if x["z"] is not None:
            assert np.isclose(x["z"], -y["z"], atol=1e-9)
            assert np.isclose(x["p_holm"], y["p_holm"])
    for x, y in zip(a["descriptives"], b["descriptives"], strict=True):
        assert np.isclose(x["mean"] + y["mean"], shape["points"] + 1)


@few
@given(shape=shapes)
def test_a_participant_who_always_gives_the_same_value_adds_nothing_to_tests_within_participants(
    shape: dict[str, int],
) -> None:
    frame, data = make(shape)
    own = pd.DataFrame({"who": 999, "item": [0, 0, 0], "method": ["A", "B", "C"], "length": 100, "age": "old"})
    own = own.assign(**dict.fromkeys(CONSTRUCTS, 2))
    more = again(pd.concat([frame, own]), shape)
    a, b = friedman(data).to_dict(), friedman(more).to_dict()
    for x, y in zip(a, b, strict=True):
        assert y["n"] == x["n"] + 1
        if x["chi2"] is not None:
            assert np.isclose(x["chi2"], y["chi2"])  # ties within a participant: the correction takes him out again


def numbers(value: Any) -> list[float]:
    """All floats in a result."""
    if isinstance(value, dict):
        return [x for v in value.values() for x in numbers(v)]
    if isinstance(value, list):
        return [x for v in value for x in numbers(v)]
    return [value] if isinstance(value, float) else []


cells = st.sampled_from(["", "1", "2", "3", "3", "2"])


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from("AB"), cells, cells), min_size=6, max_size=16
    )
)
def test_any_table_is_analysed_without_nan_or_refused_with_a_message(rows: list[tuple[Any, ...]]) -> None:
    frame = pd.DataFrame(rows, columns=["who", "item", "method", "Clear", "Useful"])
    frame = frame.drop_duplicates(["who", "item", "method"])
    columns = Columns("who", "item", "method", ("Clear", "Useful"))
    try:
        results = analyze(from_frame(frame, columns), Options(bootstrap=100, permutations=99, workers=1))
    except InputError as error:
        assert str(error).startswith("data: ")
        return
    assert np.isfinite(numbers(results)).all()
    for entry in results["ordinal"]:
        assert entry["estimable"] or entry["reason"]
    for name in ("kruskal", "dunn", "friedman"):
        for row in results[name]:
            assert (row["p"] is None) == (row["reason"] is not None)
