"""Accuracies of runs by method and size: the reference study's analysis of variance, with and without its outlier removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from app.errors import InputError
from app.statistics import pingouin_adapter
from app.statistics.analysis import Progress, versions
from app.statistics.assumptions import levene_of
from app.statistics.data import natural
from app.statistics.mixed_result import Row, plain
from app.statistics.outliers import EXTREME, is_outlier
from app.statistics.permutation import freedman_lane
from app.statistics.table import Table, raise_problems, read_table, table_from_frame

JOINT = " / "
"""Joins the values of several method columns to a method's name."""


@dataclass(frozen=True)
class AccuracyData:
    """runs: row (in the file), method, size, run, value; warnings: what doesn't stop the analysis."""

    name: str
    sha256: str
    outcome: str
    runs: pd.DataFrame
    methods: list[str]
    sizes: list[str]
    warnings: list[str]


def read_accuracies(
    source: str | Path | pd.DataFrame,
    *,
    outcome: str,
    method: Sequence[str],
    size: str,
    run: str,
    include: Sequence[str] = (),
) -> AccuracyData:
    """Read and check a table of runs; `include` keeps only those methods, in that order.

    A method's name joins the values of its columns. Raises InputError with one line per problem.
    """
    table = table_from_frame(source) if isinstance(source, pd.DataFrame) else read_table(source)
    roles = [(outcome, "outcome"), *((name, "method") for name in method), (size, "size"), (run, "run")]
    problems = [problem for name, role in roles if (problem := table.absent(name, role))]
    names = [name for name, _ in roles]
    problems += [f"the column {name!r} is given twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    if not method:
        problems.append("no method column is given")
    raise_problems(table.name, problems)
    raise_problems(table.name, _cells(table, roles))
    labels = [JOINT.join(parts) for parts in zip(*(table.columns[name] for name in method), strict=True)]
    runs = pd.DataFrame({"row": np.arange(table.rows) + 2, "method": labels, "size": table.columns[size]})
    runs = runs.assign(run=table.columns[run], value=table.numbers(outcome))
    found = sorted(set(labels), key=natural)
    unknown = [
        f"there is no method {name!r}; the methods are {', '.join(found)}" for name in include if name not in found
    ]
    raise_problems(table.name, unknown)
    if include:
        runs = runs[runs["method"].isin(include)].reset_index(drop=True)
    methods = list(dict.fromkeys(include)) or found
    sizes = sorted(set(runs["size"]), key=natural)
    if len(methods) < 2:
        raise InputError(f"{table.name}: the only method is {methods[0]!r}; a comparison needs two")
    runs = runs.sort_values(
        ["method", "size", "run", "value"], kind="stable", key=lambda c: c.map(str) if c.name != "value" else c
    )
    return AccuracyData(table.name, table.sha256, outcome, runs.reset_index(drop=True), methods, sizes, _warnings(runs))


def _cells(table: Table, roles: list[tuple[str, str]]) -> list[str]:
    out: list[tuple[int, str]] = []
    for name, role in roles:
        missing = table.missing(name)
        bad = missing | ~np.isfinite(table.numbers(name)) if role == "outcome" else missing
        for at in np.flatnonzero(bad).tolist():
            cell = table.columns[name][at]
            text = f"the {role} is empty" if missing[at] else f"{cell!r} is not a number"
            out.append((at, f"row {table.row(at)}, column {name}: {text}"))
    return [text for _, text in sorted(out, key=lambda entry: entry[0])]


def _warnings(runs: pd.DataFrame) -> list[str]:
    out = []
    for (method, size, run), own in runs.groupby(["method", "size", "run"], sort=True):
        if len(own) > 1:
            rows = ", ".join(str(row) for row in sorted(own["row"]))
            out.append(f"Run {run} of {method}, {size}, is there {len(own)} times (rows {rows}); each counts as a run.")
    for (method, size), own in runs.groupby(["method", "size"], sort=True):
        if len(own) < 3:
            out.append(
                f"{method}, {size}, has {len(own)} run{'s' if len(own) > 1 else ''}: its spread is hardly known."
            )
    return out


def analyze_accuracy(
    data: AccuracyData,
    *,
    alpha: float = 0.05,
    seed: int = 0,
    permutations: int = 9999,
    progress: Progress | None = None,
) -> Row:
    """The content of accuracy.json: data, cells, outliers, and `all_runs` and `without_outliers` with anova, tukey, levene,
    shapiro_wilk, permutation.

    Outliers are single rows outside 1.5 IQR of their method × size (the reference study removed by key, which takes
    duplicates along). Removing them from cells of five or six runs is the reference's choice, shown beside, not advice.
    """
    if not 0.0 < alpha < 0.5:
        raise InputError(f"alpha is {alpha:g}; it must lie between 0 and 0.5")
    runs = data.runs
    group = (runs["method"] + "\0" + runs["size"]).to_numpy(str)
    values = runs["value"].to_numpy(float)
    outlier, extreme = is_outlier(values, group), is_outlier(values, group, EXTREME)
    out: Row = {
        "data": {
            "file": data.name,
            "sha256": data.sha256,
            "outcome": data.outcome,
            "runs": len(runs),
            "methods": data.methods,
            "sizes": data.sizes,
            "warnings": data.warnings,
            "seed": seed,
            "options": {"alpha": alpha, "permutations": permutations},
            "versions": versions(),
        },
        "cells": [_cell(runs, outlier, method, size, alpha) for size in data.sizes for method in data.methods],
        "outliers": [
            {**runs.iloc[at][["row", "method", "size", "run", "value"]].to_dict(), "extreme": bool(extreme[at])}
            for at in np.flatnonzero(outlier)
        ],
    }
    for at, (name, keep) in enumerate((("all_runs", np.ones(len(runs), bool)), ("without_outliers", ~outlier))):
        if progress:
            progress(name, at, 2)
        out[name] = _analysis(data, runs[keep], alpha, seed, permutations)
    result: Row = plain(out)
    return result


def _cell(runs: pd.DataFrame, outlier: np.ndarray, method: str, size: str, alpha: float) -> Row:
    """One method at one size: mean with its t interval over runs, with and without outliers."""
    own = ((runs["method"] == method) & (runs["size"] == size)).to_numpy()
    row: Row = {"method": method, "size": size}
    for prefix, keep in (("", own), ("kept_", own & ~outlier)):
        values = runs["value"].to_numpy(float)[keep]
        n = len(values)
        sd = values.std(ddof=1) if n > 1 else None
        half = stats.t.isf(alpha / 2, n - 1) * sd / np.sqrt(n) if sd is not None else None
        mean = values.mean() if n else None
        row |= {f"{prefix}n": n, f"{prefix}mean": mean, f"{prefix}sd": sd}
        row[f"{prefix}se"] = None if sd is None else sd / np.sqrt(n)
        row[f"{prefix}ci"] = None if half is None else [mean - half, mean + half]
    return row


def _analysis(data: AccuracyData, runs: pd.DataFrame, alpha: float, seed: int, permutations: int) -> Row:
    values = runs["value"].to_numpy(float)
    method, size = runs["method"].to_numpy(str), runs["size"].to_numpy(str)
    groups = {(m, s): values[(method == m) & (size == s)] for s in data.sizes for m in data.methods}
    spread = [own for own in groups.values() if len(own)]
    result: Row = {"n": len(values), "anova": [], "permutation": [], "reason": None}
    result["reason"] = _why_not(groups, values)
    if result["reason"] is None:
        result["anova"] = _anova(values, method, size)
        result["permutation"] = freedman_lane(values, method, size, permutations=permutations, seed=seed)
    result["tukey"] = [row for s in data.sizes for row in _tukey(data.methods, groups, s, alpha)]
    result["levene"] = levene_of(spread, "a method and size has fewer than two runs")
    result["shapiro_wilk"] = [{"method": m, "size": s, **_shapiro(own)} for (m, s), own in groups.items()]
    return result


def _why_not(groups: dict[tuple[str, str], np.ndarray], values: np.ndarray) -> str | None:
    """Why there is no two-way analysis; None if there is one."""
    empty = [f"{method} at {size}" for (method, size), own in groups.items() if not len(own)]
    if len({size for _, size in groups}) < 2:
        return "there is one size only; see the comparison within it"
    if empty:
        return f"no run of {', '.join(empty)}: the two-way analysis needs all combinations"
    if len(values) <= len(groups):
        return "one run per method and size leaves no error to compare with"
    if all(np.ptp(own) == 0 for own in groups.values()):
        return "the runs of each method and size have the same value"
    return None


def _anova(values: np.ndarray, method: np.ndarray, size: np.ndarray) -> list[Row]:
    """Type II; generalised eta² equals partial eta² because both factors are set by the experimenter (Olejnik and Algina 2003)."""
    table = pingouin_adapter.anova_two_way(values, method, size)
    error, df_error = table["residual"]
    rows: list[Row] = []
    for effect, name in (("a", "method"), ("b", "size"), ("a:b", "method:size")):
        ss, df = table[effect]
        f = (ss / df) / (error / df_error)
        eta = ss / (ss + error)
        row: Row = {"effect": name, "ss": ss, "df": df, "ms": ss / df, "F": f, "p": stats.f.sf(f, df, df_error)}
        rows.append(row | {"partial_eta_squared": eta, "generalised_eta_squared": eta})
    none = dict.fromkeys(("F", "p", "partial_eta_squared", "generalised_eta_squared"))
    return [*rows, {"effect": "residual", "ss": error, "df": df_error, "ms": error / df_error, **none}]


def _tukey(methods: list[str], groups: dict[tuple[str, str], np.ndarray], size: str, alpha: float) -> list[Row]:
    """Tukey-Kramer comparisons b - a within one size, with that size's own error."""
    present = [method for method in methods if len(groups[method, size])]
    own = [groups[method, size] for method in present]
    n = sum(map(len, own))
    enough = len(own) > 1 and n > len(own) and any(np.ptp(g) for g in own)
    error = sum(float(((g - g.mean()) ** 2).sum()) for g in own) / (n - len(own)) if enough else 0.0
    rows: list[Row] = []
    for i, a in enumerate(present):
        for j in range(i + 1, len(present)):
            row: Row = {"size": size, "a": a, "b": present[j], "estimate": own[j].mean() - own[i].mean()}
            row |= {"se": None, "ci": None, "p": None, "reason": None if enough else "the error can't be estimated"}
            if enough:
                # of the studentised range: half the variance of the difference
                se = np.sqrt(error / 2 * (1 / len(own[i]) + 1 / len(own[j])))
                half = stats.studentized_range.isf(alpha, len(own), n - len(own)) * se
                row["se"] = se * np.sqrt(2)
                row["ci"] = [row["estimate"] - half, row["estimate"] + half]
                row["p"] = stats.studentized_range.sf(abs(row["estimate"]) / se, len(own), n - len(own))
            rows.append(row)
    return rows


def _shapiro(values: np.ndarray) -> Row:
    row: Row = {"n": len(values), "W": None, "p": None, "reason": None}
    if len(values) < 4:
        return row | {"reason": "fewer than four runs"}
    if np.ptp(values) == 0:
        return row | {"reason": "every run has the same value"}
    row["W"], row["p"] = pingouin_adapter.shapiro(values)
    return row
