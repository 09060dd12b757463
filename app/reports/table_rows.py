"""The rows of the report's tables, from the results: what a table prints is a field of its rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from app.reports.contrasts import condition_order, in_order

Row = dict[str, Any]
VARIANTS = {
    "primary": "ordinal", "without_covariates": "without_covariates", "slopes": "participant_condition", "binary": "binary",
}  # fmt: skip


def pairs(contrasts: list[Row] | None, results: Row) -> list[Row]:
    """Contrasts in the order of the conditions, with `pair` and the Tukey interval as odds ratios."""
    return [
        c | {"pair": f"{c['b']} − {c['a']}", "odds_ratio_ci_tukey": exponential(c.get("ci_tukey"))}
        for c in in_order(contrasts or [], condition_order(results))
    ]


def exponential(ends: list[float | None] | None) -> list[float | None] | None:
    """An interval of log odds ratios as one of odds ratios."""
    return None if ends is None else [None if end is None or end > 700 else math.exp(end) for end in ends]


def _contrasts(results: Row) -> list[Row]:
    rows = []
    for model in results.get("ordinal") or []:
        tost = {frozenset((e["a"], e["b"])): e for e in model.get("equivalence") or []}
        for c in pairs(model.get("contrasts"), results):
            p_tost = tost.get(frozenset((c["a"], c["b"])), {}).get("p_tost")
            rows.append(c | {"construct": model["construct"], "p_tost": p_tost})
    return rows


def _contrasts_plain(results: Row) -> list[Row]:
    return [
        c | {"construct": model["construct"]}
        for model in _sensitivity(results, "without_covariates")
        for c in pairs(model.get("contrasts"), results)
    ]


def _model_terms(results: Row) -> list[Row]:
    """Every fixed effect and threshold of the primary models."""
    rows = []
    for model in results.get("ordinal") or []:
        terms = [
            c | {"term": f"{c['condition']} (against {model['reference']})"} for c in model.get("coefficients") or []
        ]
        terms += model.get("covariates") or []
        terms += [t | {"term": f"threshold {t['cut'].replace('.0', '')}"} for t in model.get("thresholds") or []]
        rows += [term | {"construct": model["construct"]} for term in terms]
    return rows


def _ols(results: Row) -> list[Row]:
    """The coefficients of the reference's regressions."""
    return [
        {
            "model": f"{'with' if m['background'] else 'no'} background, outliers {'removed' if m['outliers_removed'] else 'kept'}",
            "n": m.get("n"),
            **coefficient,
        }
        for m in (results.get("ols") or {}).get("models") or []
        for coefficient in m.get("coefficients") or []
    ]


def _ols_conditions(results: Row) -> list[Row]:
    """Those of the conditions and covariates alone."""
    data = results["data"]
    wanted = (*condition_order(results), *data["covariates"])
    return [row for row in _ols(results) if any(row["term"] == w or w in str(row["term"]).split(": ") for w in wanted)]


def _variants(results: Row) -> list[Row]:
    """Each construct's Holm-adjusted p under the primary model and the others."""
    found: dict[str, Row] = {}
    for column, key in VARIANTS.items():
        for model in (results.get(key) if key == "ordinal" else _sensitivity(results, key)) or []:
            row = found.setdefault(model["construct"], {"construct": model["construct"]})
            adjusted = model.get("p_holm")
            row[column] = adjusted if adjusted is not None else model.get("p")
    return list(found.values())


def _exclusions(results: Row) -> list[Row]:
    """The primary tests with each exclusion rule left out."""
    return [
        {**model, "without": entry["without"], "participants": entry["participants"], "trials": entry["trials"]}
        for entry in _sensitivity(results, "exclusions")
        for model in entry["ordinal"]
    ]


def _joint(results: Row) -> list[Row]:
    found = results.get("assumptions") or {}
    box, normal = found.get("box_m"), found.get("henze_zirkler")
    rows = [{"test": "Box's M (equal covariances), χ²", "statistic": box.get("chi2"), **box}] if box else []
    return rows + (
        [{"test": "Henze–Zirkler (normality), HZ", "statistic": normal.get("hz"), **normal}] if normal else []
    )


def _sensitivity(results: Row, key: str) -> list[Row]:
    return list((results.get("sensitivity") or {}).get(key) or [])


def _signed(key: str) -> Callable[[Row], list[Row]]:
    """Rows of the sensitivity part that are about a pair."""
    return lambda results: [row | {"pair": f"{row['b']} − {row['a']}"} for row in _sensitivity(results, key)]


def part(key: str, name: str) -> Callable[[Row], list[Row]]:
    """The list `name` inside the part `key` of the results."""
    return lambda results: list((results.get(key) or {}).get(name) or [])


# name of a table: its rows, where they are not the list of the same name in the results
ROWS: dict[str, Callable[[Row], list[Row]]] = {
    "contrasts": _contrasts,
    "contrasts_without_covariates": _contrasts_plain,
    "model_terms": _model_terms,
    "linear": lambda r: pairs((r.get("linear") or {}).get("contrasts"), r),
    "dunn": lambda r: pairs(r.get("dunn"), r),
    "reliability": part("reliability", "items"),
    "ols": _ols,
    "ols_conditions": _ols_conditions,
    "multivariate": part("multivariate", "constructs"),
    "sensitivity_models": _variants,
    "proportional_odds": part("sensitivity", "proportional_odds"),
    "exclusions": _exclusions,
    "leave_one_out": _signed("leave_one_out"),
    "dropped": _signed("dropped"),
    "shapiro_wilk": part("assumptions", "shapiro_wilk"),
    "levene": part("assumptions", "levene"),
    "joint": _joint,
    "background": lambda r: list(r["data"].get("background") or []),
}
