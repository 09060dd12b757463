"""The report's tables, from the results: each as full-precision values (CSV) and as printed (HTML, LaTeX)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

Row = dict[str, Any]


@dataclass(frozen=True)
class ReportTable:
    """A table with its file name, title, note, exact values, and what is printed."""

    name: str
    title: str
    note: str
    values: pd.DataFrame
    shown: pd.DataFrame


def number(value: Any, digits: int = 2) -> str:
    """A number with fixed decimals and a real minus sign; an en dash for none."""
    if value is None or value != value:
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def p_value(value: Any) -> str:
    """Exact to three decimals, without the leading zero; below that `< .001` (APA 7)."""
    if value is None or value != value:
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0") if value < 1 else "1.000"


def interval(pair: Any, digits: int = 2) -> str:
    """`[low, high]`."""
    if not pair or None in pair:
        return "–"
    return f"[{number(pair[0], digits)}, {number(pair[1], digits)}]"


def whole(value: Any) -> str:
    """An integer, or an en dash."""
    return "–" if value is None or value != value else f"{value:.0f}"


def share(value: Any) -> str:
    """A share as a percentage."""
    return "–" if value is None or value != value else f"{100 * value:.1f} %"


def text(value: Any) -> str:
    """Text as it is; an en dash for none."""
    return "–" if value is None or value == "" else str(value)


Format = Callable[[Any], str]
# name: (title, note, key of the results, columns: header → (field, format))
SPECIFICATIONS: dict[str, tuple[str, str, str, dict[str, tuple[str, Format]]]] = {
    "descriptives": (
        "Ratings by construct and condition",
        "Intervals: bootstrap over participants. Agree: share of ratings in the two highest points.",
        "descriptives",
        {
            "Construct": ("construct", text), "Condition": ("condition", text), "n": ("n", whole), "Mean": ("mean", number),
            "95 % CI": ("mean_ci", interval), "SD": ("sd", number), "Median": ("median", number), "Q1": ("q1", number),
            "Q3": ("q3", number), "Agree": ("top2", share),
        },
    ),
    "ordinal": (
        "Do the conditions differ? Ordinal mixed models",
        "Likelihood-ratio test against the same model without condition; Holm over constructs. SDs of the random effects in logits.",
        "ordinal",
        {
            "Construct": ("construct", text), "n": ("n", whole), "LR": ("lr", number), "df": ("df", whole), "p": ("p", p_value),
            "p (Holm)": ("p_holm", p_value), "SD participant": ("sd.participant", number), "SD item": ("sd.item", number),
        },
    ),
    "contrasts": (
        "Differences between conditions: ordinal mixed models",
        "Each row is b − a in logits; above 0, b was rated higher. Tukey: within the construct. p (TOST): test of equivalence.",
        "contrasts",
        {
            "Construct": ("construct", text), "a": ("a", text), "b": ("b", text), "Estimate": ("estimate", number),
            "SE": ("se", number), "p (Tukey)": ("p_tukey", p_value), "p (Holm)": ("p_holm", p_value),
            "Odds ratio": ("odds_ratio", number), "95 % CI": ("odds_ratio_ci", interval), "p (TOST)": ("p_tost", p_value),
        },
    ),
    "linear": (
        "Differences on the mean of the constructs: linear mixed model",
        "REML, Satterthwaite's degrees of freedom. Each row is b − a in scale points.",
        "linear_contrasts",
        {
            "a": ("a", text), "b": ("b", text), "Estimate": ("estimate", number), "SE": ("se", lambda v: number(v, 3)),
            "df": ("df", lambda v: number(v, 1)), "t": ("t", number), "p": ("p", p_value), "p (Tukey)": ("p_tukey", p_value),
            "95 % CI": ("ci", interval),
        },
    ),
    "kruskal": (
        "The reference's tests: Kruskal–Wallis",
        "Takes all ratings as independent, which ratings of one person are not: for comparison only.",
        "kruskal",
        {
            "Construct": ("construct", text), "H": ("H", number), "df": ("df", whole), "p": ("p", p_value), "p (Holm)": ("p_holm", p_value),
            "ε²": ("epsilon_squared", lambda v: number(v, 3)),
        },
    ),
    "dunn": (
        "The reference's post hoc tests: Dunn",
        "A: probability that b is rated higher than a, ties counted half (Vargha and Delaney).",
        "dunn",
        {
            "Construct": ("construct", text), "a": ("a", text), "b": ("b", text), "z": ("z", number), "p": ("p", p_value),
            "p (Bonferroni)": ("p_bonferroni", p_value), "p (Holm)": ("p_holm", p_value), "A": ("vargha_delaney_a", number),
            "95 % CI": ("vargha_delaney_ci", interval),
        },
    ),
    "friedman": (
        "Friedman tests on participants' means",
        "Participants with ratings in every condition.",
        "friedman",
        {
            "Construct": ("construct", text), "n": ("n", whole), "χ²": ("chi2", number), "df": ("df", whole), "p": ("p", p_value),
            "Kendall's W": ("kendall_w", lambda v: number(v, 3)),
        },
    ),
    "reliability": (
        "Items of the instrument",
        "",
        "reliability_items",
        {
            "Construct": ("construct", text), "α if dropped": ("alpha_if_dropped", number), "Item–rest r": ("item_rest", number),
            "Loading": ("loading", number),
        },
    ),
    "agreement": (
        "Agreement of raters",
        "Only where an explanation was rated by at least two participants.",
        "agreement",
        {
            "Construct": ("construct", text), "Krippendorff's α": ("krippendorff_alpha", number), "95 % CI": ("krippendorff_ci", interval),
            "ICC": ("icc", number), "ICC 95 % CI": ("icc_ci", interval), "Not estimable because": ("reason", text),
        },
    ),
    "ols": (
        "The reference's regression (ordinary least squares)",
        "SE, p: ratings taken as independent, as the reference did. SE, p (cluster): robust to the ratings of one person belonging together.",
        "ols_coefficients",
        {
            "Model": ("model", text), "Term": ("term", text), "Estimate": ("estimate", lambda v: number(v, 3)),
            "SE": ("se", lambda v: number(v, 3)), "p": ("p", p_value), "SE (cluster)": ("se_cluster", lambda v: number(v, 3)),
            "p (cluster)": ("p_cluster", p_value),
        },
    ),
    "multivariate": (
        "All constructs at once: permutation test",
        "p (max): adjusted for looking at all constructs.",
        "multivariate_constructs",
        {"Construct": ("construct", text), "Statistic": ("statistic", number), "p": ("p", p_value), "p (max)": ("p_max", p_value)},
    ),
    "sensitivity_models": (
        "The primary test under other models",
        "Random slopes: participants may differ in how they respond to each condition. Two categories: agreement or not.",
        "sensitivity_models",
        {
            "Construct": ("construct", text), "Model": ("model", text), "LR": ("lr", number), "df": ("df", whole), "p": ("p", p_value),
            "p (Holm)": ("p_holm", p_value), "Not estimable because": ("reason", text),
        },
    ),
    "proportional_odds": (
        "Is one odds ratio enough for all points of the scale?",
        "Likelihood-ratio test of thresholds that differ between conditions. Where doubtful, read the model with two categories.",
        "proportional_odds",
        {
            "Construct": ("construct", text), "LR": ("lr", number), "df": ("df", whole), "p": ("p", p_value),
            "Doubtful": ("doubtful", lambda v: "–" if v is None else "yes" if v else "no"), "Not estimable because": ("reason", text),
        },
    ),
    "exclusions": (
        "The primary results without each exclusion rule",
        "",
        "exclusions",
        {
            "Rule left out": ("rule", text), "Construct": ("construct", text), "n": ("n", whole), "LR": ("lr", number), "p": ("p", p_value),
            "p (Holm)": ("p_holm", p_value),
        },
    ),
    "leave_one_out": (
        "Leaving out one participant at a time",
        "The range of each contrast's estimate (logits) over all participants, and who moves it most.",
        "leave_one_out",
        {
            "Construct": ("construct", text), "a": ("a", text), "b": ("b", text), "Estimate": ("estimate", number), "Lowest": ("low", number),
            "Highest": ("high", number), "Lowest without": ("low_without", text), "Highest without": ("high_without", text),
        },
    ),
    "dropped": (
        "How few ratings carry a difference",
        "The smallest number of ratings found (up to 1 %) without which the contrast is no longer significant.",
        "dropped",
        {
            "Construct": ("construct", text), "a": ("a", text), "b": ("b", text), "p (Tukey)": ("p_tukey", p_value),
            "Ratings": ("ratings", whole), "Share": ("share", share), "Confirmed by refitting": ("confirmed", lambda v: "–" if v is None else "yes" if v else "no"),
            "Note": ("reason", text),
        },
    ),
    "shapiro_wilk": (
        "Normality (Shapiro–Wilk)",
        "",
        "shapiro_wilk",
        {
            "Construct": ("construct", text), "Condition": ("condition", text), "n": ("n", whole), "W": ("W", lambda v: number(v, 3)),
            "p": ("p", p_value),
        },
    ),
    "levene": (
        "Equal variances (Levene, around the median)",
        "",
        "levene",
        {"Construct": ("construct", text), "F": ("F", number), "df1": ("df1", whole), "df2": ("df2", whole), "p": ("p", p_value)},
    ),
    "joint": (
        "All constructs together: equal covariances (Box's M), normality (Henze–Zirkler)",
        "",
        "joint",
        {"Test": ("test", text), "Statistic": ("statistic", number), "df": ("df", whole), "p": ("p", p_value), "Not estimable because": ("reason", text)},
    ),
}  # fmt: skip


def _ols(results: Row) -> list[Row]:
    models = (results.get("ols") or {}).get("models") or []
    return [
        {
            "model": f"{'with' if m['background'] else 'without'} background, outliers {'removed' if m['outliers_removed'] else 'kept'}",
            **coefficient,
        }
        for m in models
        for coefficient in m.get("coefficients") or []
    ]


def _sensitivity_models(results: Row) -> list[Row]:
    found = results.get("sensitivity") or {}
    names = {"participant_condition": "random slopes", "binary": "two categories"}
    return [{"model": name, **row} for key, name in names.items() for row in found.get(key) or []]


def _joint(results: Row) -> list[Row]:
    found = results.get("assumptions") or {}
    box, normal = found.get("box_m") or {}, found.get("henze_zirkler") or {}
    return [row for row in (
        {"test": "Box's M (χ²)", "statistic": box.get("chi2"), **box} if box else None,
        {"test": "Henze–Zirkler (HZ)", "statistic": normal.get("hz"), **normal} if normal else None,
    ) if row]  # fmt: skip


# key of SPECIFICATIONS: how its rows come from the results, where they are no list of their own
ROWS: dict[str, Callable[[Row], list[Row]]] = {
    "contrasts": lambda r: [
        {"construct": m["construct"], **c, "p_tost": _tost(m, c)}
        for m in r.get("ordinal") or []
        for c in m.get("contrasts") or []
    ],
    "linear_contrasts": lambda r: list((r.get("linear") or {}).get("contrasts") or []),
    "reliability_items": lambda r: list((r.get("reliability") or {}).get("items") or []),
    "ols_coefficients": _ols,
    "multivariate_constructs": lambda r: list((r.get("multivariate") or {}).get("constructs") or []),
    "sensitivity_models": _sensitivity_models,
    "proportional_odds": lambda r: list((r.get("sensitivity") or {}).get("proportional_odds") or []),
    "exclusions": lambda r: list((r.get("sensitivity") or {}).get("exclusions") or []),
    "leave_one_out": lambda r: list((r.get("sensitivity") or {}).get("leave_one_out") or []),
    "dropped": lambda r: list((r.get("sensitivity") or {}).get("dropped") or []),
    "shapiro_wilk": lambda r: list((r.get("assumptions") or {}).get("shapiro_wilk") or []),
    "levene": lambda r: list((r.get("assumptions") or {}).get("levene") or []),
    "joint": _joint,
}


def _tost(model: Row, contrast: Row) -> float | None:
    for row in model.get("equivalence") or []:
        if {row["a"], row["b"]} == {contrast["a"], contrast["b"]}:
            p: float | None = row["p_tost"]
            return p
    return None


def _field(row: Row, path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def make_table(results: Row, name: str) -> ReportTable | None:
    """One table; None when the results have nothing for it."""
    title, note, key, columns = SPECIFICATIONS[name]
    rows = ROWS[key](results) if key in ROWS else list(results.get(key) or [])
    if not rows:
        return None
    values = pd.DataFrame(
        [{header: _field(row, path) for header, (path, _) in columns.items()} for row in rows], dtype=object
    )
    shown = pd.DataFrame(
        [{header: form(_field(row, path)) for header, (path, form) in columns.items()} for row in rows]
    )
    return ReportTable(name, title, note, values, shown)


def all_tables(results: Row) -> dict[str, ReportTable]:
    """All tables that the results give, by name."""
    made = {name: make_table(results, name) for name in SPECIFICATIONS}
    return {name: table for name, table in made.items() if table is not None}
