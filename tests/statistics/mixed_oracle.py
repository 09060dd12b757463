"""Our mixed models against R's: the largest absolute difference of each quantity. Used by the tests and by benchmarks/agreement.py."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app.statistics.linear_mixed import fit_linear
from app.statistics.mixed_result import LinearResult, OrdinalResult
from app.statistics.ordinal import fit_ordinal

GOLDEN = Path(__file__).parent / "oracle" / "mixed.json"
COLUMNS = {"response": "y", "condition": "condition", "participant": "participant", "item": "item"}


def golden() -> dict[str, Any]:
    """What oracle_mixed.R wrote."""
    return dict(json.loads(GOLDEN.read_text()))


def options_of(case: dict[str, Any]) -> dict[str, Any]:
    """The arguments beside COLUMNS that ask for the case's model."""
    options: dict[str, Any] = {"covariates": case["covariates"]}
    if "explanation" in case["terms"]:
        options["explanation"] = "explanation"
    return options


def ordinal_of(case: dict[str, Any]) -> OrdinalResult:
    """Our ordinal model of a golden case."""
    cells = "participant:condition" in case["terms"]
    return fit_ordinal(pd.DataFrame(case["data"]), **COLUMNS, **options_of(case), participant_condition=cells)


def linear_of(case: dict[str, Any]) -> LinearResult:
    """Our linear model of a golden case."""
    return fit_linear(pd.DataFrame(case["data"]), **COLUMNS, **options_of(case))


def largest(ours: Iterable[Any], theirs: Iterable[Any]) -> float:
    """max |ours - theirs|; a length or a missing number that differs is infinite."""
    a, b = list(ours), list(theirs)
    if len(a) != len(b) or any(x is None for x in a):
        return float("inf")
    return float(np.max(np.abs(np.asarray(a, dtype=float) - np.asarray(b, dtype=float)), initial=0.0))


def as_list(value: Any) -> list[Any]:
    """R writes a vector of length one as a number."""
    return value if isinstance(value, list) else [value]


def in_our_order(terms: Sequence[str], conditions: Sequence[str], covariates: Sequence[dict[str, Any]]) -> list[int]:
    """Where R's term names are among our conditions without the reference, then our covariate terms."""
    ours = [f"condition{label}" for label in conditions] + [
        row["term"].replace("[", "").replace("]", "") for row in covariates
    ]
    names = [term.replace("~", "-") for term in terms]
    return [names.index(name) for name in ours]


def ordinal_differences(result: OrdinalResult, theirs: dict[str, Any]) -> dict[str, float]:
    """Largest absolute difference per quantity of the ordinal model."""
    rows = [*result.coefficients, *result.covariates]
    terms, estimates, ses, ps = (as_list(theirs[key]) for key in ("terms", "estimates", "ses", "ps"))
    order = in_our_order(terms, [row["condition"] for row in result.coefficients], result.covariates)
    out = {
        "thresholds": largest((row["estimate"] for row in result.thresholds), as_list(theirs["thresholds"])),
        "thresholds' se": largest((row["se"] for row in result.thresholds), as_list(theirs["thresholds_se"])),
        "estimates": largest((row["estimate"] for row in rows), [estimates[i] for i in order]),
        "se": largest((row["se"] for row in rows), [ses[i] for i in order]),
        "p of estimates": largest((row["p"] for row in rows), [ps[i] for i in order]),
        "sd": largest((result.sd[name] for name in theirs["sd"]), theirs["sd"].values()),
        "log-likelihood": largest(
            [result.log_likelihood, result.log_likelihood_null],
            [theirs["log_likelihood"], theirs["log_likelihood_null"]],
        ),
        "p of LR test": largest([result.p], [theirs["p"]]),
    }
    names = [name.replace("_x_", ":") for name in theirs["modes"]]
    modes = [(row["mode"], row["sd"] ** 2) for name in names for row in result.random_effects[name]]
    out["modes"] = largest((m for m, _ in modes), [x for rows in theirs["modes"].values() for x in rows])
    out["modes' variance"] = largest(
        (v for _, v in modes), [x for rows in theirs["mode_variances"].values() for x in rows]
    )
    contrasts = theirs.get("contrasts") or {}
    if contrasts:
        out |= contrast_differences(result.contrasts, contrasts)
        theirs_tost = in_our_direction(result.contrasts, contrasts)["p_tost"]
        out["p of equivalence"] = largest((row["p_tost"] for row in result.equivalence), theirs_tost)
    return out


def contrast_differences(ours: list[dict[str, Any]], theirs: dict[str, Any]) -> dict[str, float]:
    """Largest absolute differences of contrasts: estimates and standard errors, intervals, adjusted p values."""
    get = in_our_direction(ours, theirs)
    return {
        "contrasts": max(largest((row[key] for row in ours), get[key]) for key in ("estimate", "se")),
        "contrasts' ci": max(
            largest((row["ci"][end] for row in ours), get[key]) for end, key in enumerate(("low", "high"))
        ),
        "p of contrasts": max(largest((row[key] for row in ours), get[key]) for key in ("p_tukey", "p_holm")),
    }


def in_our_direction(ours: list[dict[str, Any]], theirs: dict[str, Any]) -> dict[str, list[float]]:
    """R's contrasts in our order and direction: R sorts conditions by the locale, we by character. '~' stands for '-'."""
    columns = {key: as_list(value) for key, value in theirs.items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    named = {(row["a"].replace("~", "-"), row["b"].replace("~", "-")): row for row in rows}
    for (a, b), row in list(named.items()):
        turned = {"estimate": -row["estimate"], "low": -row["high"], "high": -row["low"]}
        named[b, a] = row | turned
    return {key: [named[row["a"], row["b"]][key] for row in ours] for key in columns if key not in ("a", "b")}


def linear_differences(result: LinearResult, theirs: dict[str, Any]) -> dict[str, float]:
    """Largest absolute difference per quantity of the linear model; degrees of freedom relative to R's."""
    rows = result.coefficients
    covariates = [row for row in rows if row["condition"] is None and row["term"] != "(Intercept)"]
    order = [theirs["terms"].index("(Intercept)")]
    order += in_our_order(theirs["terms"], [row["condition"] for row in rows if row["condition"]], covariates)
    get = {key: [theirs[key][i] for i in order] for key in ("estimates", "ses", "dfs", "ps")}
    contrasts = theirs["contrasts"]
    sds = [result.sd.get(name, result.residual_sd) for name in theirs["sd"]]
    return {
        "estimates": largest((row["estimate"] for row in rows), get["estimates"]),
        "se": largest((row["se"] for row in rows), get["ses"]),
        "df (relative)": max(
            largest((row["df"] / df for row, df in zip(rows, get["dfs"], strict=True)), np.ones(len(rows))),
            largest(
                (
                    row["df"] / df
                    for row, df in zip(
                        result.contrasts, in_our_direction(result.contrasts, contrasts)["df"], strict=True
                    )
                ),
                np.ones(len(result.contrasts)),
            ),
        ),
        "p of estimates": largest((row["p"] for row in rows), get["ps"]),
        "sd": largest(sds, theirs["sd"].values()),
        "log-likelihood": largest([result.log_likelihood], [theirs["log_likelihood"]]),
        "F": largest([result.test["F"]], [theirs["test"]["F"]]),
        "p of F": largest([result.test["p"]], [theirs["test"]["p"]]),
        "R²": largest([result.r2_marginal, result.r2_conditional], [theirs["r2_marginal"], theirs["r2_conditional"]]),
        **contrast_differences(result.contrasts, contrasts),
    }
