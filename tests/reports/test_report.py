"""The whole report from a real analysis: complete, self-contained, escaped, and the same each time."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from app.reports.report import render, scale_labels, write_report
from app.statistics.analysis import Options, analyze
from app.statistics.data import Columns, RatingsData, from_frame

EVIL = ["<script>alert(1)</script>", 'MT & "CF"_50%', "plain"]
CONSTRUCTS = ("Plausible <b>", "Complete")


@pytest.fixture(scope="module")
def data() -> RatingsData:
    """Fourteen participants rate three explanations of each of three conditions with hostile names; two of them are excluded."""
    random = np.random.default_rng(7)
    rows = []
    for person in range(14):
        level = random.normal(0, 0.8)
        for trial in range(9):
            condition = EVIL[trial % 3]
            latent = level + 0.9 * (trial % 3) + random.normal(size=2)
            values = np.clip(np.round(3 + latent), 1, 5).astype(int)
            row = {"person": f"P{person}", "item": f"q{(person + trial) % 12}", "condition": condition}
            row["length"] = int(random.integers(80, 200))
            row |= dict(zip(CONSTRUCTS, map(str, values), strict=True))
            rows.append(
                row | {"gender": "<i>x</i>" if person % 2 else "y", "out": "too fast <u>" if person > 11 else ""}
            )
    frame = pd.DataFrame(rows).drop_duplicates(["person", "item", "condition"])
    roles = Columns(
        participant="person", item="item", condition="condition", constructs=CONSTRUCTS, covariates=("length",),
        background=("gender",), excluded="out",
    )  # fmt: skip
    return from_frame(frame, roles, reference="plain", scale=(1, 5), name="evil<img src=x>.csv")


@pytest.fixture(scope="module")
def results(data: RatingsData) -> dict[str, Any]:
    """The real analysis with few resamples, as results.json gives it back."""
    found: dict[str, Any] = json.loads(json.dumps(analyze(data, Options(bootstrap=100, permutations=99, workers=1))))
    return found


@pytest.fixture(scope="module")
def out(results: dict[str, Any], data: RatingsData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the report."""
    folder = tmp_path_factory.mktemp("report")
    write_report(results, data, folder)
    return folder


class Page(HTMLParser):
    """Counts elements and gathers text, ids, links and what would be loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag == "a":
            self.links.append(values.get("href") or "")
        self.loaded += [
            values[name] or "" for name in ("src", "href", "xlink:href") if name in values and tag not in ("a",)
        ]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def page(out: Path) -> Page:
    """The page, parsed."""
    return Page((out / "report.html").read_text(encoding="utf-8"))


def test_names_from_the_data_are_text_and_never_markup(page: Page) -> None:
    assert {"script", "img", "b", "u", "i"}.isdisjoint(page.tags)
    words = " ".join(page.words)
    assert "<script>alert(1)</script>" in words
    assert "evil<img src=x>.csv" in words
    assert "<i>x</i>" in words


def test_the_page_loads_nothing_and_its_links_lead_somewhere(page: Page) -> None:
    assert [target for target in page.loaded if not target.startswith("#")] == []
    assert [link for link in page.links if link.removeprefix("#") not in page.ids] == []
    assert len(page.links) >= 10
    assert len(set(page.ids)) == len(page.ids)


def test_the_conclusion_comes_first_and_says_what_was_planted(out: Path) -> None:
    text = (out / "report.html").read_text(encoding="utf-8")
    assert text.index('class="conclusion"') < text.index("<nav") < text.index('id="data"')
    first = Page(text[text.index('class="conclusion"') : text.index("<nav")])
    assert "The conditions were rated differently on both constructs" in " ".join(first.words)
    assert "plain was rated higher than <script>alert(1)</script>" in " ".join(first.words)


def test_parts_are_tagged_as_primary_and_exploratory(page: Page, results: dict[str, Any]) -> None:
    words = " ".join(page.words)
    assert "primary" in words
    assert "exploratory" in words
    assert "preregistered" not in words
    registered = results | {"data": results["data"] | {"study": {"title": "T", "preregistered": "https://osf.io/abc"}}}
    text = render(registered, {}, {}, ["1"])
    assert '<span class="tag strong">preregistered</span>' in text
    assert "This analysis was registered before the data were collected: https://osf.io/abc." in text


def test_excluded_participants_are_in_the_flow_and_nowhere_else(out: Path) -> None:
    flow = pd.read_csv(out / "figures" / "flow.csv")
    assert flow["participants"].tolist() == [14, 2, 12]
    means = pd.read_csv(out / "figures" / "participants.csv")
    assert {"P12", "P13"}.isdisjoint(means["participant"])


def test_tables_have_exact_values_as_csv_and_escaped_latex(out: Path, results: dict[str, Any]) -> None:
    table = pd.read_csv(out / "tables" / "contrasts.csv")
    model = results["ordinal"][0]
    exact = {frozenset((c["a"], c["b"])): abs(c["estimate"]) for c in model["contrasts"]}
    own = table[table["construct"] == model["construct"]]
    assert {frozenset((r.a, r.b)): abs(r.estimate) for r in own.itertuples()} == pytest.approx(exact)
    assert {"odds_ratio_ci_tukey_low", "odds_ratio_ci_tukey_high", "p_tost"} <= set(table.columns)
    latex = (out / "tables" / "contrasts.tex").read_text(encoding="utf-8")
    assert r"MT \& \"CF\"\_50\%".replace(r"\"", '"') in latex
    assert r"\toprule" in latex
    assert len(re.findall(r"(?<!\\)&", latex)) % len(table) > 0
    assert (out / "tables" / "sensitivity_models.csv").exists()


def test_every_figure_is_there_in_four_forms(out: Path) -> None:
    names = {"flow", "ratings", "participants", "contrasts", "probabilities", "random_effects"}
    found = {path.name for path in (out / "figures").iterdir()}
    assert found == {f"{name}.{form}" for name in names for form in ("svg", "pdf", "png", "csv")}


def test_the_same_results_give_the_same_bytes(
    out: Path, results: dict[str, Any], data: RatingsData, tmp_path: Path
) -> None:
    write_report(results, data, tmp_path, workers=1)
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert len(files) > 40
    assert [name for name in files if (out / name).read_bytes() != (tmp_path / name).read_bytes()] == []


def test_what_is_not_estimable_is_said(results: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(results))
    nothing = {"estimable": False, "reason": "the ratings are constant", "contrasts": [], "p_holm": None}
    broken["ordinal"] = [m | nothing for m in broken["ordinal"]]
    broken["agreement"] = [
        {"construct": "A", "estimable": False, "reason": "one rater each", "krippendorff_alpha": None}
    ]
    broken["linear"] |= {"estimable": False, "reason": "no spread"}
    broken["multivariate"] = {"estimable": False, "reason": "too few"}
    words = " ".join(Page(render(broken, {}, {}, ["1"])).words)
    assert "could not be fitted on any construct" in words
    assert "the ratings are constant" in words
    assert "Agreement between raters is not given: one rater each." in words
    assert "Not estimable: no spread." in words
    assert "is not given: too few." in words


def test_labels_of_the_scale_are_the_studys_where_they_fit() -> None:
    scale = {"low": 1, "high": 3}
    assert scale_labels({"data": {"scale": scale, "study": None}}) == ["1", "2", "3"]
    assert scale_labels({"data": {"scale": scale, "study": {"labels": ["no", "so", "yes"]}}}) == [
        "1 no",
        "2 so",
        "3 yes",
    ]
    assert scale_labels({"data": {"scale": scale, "study": {"labels": ["no", "yes"]}}}) == ["1", "2", "3"]
