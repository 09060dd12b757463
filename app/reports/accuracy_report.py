"""The report of accuracies of runs: accuracy.html (one self-contained page), figures/ and tables/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.reports import wording as w
from app.reports.accuracy_figures import accuracies, against_quality
from app.reports.contrasts import in_order
from app.reports.formats import bounded, number, p_value, precise, precise_interval, text, whole, yes
from app.reports.references import REFERENCES
from app.reports.report import environment, save_tables
from app.reports.saving import save_drawings
from app.reports.table_specifications import Columns, Specification
from app.reports.tables import make_table
from app.statistics.accuracy import AccuracyData

Row = dict[str, Any]
SETS = {"all_runs": "all runs", "without_outliers": "without outliers"}
EFFECTS = {"method": "method", "size": "size", "method:size": "method × size"}
CELL: Columns = {"Size": ("size", text), "Method": ("method", text)}
SPECIFICATIONS: dict[str, Specification] = {
    "anova": Specification(
        "Two-way analysis of variance (type II)",
        {
            "Runs": ("set", text), "Effect": ("effect", text), "SS": ("ss", precise), "df": ("df", whole), "F": ("F", number),
            "p": ("p", p_value), "p (permutation)": ("p_permutation", p_value), "Partial η²": ("partial_eta_squared", bounded),
            "Generalised η²": ("generalised_eta_squared", bounded),
        },
        "p (permutation): residuals of the model without the effect are permuted (Freedman and Lane), which needs no normal runs.",
        ("ms",),
    ),
    "cells": Specification(
        "Accuracy by size and method",
        CELL | {
            "Runs": ("n", whole), "Mean": ("mean", precise), "SD": ("sd", precise), "95% CI": ("ci", precise_interval),
            "Runs kept": ("kept_n", whole), "Mean kept": ("kept_mean", precise), "95% CI kept": ("kept_ci", precise_interval),
        },
        "Kept: without runs outside 1.5 interquartile ranges of their method and size. Intervals: t.",
        ("se", "kept_sd", "kept_se"),
    ),
    "tukey": Specification(
        "Pairs of methods within each size (Tukey)",
        {
            "Size": ("size", text), "Pair (b − a)": ("pair", text), "Difference": ("estimate", precise), "95% CI": ("ci", precise_interval),
            "p": ("p", p_value), "Difference kept": ("kept_estimate", precise), "p kept": ("kept_p", p_value), "Remark": ("reason", text),
        },
        "Above 0, b was more accurate. The error is that of the size alone. Kept: without outliers.",
        ("se", "kept_se", "kept_ci"),
    ),
    "outliers": Specification(
        "Runs that the reference's rule calls outliers",
        CELL | {"Run": ("run", text), "Row": ("row", whole), "Accuracy": ("value", precise), "Beyond 3 IQR": ("extreme", yes)},
    ),
    "levene": Specification(
        "Equal variances (Levene, around the median)",
        {
            "Runs": ("set", text), "F": ("F", number), "df1": ("df1", whole), "df2": ("df2", whole), "p": ("p", p_value),
            "Remark": ("reason", text),
        },
    ),
    "shapiro_wilk": Specification(
        "Normality (Shapiro–Wilk)",
        {"Runs": ("set", text)} | CELL | {"n": ("n", whole), "W": ("W", bounded), "p": ("p", p_value), "Remark": ("reason", text)},
        "With so few runs this test can hardly find anything.",
    ),
    "quality": Specification(
        "Accuracy and perceived quality",
        CELL | {
            "Condition": ("condition", text), "Accuracy": ("accuracy", precise), "95% CI": ("accuracy_ci", precise_interval),
            "Quality": ("quality", number), "95% CI of it": ("quality_ci", precise_interval),
        },
    ),
}  # fmt: skip


def write_accuracy_report(results: Row, data: AccuracyData, out: Path) -> Path:
    """Write accuracy.html, figures/*.{svg,pdf,png,csv} and tables/*.{csv,tex} into `out`; the page's path.

    results: as `app.statistics.accuracy.analyze_accuracy` gives them, with `quality` (a list, may be empty). data: the runs.
    """
    saved = save_drawings([(accuracies, (results, data.runs)), (against_quality, (results,))], out)
    level = f"{100 * (1 - results['data']['options']['alpha']):g}%"
    every = {name: make_table(name, rows(results, name), level, SPECIFICATIONS) for name in SPECIFICATIONS}
    tables = {name: table for name, table in every.items() if table is not None}
    save_tables(tables, out)
    page = environment().get_template("reports/accuracy.html").render(
        results=results,
        data=results["data"],
        figures=saved,
        tables=tables,
        conclusion=conclusion(results),
        reasons={title: results[key]["reason"] for key, title in SETS.items() if results[key]["reason"]},
        references=[REFERENCES["hendriks"][1]],
    )  # fmt: skip
    path = out / "accuracy.html"
    path.write_text(page, encoding="utf-8")
    return path


def rows(results: Row, name: str) -> list[Row]:
    """The rows of a table of SPECIFICATIONS."""
    if name in ("cells", "outliers", "quality"):
        return list(results.get(name) or [])
    if name == "anova":
        return [row for key, title in SETS.items() for row in _anova(results[key], title)]
    if name == "levene":
        return [{"set": title, **results[key]["levene"]} for key, title in SETS.items()]
    if name == "shapiro_wilk":
        return [{"set": title, **row} for key, title in SETS.items() for row in results[key]["shapiro_wilk"]]
    return _tukey(results)


def _anova(part: Row, title: str) -> list[Row]:
    permuted = {row["effect"]: row["p"] for row in part["permutation"]}
    return [
        row
        | {
            "set": title,
            "effect": EFFECTS.get(row["effect"], row["effect"]),
            "p_permutation": permuted.get(row["effect"]),
        }
        for row in part["anova"]
    ]


def _tukey(results: Row) -> list[Row]:
    """Both sets of runs side by side."""
    methods = results["data"]["methods"]
    kept = {
        (c["size"], frozenset((c["a"], c["b"]))): c for c in in_order(results["without_outliers"]["tukey"], methods)
    }
    out = []
    for c in in_order(results["all_runs"]["tukey"], methods):
        other = kept.get((c["size"], frozenset((c["a"], c["b"]))), {})
        beside = {f"kept_{name}": other.get(name) for name in ("estimate", "se", "ci", "p")}
        out.append(c | {"pair": f"{c['b']} − {c['a']}"} | beside)
    return sorted(out, key=lambda row: results["data"]["sizes"].index(row["size"]))


def conclusion(results: Row) -> list[str]:
    """What the runs say, with and without the removal of outliers, in plain words."""
    data = results["data"]
    return [
        _effects(results, "all_runs"),
        _removal(results),
        *(_best(results, size) for size in data["sizes"]),
        *_quality(results),
    ]


def _effects(results: Row, key: str) -> str:
    part, alpha = results[key], results["data"]["options"]["alpha"]
    effects = {row["effect"]: row for row in part["anova"] if row["p"] is not None}
    if not effects:
        return f"There is no two-way analysis of {SETS[key]}: {part['reason']}."
    method, size, both = (effects[name] for name in EFFECTS)
    error = part["anova"][-1]["df"]
    words = [
        f"the methods {'differ' if w.below(method['p'], alpha) else 'do not differ significantly'} in accuracy ({_f(method, error)})",
        f"the sizes {'differ' if w.below(size['p'], alpha) else 'do not differ significantly'} ({_f(size, error)})",
        f"there is {'evidence' if w.below(both['p'], alpha) else 'no sufficient evidence'} that the differences between methods depend on "
        f"size ({_f(both, error)})",
    ]
    return f"Over {part['n']} runs ({SETS[key]}), {'; '.join(words)}."


def _f(row: Row, error: int) -> str:
    return f"F({row['df']:g}, {error:g}) = {number(row['F'])}, {w.p_text(row['p'])}"


def _removal(results: Row) -> str:
    """What removing outliers changes: of five or six runs it removes what makes the error large."""
    alpha, removed, total = results["data"]["options"]["alpha"], len(results["outliers"]), results["data"]["runs"]
    if not removed:
        return "No run is an outlier by the reference's rule, so that its removal changes nothing."
    before, after = (
        {row["effect"]: w.below(row["p"], alpha) for row in results[key]["anova"] if row["p"] is not None}
        for key in SETS
    )
    start = f"The reference's rule removes {removed} of {total} runs ({100 * removed / total:.0f} %). "
    if not before or not after:
        return f"{start}What that changes cannot be said: {results['without_outliers']['reason'] or results['all_runs']['reason']}."
    changed = [EFFECTS[name] for name in before if before[name] != after[name]]
    pairs = [sum(w.below(c["p"], alpha) for c in results[key]["tukey"]) for key in SETS]
    total_pairs = len(results["all_runs"]["tukey"])
    count = (
        f"Significant pairs of methods within a size: {pairs[0]} of {total_pairs} with all runs, {pairs[1]} without."
    )
    if changed:
        return (
            f"{start}This alone decides about {w.listed(changed)}: {_effects(results, 'without_outliers')} {count} With few runs of each "
            "method and size such a removal makes the error small by choice of the runs; the analysis of all runs is the one to rely on."
        )
    return f"{start}The three tests come out the same way. {count}"


def _best(results: Row, size: str) -> str:
    """The most accurate method of a size, and which it can be told from."""
    alpha = results["data"]["options"]["alpha"]
    cells = [c for c in results["cells"] if c["size"] == size and c["mean"] is not None]
    if len(cells) < 2:
        return f"{size}: there are not two methods to compare."
    best = max(cells, key=lambda c: c["mean"])
    pairs = [c for c in results["all_runs"]["tukey"] if c["size"] == size and best["method"] in (c["a"], c["b"])]
    worse = [c["a"] if c["b"] == best["method"] else c["b"] for c in pairs if w.below(c["p"], alpha)]
    told = (
        f"significantly above {w.listed(worse)} (Tukey, all runs), not significantly above the others"
        if worse and len(worse) < len(pairs)
        else "significantly above all others (Tukey, all runs)" if worse else "not significantly above any other (Tukey, all runs)"
    )  # fmt: skip
    return f"{size}: {best['method']} has the highest mean, {precise(best['mean'])}, {told}."


def _quality(results: Row) -> list[str]:
    """Whether the most accurate method is also the one whose explanations were found best; no more than that."""
    found = results.get("quality") or []
    if not found:
        return []
    rated = max(found, key=lambda row: row["quality"])
    out = []
    for size in dict.fromkeys(row["size"] for row in found):
        own = [row for row in found if row["size"] == size]
        accurate = max(own, key=lambda row: row["accuracy"])
        same = accurate["method"] == rated["method"]
        out.append(f"at {size}, {accurate['method']} is the most accurate{', too' if same else ''}")
    count = len({row["method"] for row in found})
    return [
        f"Of the {w.counted(count, 'method')} that were also rated, the explanations of {rated['condition']} ({rated['method']}) have the "
        f"highest mean rating ({number(rated['quality'])}); {'; '.join(out)}. With {w.counted(count, 'method')} no relation between "
        "accuracy and perceived quality can be tested, and where intervals overlap even the order is uncertain; the tests of the "
        "ratings are in their own report."
    ]
