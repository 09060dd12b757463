"""Figures of every size: texts don't overlap, equal results give equal bytes, and what isn't there is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.reports import figures
from app.reports.diverging import diverging_bars
from app.reports.saving import save_drawing
from app.reports.style import wrap
from tests.reports.made_up import model, results, text_problems

LONG = [
    "multitask_counterfactual with critique and revision of the teacher's rationales, 770M",
    "counterfactual-prefix / few-shot-positive-rationale",
    "$x_1$ & <b>",
]


def conditions(count: int, long: bool) -> list[str]:
    """So many names, the first of them long where asked."""
    short = [f"Condition {chr(65 + i)}" for i in range(count)]
    return [*LONG, *short][:count] if long else short


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize(("count", "points"), [(2, 2), (3, 5), (4, 7), (6, 4), (12, 11)])
def test_texts_neither_overlap_nor_leave_the_figure(count: int, points: int, long: bool) -> None:
    constructs = ["Plausibility", "A construct whose name is rather long, as some are"]
    scale = list(range(1, points + 1))
    labels = [f"{q} {'Neither agree nor disagree' if long else ''}".strip() for q in scale]
    made = results(conditions(count, long), scale, constructs)
    made["data"]["flow"]["excluded"] = [
        {"rule": "failed both attention checks" * (2 if long else 1), "participants": 2, "trials": 8}
    ]
    drawings = [
        figures.flow(made), figures.diverging(made, labels), figures.forest(made), figures.probabilities(made, labels),
        figures.caterpillar(made),
    ]  # fmt: skip
    problems = {d.name: " ".join(text_problems(d.figure)) for d in drawings if d is not None}
    assert problems == dict.fromkeys(("flow", "ratings", "contrasts", "probabilities", "random_effects"), "")


def test_overlapping_texts_are_noticed() -> None:
    drawing = figures.flow(results(conditions(2, False), [1, 2, 3], ["A"]))
    drawing.figure.axes[0].text(0.3, 0.2, "on top of another")
    assert any("overlaps" in problem for problem in text_problems(drawing.figure))


def test_equal_results_give_equal_files(tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        made = results(conditions(3, True), [1, 2, 3, 4, 5], ["A", "B"])
        for drawing in (figures.flow(made), figures.forest(made)):
            assert drawing is not None
            save_drawing(drawing, folder)
        written.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert written[0] == written[1]
    assert set(written[0]) == {f"{n}.{e}" for n in ("flow", "contrasts") for e in ("svg", "pdf", "png", "csv")}


def test_an_svg_has_title_and_description_and_neither_style_nor_outside_reference() -> None:
    text = diverging_bars({"<i>A</i>": {"x & y": [1, 2, 3]}}, ["low", "middle", "high"])
    assert text.startswith("<svg")
    assert "<title>Ratings by construct and condition</title>" in text
    assert "&lt;i&gt;A&lt;/i&gt;, x &amp; y: 1, 2, 3" in text
    assert "<i>" not in text
    assert "style=" not in text
    assert re.findall(r'(?:href|src)="(?!#)', text) == []


def test_a_forest_of_many_conditions_shows_the_pairs_with_the_reference() -> None:
    names = conditions(12, False)
    drawing = figures.forest(results(names, [1, 2, 3], ["A"]))
    assert drawing is not None
    assert set(drawing.data["a"]) == {names[0]}
    assert list(drawing.data["b"]) == names[1:]
    assert "Only pairs with the reference are drawn" in drawing.description


def test_a_forest_turns_contrasts_to_the_order_of_the_conditions() -> None:
    made = results(["ref", "new"], [1, 2, 3], ["A"])
    turned = {"a": "new", "b": "ref", "estimate": -0.3, "odds_ratio": 0.5, "ci_tukey": [-1.0, 0.5]}
    made["ordinal"][0]["contrasts"][0] |= turned
    drawing = figures.forest(made)
    assert drawing is not None
    row = drawing.data.iloc[0]
    assert (row["b"], row["a"], row["odds_ratio"]) == ("new", "ref", 2.0)
    assert row["low"] < 1 < row["high"]


def test_contrasts_without_an_interval_are_not_drawn() -> None:
    made = results(["a", "b"], [1, 2, 3], ["A", "B"])
    made["ordinal"][0]["contrasts"][0] |= {"odds_ratio": None, "ci_tukey": [None, None]}
    drawing = figures.forest(made)
    assert drawing is not None
    assert list(drawing.data["construct"]) == ["B"]


def test_nothing_estimable_gives_no_figure() -> None:
    made = results(["a", "b"], [1, 2], ["A"])
    made["ordinal"] = [{"construct": "A", "estimable": False, "reason": "constant", "contrasts": []}]
    assert [figures.forest(made), figures.probabilities(made, ["1", "2"]), figures.caterpillar(made)] == [None] * 3


def test_thousands_of_participants_do_not_make_a_large_figure(tmp_path: Path) -> None:
    made = results(["a", "b"], [1, 2, 3], ["A"])
    made["ordinal"] = [model("A", ["a", "b"], [1, 2, 3], people=3000)]
    drawing = figures.caterpillar(made)
    assert drawing is not None
    assert len(drawing.data) == 6000
    assert len(save_drawing(drawing, tmp_path).svg) < 150_000


def test_a_long_name_is_broken_where_it_can_be_and_cut_where_it_must() -> None:
    assert wrap("MT+CF:RevRationales of the teacher", 20) == "MT+CF:RevRationales\nof the teacher"
    assert wrap("x" * 50, 20, 2) == f"{'x' * 20}\n{'x' * 19}…"
    assert wrap("", 20) == ""
