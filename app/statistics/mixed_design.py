"""From a table of ratings to what a mixed model needs: coded groups, a full-rank fixed-effects matrix, and notes on what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from app.errors import InputError
from app.statistics.mixed_blocks import Codes, CrossedBlocks


class NotEstimableError(Exception):
    """The data cannot carry the model; the message says why. The public functions turn it into `estimable: False`."""


@dataclass(frozen=True)
class Grouping:
    """One random effect: its name, each observation's level (n,) and the levels' labels."""

    name: str
    codes: Codes
    labels: list[str]


@dataclass(frozen=True)
class Design:
    """A mixed model's data after listwise deletion; all arrays have n rows.

    `fixed` is (n, C - 1 + covariate terms): first the indicators of every condition but `conditions[baseline]`, then the
    covariates, centred and scaled to standard deviation 1 (`centre`, `scale` undo that). No intercept.
    """

    response: NDArray[Any]
    conditions: list[str]
    condition: Codes
    baseline: int
    fixed: NDArray[np.float64]
    terms: list[str]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    groupings: list[Grouping]
    fixed_at_zero: bool
    """No random effect can be estimated: the one grouping is there for its structure only, with standard deviation 0."""
    levels: dict[str, int] = field(default_factory=dict)
    """Levels of each random effect asked for, those left out too."""
    notes: list[str] = field(default_factory=list)

    @property
    def n(self) -> int:
        """Rows analysed."""
        return len(self.response)

    def blocks(self) -> CrossedBlocks:
        """The random effects' structure."""
        return CrossedBlocks([g.codes for g in self.groupings], [len(g.labels) for g in self.groupings])


def coded(values: pd.Series) -> tuple[Codes, list[Any]]:
    """(codes, labels) of a column: in the order of its categories if it has one, else ascending; unused ones left out."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.cat.remove_unused_categories()
        return values.cat.codes.to_numpy().astype(np.intp), list(values.cat.categories)
    codes, labels = pd.factorize(values, sort=False)
    try:
        order = np.argsort(np.asarray(labels), kind="stable")
    except TypeError:  # mixed types: numbers and texts in one column
        order = np.argsort(np.asarray([str(label) for label in labels]), kind="stable")
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    return rank[codes], [labels[i] for i in order]


def crossed_codes(a: Codes, b: Codes) -> tuple[Codes, NDArray[np.intp]]:
    """(codes, pairs): each observation's cell of a × b among the cells that occur, and each cell's levels (cells, 2)."""
    width = int(b.max()) + 1
    keys, codes = np.unique(a * width + b, return_inverse=True)
    return codes.astype(np.intp), np.column_stack(np.divmod(keys, width))


def make_design(
    data: pd.DataFrame,
    *,
    response: str,
    condition: str,
    participant: str,
    item: str,
    explanation: str | None,
    covariates: Sequence[str],
    participant_condition: bool,
) -> Design:
    """The design of `response ~ condition + covariates + random effects`, rows with a missing value in any of them left out.

    Random effects that the data cannot tell apart (one level, one rating per level, the same partition as another) are left
    out and noted; covariates that are constant or determined by the rest too.
    Raises InputError for a column that is not there, NotEstimableError if nothing can be compared.
    """
    columns = [response, condition, participant, item, *([explanation] if explanation else []), *covariates]
    for column in columns:
        if column not in data.columns:
            raise InputError(f"there is no column {column!r}; the columns are {', '.join(map(str, data.columns))}")
    complete = data[list(dict.fromkeys(columns))].replace([np.inf, -np.inf], np.nan).dropna()
    notes: list[str] = []
    if len(complete) < len(data):
        notes.append(f"{len(data) - len(complete)} of {len(data)} rows have a missing value and were left out")
    if complete.empty:
        raise NotEstimableError("no row is complete")
    codes, labels = coded(complete[condition])
    if len(labels) < 2:
        raise NotEstimableError(f"there is only one condition with ratings ({labels[0]})")
    wanted = _wanted_groupings(complete, participant, item, explanation)
    if participant_condition:
        cells, pairs = crossed_codes(wanted[0].codes, codes)
        names = [f"{wanted[0].labels[p]}:{labels[c]}" for p, c in pairs]
        wanted.append(Grouping("participant:condition", cells, names))
    groupings, fixed_at_zero = _estimable(wanted, len(complete), notes)
    values = complete[response].to_numpy()
    baseline = _baseline(values, codes, len(labels))
    indicators = (codes[:, None] == np.delete(np.arange(len(labels)), baseline)).astype(float)
    extra, terms = _covariate_columns(complete, covariates)
    extra, terms = _full_rank(indicators, extra, terms, notes)
    centre, scale = extra.mean(axis=0), extra.std(axis=0)
    fixed = np.hstack([indicators, (extra - centre) / scale])
    return Design(
        values,
        [str(label) for label in labels],
        codes,
        baseline,
        fixed,
        terms,
        centre,
        scale,
        groupings,
        fixed_at_zero,
        {grouping.name: len(grouping.labels) for grouping in wanted},
        notes,
    )


def _baseline(values: NDArray[Any], codes: Codes, count: int) -> int:
    """The condition the model is parametrised against: the largest with the most distinct ratings, so that none of the
    numbers depends on a condition whose ratings are all the same."""
    distinct = [len(np.unique(values[codes == c])) for c in range(count)]
    sizes = np.bincount(codes, minlength=count)
    return max(range(count), key=lambda c: (min(distinct[c], 3), sizes[c], -c))


def _wanted_groupings(data: pd.DataFrame, participant: str, item: str, explanation: str | None) -> list[Grouping]:
    """The random effects of single columns, whether or not the data can tell them apart."""
    columns = {"participant": participant, "item": item} | ({"explanation": explanation} if explanation else {})
    wanted = []
    for name, column in columns.items():
        codes, labels = coded(data[column])
        wanted.append(Grouping(name, codes, [str(label) for label in labels]))
    return wanted


def _estimable(wanted: list[Grouping], n: int, notes: list[str]) -> tuple[list[Grouping], bool]:
    """The random effects that can be estimated, and whether none can (then the first, for its structure)."""
    kept: list[Grouping] = []
    for grouping in wanted:
        count = len(grouping.labels)
        same = [other for other in kept if len(other.labels) == count and _same_partition(other.codes, grouping.codes)]
        if count < 2:
            notes.append(f"no random effect for {grouping.name}: there is only one")
        elif count == n:
            notes.append(f"no random effect for {grouping.name}: each has one rating, so it cannot be told from chance")
        elif same:
            notes.append(f"no random effect for {grouping.name}: it is the same as {same[0].name} in these data")
        else:
            kept.append(grouping)
    if kept:
        return kept, False
    notes.append("no random effect can be estimated: ratings are treated as independent")
    return [wanted[0]], True


def _same_partition(a: Codes, b: Codes) -> bool:
    """Do two codings of equally many levels put the same rows together?"""
    return len(np.unique(a * (int(b.max()) + 1) + b)) == int(a.max()) + 1


def _covariate_columns(data: pd.DataFrame, covariates: Sequence[str]) -> tuple[NDArray[np.float64], list[str]]:
    """Numbers as they are; anything else as indicators against its first level, named 'covariate[level]'."""
    columns: list[NDArray[np.float64]] = []
    terms: list[str] = []
    for name in covariates:
        if is_numeric_dtype(data[name]) and not is_bool_dtype(data[name]):
            columns.append(data[name].to_numpy(dtype=float))
            terms.append(name)
            continue
        codes, labels = coded(data[name])
        for level in range(1, len(labels)):
            columns.append((codes == level).astype(float))
            terms.append(f"{name}[{labels[level]}]")
    return (np.column_stack(columns) if columns else np.empty((len(data), 0))), terms


def _full_rank(
    indicators: NDArray[np.float64], extra: NDArray[np.float64], terms: list[str], notes: list[str]
) -> tuple[NDArray[np.float64], list[str]]:
    """`extra` without the columns that the intercept, the conditions and the columns before them determine."""
    basis, _ = np.linalg.qr(np.column_stack([np.ones(len(indicators)), indicators]))
    kept: list[int] = []
    for j in range(extra.shape[1]):
        column = extra[:, j]
        rest = column - basis @ (basis.T @ column)
        rest = rest - basis @ (basis.T @ rest)
        norm = float(np.linalg.norm(rest))
        if basis.shape[1] + 1 >= len(column) or norm <= 1e-7 * max(float(np.linalg.norm(column)), 1e-300):
            notes.append(f"{terms[j]} was left out: it is constant or determined by the other columns")
            continue
        basis = np.column_stack([basis, rest / norm])
        kept.append(j)
    return extra[:, kept], [terms[j] for j in kept]
