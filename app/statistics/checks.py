"""What must hold before ratings are analysed (problems stop), and what a reader must know (warnings don't)."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from app.statistics.data import Columns, RatingsData
    from app.statistics.table import Table

MOST_POINTS = 11
RESERVED = ("row", "participant", "position", "condition", "item", "explanation", "slot", "excluded")


@dataclass(frozen=True)
class Source:
    """Where the cells of a wide table stand in the file: rows (n,) of a trial, and of each rating in a long file."""

    rows: NDArray[np.intp]
    cells: dict[str, NDArray[np.intp]]

    def at(self, construct: str, index: int) -> str:
        """'row 7, column Plausibility'; in a long file 'row 7, column value (Plausibility)'."""
        if construct in self.cells:
            return f"row {self.cells[construct][index]}, column value ({construct})"
        return f"row {self.rows[index]}, column {construct}"


def _where(mask: NDArray[np.bool_]) -> list[int]:
    """Indices where `mask` is True."""
    found: list[int] = np.flatnonzero(mask).tolist()
    return found


def option_problems(
    alpha: float, equivalence: float, seed: int, bootstrap: int, permutations: int, scale: tuple[int, int] | None
) -> list[str]:
    """Problems of the analysis options."""
    out = []
    if not 0.0 < alpha < 0.5:
        out.append(f"alpha is {alpha:g}; it must lie between 0 and 0.5")
    if not 1.0 < equivalence < np.inf:
        out.append(f"equivalence is {equivalence:g}; it is an odds ratio and must be above 1")
    if seed < 0:
        out.append(f"seed is {seed}; it must be 0 or more")
    if bootstrap < 100:
        out.append(f"bootstrap is {bootstrap}; at least 100 resamples are needed")
    if permutations < 99:
        out.append(f"permutations is {permutations}; at least 99 are needed")
    if scale and not 1 <= scale[1] - scale[0] < MOST_POINTS:
        out.append(f"the scale {scale[0]} to {scale[1]} must have 2 to {MOST_POINTS} points, the lowest first")
    return out


def column_problems(table: Table, columns: Columns) -> list[str]:
    """Columns that aren't there, or are used twice."""
    roles = [
        (columns.participant, "participant"),
        (columns.item, "item"),
        (columns.condition, "condition"),
        (columns.explanation, "explanation"),
        (columns.slot, "slot"),
        (columns.position, "position"),
        (columns.excluded, "excluded"),
        *((name, "construct") for name in columns.constructs),
        *((name, "covariate") for name in columns.covariates),
        *((name, "background") for name in columns.background),
    ]
    used = [(name, role) for name, role in roles if name is not None]
    out = [problem for name, role in used if (problem := table.absent(name, role))]
    for name, n in Counter(name for name, _ in used).items():
        if n > 1:
            which = [role for other, role in used if other == name]
            if sorted(which) != ["covariate", "position"]:
                out.append(f"the column {name!r} is given {n} times: as {', '.join(which)}")
    for name, role in used:
        if role in ("construct", "covariate") and name in RESERVED and name != "position":
            out.append(f"the {role} {name!r} has a name that the analysis needs; rename the column")
    if not columns.constructs:
        lacking = [name for name in ("construct", "value") if name not in table.columns]
        if lacking:
            out.append(
                "no column holds the ratings: name them with --constructs, or give a long file with the columns "
                f"'construct' and 'value'; the columns are {', '.join(table.columns)}"
            )
    return out


def long_problems(table: Table, columns: Columns) -> list[str]:
    """A long file's blank constructs and repeated ratings."""
    out = [f"row {table.row(at)}, column construct: empty" for at in _where(table.missing("construct"))]
    keys = [name for name in (columns.participant, columns.condition, columns.item, columns.explanation) if name]
    frame = pd.DataFrame(table.columns)
    repeated = frame.duplicated([*keys, "construct"]).to_numpy()
    for at in _where(repeated):
        who, construct = table.columns[str(columns.participant)][at], table.columns["construct"][at]
        out.append(f"row {table.row(at)}: participant {who} has rated {construct} of this explanation before")
    return out


def cell_problems(table: Table, columns: Columns, source: Source) -> list[str]:
    """Empty labels; ratings and positions that are no whole numbers; participants with two values of a background column."""
    out: list[tuple[int, str]] = []

    def add(column: str, at: int, text: str) -> None:
        out.append((int(source.rows[at]), f"{source.at(column, at)}: {text}"))

    for role in ("participant", "condition", "item", "explanation"):
        name = getattr(columns, role)
        for at in _where(table.missing(name)) if name else ():
            add(name, at, f"the {role} is empty")
    for name in columns.constructs:
        missing, numbers = table.missing(name), table.numbers(name)
        for at in _where(~missing & ~(np.isfinite(numbers) & (numbers == np.round(numbers)))):
            cell = table.columns[name][at]
            kind = "not a whole number" if np.isfinite(numbers[at]) else "not a number"
            add(name, at, f"{cell!r} is {kind}")
        if missing.all():
            out.append((0, f"the column {name!r} holds no rating"))
    for name in [*columns.covariates, *([columns.position] if columns.position else [])]:
        numbers = table.numbers(name)
        if np.isfinite(numbers).any():
            for at in _where(~table.missing(name) & ~np.isfinite(numbers)):
                add(name, at, f"{table.columns[name][at]!r} is not a number, but other rows of this column are")
    texts = [text for _, text in sorted(out, key=lambda entry: entry[0])]
    return texts + list(_background_problems(table, columns, source))


def _background_problems(table: Table, columns: Columns, source: Source) -> Iterator[str]:
    people = table.columns[str(columns.participant)]
    for name in columns.background:
        first: dict[str, int] = {}
        for at, (who, cell) in enumerate(zip(people, table.columns[name], strict=True)):
            before = first.setdefault(who, at)
            if table.columns[name][before] != cell:
                yield (
                    f"row {source.rows[at]}, column {name}: participant {who} has {cell!r} here and "
                    f"{table.columns[name][before]!r} in row {source.rows[before]}"
                )


def found_scale(table: Table, columns: Columns) -> tuple[int, int]:
    """The lowest and the highest rating of all constructs."""
    numbers = np.concatenate([table.numbers(name) for name in columns.constructs])
    return int(np.nanmin(numbers)), int(np.nanmax(numbers))


def scale_problems(table: Table, columns: Columns, source: Source, low: int, high: int) -> list[str]:
    """Ratings off the scale; a scale of too many points or of one."""
    if high == low:
        return [f"every rating is {low}: there is nothing to compare"]
    out: list[tuple[int, str]] = []
    long = high - low >= MOST_POINTS
    for name in columns.constructs:
        numbers = table.numbers(name)
        if long:
            for at in _where(numbers == high)[:1]:
                text = f"{high} would make a scale of {low} to {high}; a scale has at most {MOST_POINTS} points"
                out.append((int(source.rows[at]), f"{source.at(name, at)}: {text}"))
        else:
            for at in _where((numbers < low) | (numbers > high)):
                text = f"{numbers[at]:g} is off the scale {low} to {high}"
                out.append((int(source.rows[at]), f"{source.at(name, at)}: {text}"))
    return [text for _, text in sorted(out, key=lambda entry: entry[0])]


def design_problems(trials: pd.DataFrame, columns: Columns, reference: str | None) -> list[str]:
    """A comparison that can't be made: too few conditions, items, participants; a trial twice; an unknown reference."""
    out = []
    conditions = list(dict.fromkeys(trials["condition"]))
    if len(conditions) < 2:
        out.append(f"column {columns.condition}: the only condition is {conditions[0]!r}; a comparison needs two")
    if trials["participant"].nunique() < 2:
        out.append(
            f"column {columns.participant}: the only participant is {trials['participant'].iloc[0]!r}; two are needed"
        )
    for condition, own in trials.groupby("condition", sort=True):
        if own["item"].nunique() < 2:
            row = own["row"].iloc[0]
            out.append(
                f"row {row}, column {columns.item}: condition {condition!r} has one item; at least two are needed"
            )
    if reference is not None and reference not in conditions:
        near = difflib.get_close_matches(reference, conditions, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the conditions are {', '.join(sorted(conditions))}"
        out.append(f"there is no condition {reference!r} to refer to; {hint}")
    first = trials.groupby(["participant", "explanation"], sort=False)["row"].transform("first")
    for at in _where((first != trials["row"]).to_numpy()):
        who, what = trials["participant"].iat[at], trials["explanation"].iat[at]
        out.append(
            f"row {trials['row'].iat[at]}: participant {who} rated explanation {what} before, in row {first.iat[at]}"
        )
    for role in ("condition", "item"):
        own = trials.groupby("explanation", sort=False)[role].transform("first")
        for at in _where((own != trials[role]).to_numpy()):
            what = trials["explanation"].iat[at]
            out.append(
                f"row {trials['row'].iat[at]}: explanation {what} has two {role}s: {own.iat[at]}, {trials[role].iat[at]}"
            )
    return out


def warnings(data: RatingsData, reference: str | None, scale: tuple[int, int] | None) -> list[str]:
    """What a reader must know about these ratings."""
    trials, out = data.trials, []
    if reference is None:
        out.append(f"No reference condition was given; {data.conditions[0]} was taken (first in order).")
    if scale is None:
        out.append(
            f"No scale was given; {data.low} to {data.high} was taken (the lowest and the highest rating found)."
        )
    for name in data.constructs:
        values = trials[name]
        missing = int(values.isna().sum())
        if missing:
            out.append(
                f"{name}: {missing} of {len(values)} ratings are missing; those trials are left out of its analyses."
            )
        if values.nunique() == 1:
            out.append(f"{name}: every rating is {values.dropna().iloc[0]:g}; nothing can be compared.")
    raters = trials.groupby("explanation")["participant"].nunique()
    if raters.max() < 2:
        out.append("Every explanation was rated by one participant: agreement between raters can't be estimated.")
    elif raters.min() < raters.max():
        out.append(f"Explanations were rated by {raters.min()} to {raters.max()} participants.")
    seen = trials.groupby(["participant", "item"])["condition"].nunique()
    if (seen > 1).any():
        count = int((seen > 1).sum())
        out.append(f"{count} times a participant rated explanations of the same item under several conditions.")
    per = trials.groupby("participant")["condition"].nunique()
    if (per < len(data.conditions)).any():
        count = int((per < len(data.conditions)).sum())
        out.append(f"{count} of {len(per)} participants did not rate every condition.")
    flat = trials.groupby("participant")[data.constructs].agg(lambda own: own.nunique() <= 1).all(axis=1)
    size = trials.groupby("participant").size()
    if ((flat & (size > 2)).sum()) and len(data.constructs) > 1:
        out.append(f"{int((flat & (size > 2)).sum())} participants gave each construct one value in all their trials.")
    if data.columns.slot:
        slots = trials.groupby("slot")["condition"].nunique()
        if (slots == 1).all():
            out.append(
                f"{data.columns.slot} and condition are confounded: each of the {len(slots)} slots belongs to one condition, "
                "so that order effects can't be told from condition effects."
            )
    if not data.has_position:
        out.append(
            "The order in which participants saw the trials is not in the data; order effects can't be examined."
        )
    for name in data.covariates:
        missing = int(trials[name].isna().sum()) if trials[name].dtype.kind == "f" else 0
        if missing:
            out.append(f"{name}: {missing} values are missing; those trials are left out of the models with it.")
    return out
