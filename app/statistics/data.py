"""Ratings as the analyses take them: one row per trial, checked, in an order that does not depend on the file's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.statistics import checks
from app.statistics.table import Table, raise_problems, read_table, table_from_frame

LONG = ("construct", "value")
TRIAL_END = ("shown_at", "submitted_at", "duration_seconds")


@dataclass(frozen=True)
class Columns:
    """Which column of a file has which role. None: not there, or (for the first four) Blindrate's own name."""

    participant: str | None = None
    item: str | None = None
    condition: str | None = None
    constructs: tuple[str, ...] = ()
    explanation: str | None = None
    covariates: tuple[str, ...] = ()
    background: tuple[str, ...] = ()
    position: str | None = None
    slot: str | None = None
    excluded: str | None = None
    """Names the rule by which a trial was excluded (several: separated by ';'); empty where it was not."""


@dataclass(frozen=True)
class RatingsData:
    """Checked ratings.

    `trials`: one row per trial, sorted by participant, condition, item; columns row (in the file), participant, position,
    condition, item, explanation, slot, excluded, the covariates, and one column of numbers per construct (NaN: missing).
    `background`: one row per participant (index), text. `conditions`: the reference first, the rest in order.
    """

    name: str
    sha256: str
    trials: pd.DataFrame
    background: pd.DataFrame
    constructs: list[str]
    conditions: list[str]
    covariates: list[str]
    low: int
    high: int
    rows: int
    """Rows of the file."""
    columns: Columns
    warnings: list[str] = field(default_factory=list)
    """What a reader must know and what doesn't stop the analysis."""

    @property
    def quality(self) -> str:
        """The name of the mean of all constructs."""
        return "Quality" if "Quality" not in self.constructs else "Quality (mean)"

    @property
    def measures(self) -> list[str]:
        """The constructs, and their mean where there are several."""
        return [*self.constructs, self.quality] if len(self.constructs) > 1 else list(self.constructs)

    @property
    def rules(self) -> list[str]:
        """The exclusion rules that occur."""
        return sorted({rule for cell in set(self.trials["excluded"]) for rule in split_rules(cell)})

    @property
    def kept(self) -> RatingsData:
        """The ratings that no rule excludes."""
        return self.subset((self.trials["excluded"] == "").to_numpy(bool))

    @property
    def has_position(self) -> bool:
        """Whether the order in which a participant saw the trials is known."""
        return bool(self.trials["position"].notna().any())

    @property
    def several_raters(self) -> bool:
        """Whether any explanation was rated by at least two participants."""
        return bool((self.trials.groupby("explanation")["participant"].nunique() > 1).any())

    def values(self, measure: str) -> NDArray[np.float64]:
        """(trials,) the values of a construct, or of the mean (NaN where any construct is missing)."""
        if measure in self.constructs:
            return self.trials[measure].to_numpy(float)
        return self.trials[self.constructs].to_numpy(float).mean(axis=1)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """`trials` with the mean of the constructs as a column, and condition as a categorical in the study's order."""
        condition = pd.Categorical(self.trials["condition"], self.conditions)
        return self.trials.assign(**{measure: self.values(measure) for measure in self.measures}, condition=condition)

    @cached_property
    def ratings(self) -> pd.DataFrame:
        """Long: participant, position, condition, item, explanation, construct, value; missing values left out."""
        keys = ["participant", "position", "condition", "item", "explanation"]
        return self.trials.melt(keys, self.constructs, "construct", "value").dropna(subset="value")

    def subset(self, keep: NDArray[np.bool_]) -> RatingsData:
        """The same ratings with only the trials where `keep` (trials,) is True."""
        trials = self.trials[keep].reset_index(drop=True)
        background = self.background.loc[self.background.index.isin(trials["participant"])]
        present = [condition for condition in self.conditions if (trials["condition"] == condition).any()]
        return replace(self, trials=trials, background=background, conditions=present)


def read_ratings(
    path: str | Path,
    columns: Columns | None = None,
    *,
    reference: str | None = None,
    scale: tuple[int, int] | None = None,
) -> RatingsData:
    """Read a CSV of ratings, wide (a row per trial) or long (a row per rating), and check it.

    Blindrate's own ratings.csv and trials.csv need no `columns`. `scale` is the lowest and the highest point (default: the
    lowest and highest value found). Raises InputError with one line per problem.
    """
    return build(read_table(path), columns or Columns(), reference, scale)


def from_frame(
    frame: pd.DataFrame,
    columns: Columns | None = None,
    *,
    reference: str | None = None,
    scale: tuple[int, int] | None = None,
    name: str = "data",
) -> RatingsData:
    """Like `read_ratings`, from a DataFrame laid out as such a file."""
    return build(table_from_frame(frame, name), columns or Columns(), reference, scale)


def build(table: Table, columns: Columns, reference: str | None, scale: tuple[int, int] | None) -> RatingsData:
    """Columns found, long made wide, everything checked. Raises InputError."""
    columns = recognise(table, columns)
    raise_problems(table.name, checks.column_problems(table, columns))
    rows = table.rows
    if not columns.constructs:
        raise_problems(table.name, checks.long_problems(table, columns))
        table, columns, source = _widen(table, columns)
    else:
        source = checks.Source(np.arange(table.rows) + 2, {})
    raise_problems(table.name, checks.cell_problems(table, columns, source))
    low, high = scale or checks.found_scale(table, columns)
    raise_problems(table.name, checks.scale_problems(table, columns, source, low, high))
    trials = _trials(table, columns, source.rows)
    raise_problems(table.name, checks.design_problems(trials, columns, reference))
    conditions = sorted(set(trials["condition"]), key=natural)
    first = reference if reference is not None else conditions[0]
    background = trials.assign(**{name: table.columns[name] for name in columns.background})
    background = background.groupby("participant", sort=False)[list(columns.background)].first()
    order = sorted(
        range(len(trials)),
        key=lambda at: tuple(
            natural(trials[role].iat[at]) for role in ("participant", "condition", "item", "explanation")
        ),
    )
    trials = trials.iloc[order].reset_index(drop=True)
    data = RatingsData(
        name=table.name,
        sha256=table.sha256,
        trials=trials,
        background=background.loc[sorted(background.index, key=natural)],
        constructs=list(columns.constructs),
        conditions=[first, *(condition for condition in conditions if condition != first)],
        covariates=list(columns.covariates),
        low=low,
        high=high,
        rows=rows,
        columns=columns,
    )
    return replace(data, warnings=checks.warnings(data, reference, scale))


def split_rules(cell: str) -> list[str]:
    """The rules named in a cell of the column of exclusions."""
    return [rule.strip() for rule in cell.split(";") if rule.strip()]


def natural(label: object) -> tuple[int, float, str]:
    """A key that sorts numbers by value, before text."""
    text = str(label)
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def recognise(table: Table, columns: Columns) -> Columns:
    """`columns` completed from Blindrate's own headers."""
    has = table.columns.__contains__
    names = list(table.columns)
    found = replace(
        columns,
        participant=columns.participant or "participant",
        item=columns.item or ("question_id" if has("question_id") else "item"),
        condition=columns.condition or "condition",
        explanation=columns.explanation or ("explanation_id" if has("explanation_id") else None),
        position=columns.position or ("position" if has("position") else None),
    )
    ours = "explanation_id" in names and not columns.constructs
    if ours and "explanation_length" in names:
        start, end = names.index("explanation_id") + 1, names.index("explanation_length")
        after = [name for name in names[end + 1 :] if name not in TRIAL_END]
        found = replace(
            found,
            constructs=tuple(names[start:end]),
            covariates=columns.covariates or ("explanation_length",),
            background=columns.background or tuple(after),
        )
    return found


def _widen(table: Table, columns: Columns) -> tuple[Table, Columns, checks.Source]:
    """A long table with one row per trial, the constructs in order of first appearance; and each trial's first row."""
    kept = [name for name in table.columns if name not in LONG]
    keys = [name for name in (columns.participant, columns.condition, columns.item, columns.explanation) if name]
    frame = pd.DataFrame(table.columns)
    code = frame.groupby(keys, sort=False).ngroup().to_numpy()
    _, first = np.unique(code, return_index=True)
    constructs = list(dict.fromkeys(frame["construct"]))
    wide = {name: table.columns[name][first] for name in kept}
    rows = {}
    for construct in constructs:
        cells = np.full(len(first), "", dtype=object)
        chosen = (frame["construct"] == construct).to_numpy()
        cells[code[chosen]] = table.columns["value"][chosen]
        wide[construct] = cells
        rows[construct] = first + 2
        rows[construct][code[chosen]] = np.flatnonzero(chosen) + 2
    source = checks.Source(first + 2, rows)
    return Table(table.name, table.sha256, wide), replace(columns, constructs=tuple(constructs)), source


def _trials(table: Table, columns: Columns, rows: NDArray[np.intp]) -> pd.DataFrame:
    assert columns.participant and columns.item and columns.condition
    text = table.columns
    trials = pd.DataFrame({"row": rows, "participant": text[columns.participant]})
    trials["position"] = table.numbers(columns.position) if columns.position else np.nan
    trials["condition"], trials["item"] = text[columns.condition], text[columns.item]
    # without a column of its own, an explanation is what a condition says about an item
    trials["explanation"] = (
        text[columns.explanation] if columns.explanation else trials["condition"] + "/" + trials["item"]
    )
    trials["slot"] = text[columns.slot] if columns.slot else None
    trials["excluded"] = (
        np.where(table.missing(columns.excluded), "", text[columns.excluded]) if columns.excluded else ""
    )
    for name in columns.covariates:
        numbers = table.numbers(name)
        trials[name] = numbers if np.isfinite(numbers).any() else text[name]
    for name in columns.constructs:
        trials[name] = table.numbers(name)
    return trials
