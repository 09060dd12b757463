"""The report's tables, from the results: each with exact values (CSV) and as it is printed (HTML, LaTeX)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd

from app.reports.formats import text
from app.reports.table_rows import ROWS
from app.reports.table_specifications import SPECIFICATIONS, Specification

Row = dict[str, Any]
ONLY_FILES = ("ols", "background")  # too long for the page, or said there in another form


@dataclass(frozen=True)
class ReportTable:
    """A table with its file name, title, note, exact values, what is printed, and which printed columns are text."""

    name: str
    title: str
    note: str
    values: pd.DataFrame
    shown: pd.DataFrame
    texts: tuple[bool, ...]

    @property
    def groups(self) -> list[tuple[str, list[list[str]]]]:
        """Printed rows in runs of equal first cells: (first cell, the rows' other cells)."""
        rows = self.shown.to_numpy().tolist()
        return [(first, [row[1:] for row in run]) for first, run in groupby(rows, key=lambda row: str(row[0]))]


def make_table(
    name: str, rows: list[Row], level: str = "95%", specifications: Mapping[str, Specification] = SPECIFICATIONS
) -> ReportTable | None:
    """One table from its rows; None without rows. Columns without any value are left out of what is printed."""
    if not rows:
        return None
    specification = specifications[name]
    printed = {
        header.replace("95%", level): (form is text, [form(field(row, path)) for row in rows])
        for header, (path, form) in specification.columns.items()
        if any(field(row, path) is not None for row in rows)
    }
    return ReportTable(
        name,
        specification.title.replace("95%", level),
        specification.note.replace("95%", level),
        pd.DataFrame([exact(row, specification) for row in rows], dtype=object),
        pd.DataFrame({header: cells for header, (_, cells) in printed.items()}, dtype=object),
        tuple(is_text for is_text, _ in printed.values()),
    )


def exact(row: Row, specification: Specification) -> Row:
    """A row of the CSV file: fields by their names, a pair as a and b, intervals as _low and _high, lists joined by spaces."""
    out: Row = {}
    for path in dict.fromkeys([*(path for path, _ in specification.columns.values()), *specification.more]):
        name = path.replace(".", "_")
        value = field(row, path)
        if path == "pair":
            out |= {"a": row["a"], "b": row["b"]}
        elif name.endswith("_ci") or name.startswith("ci") or "_ci_" in name:
            low, high = value or (None, None)
            out |= {f"{name}_low": low, f"{name}_high": high}
        else:
            out[name] = " ".join(map(str, value)) if isinstance(value, list) else value
    return out


def field(row: Row, path: str) -> Any:
    """`sd.participant` of a row; None where there is none."""
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def all_tables(results: Row, extra: dict[str, list[Row]] | None = None) -> dict[str, ReportTable]:
    """All tables that the results give, by name. extra: rows of tables that are not in the results."""
    level = f"{100 * (1 - results['data']['options']['alpha']):g}%"
    made = {}
    for name in SPECIFICATIONS:
        rows = (extra or {}).get(name) or (ROWS[name](results) if name in ROWS else list(results.get(name) or []))
        table = make_table(name, rows, level)
        if table is not None:
            made[name] = table
    return made


def covariate_rows(data: Any) -> list[Row]:
    """[covariate, condition, n, mean, sd, median, min, max] of the covariates that are numbers. data: the RatingsData analysed."""
    rows = []
    for name in data.covariates:
        if not pd.api.types.is_numeric_dtype(data.trials[name]):
            continue
        for condition in data.conditions:
            values = data.trials.loc[data.trials["condition"] == condition, name].dropna()
            spread = {"sd": float(values.std()) if len(values) > 1 else None}
            told = {
                key: float(getattr(values, key)()) if len(values) else None for key in ("mean", "median", "min", "max")
            }
            rows.append({"covariate": name, "condition": condition, "n": len(values)} | told | spread)
    return rows
