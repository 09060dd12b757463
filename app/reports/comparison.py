"""The first comparison of a study's conditions, for its page in the admin: quick, and said to be preliminary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.errors import InputError
from app.reports.diverging import diverging_bars
from app.reports.exports import StudyFrame
from app.statistics.data import from_frame
from app.statistics.descriptives import describe
from app.statistics.kruskal import kruskal

FEWEST = 2  # participants, below which there is nothing to compare


@dataclass(frozen=True)
class Comparison:
    """What the page shows; `reason` says why it shows nothing."""

    reason: str | None = None
    participants: int = 0
    trials: int = 0
    figure: str = ""
    tests: list[dict[str, Any]] = field(default_factory=list)
    descriptives: list[dict[str, Any]] = field(default_factory=list)


def compare(frame: StudyFrame) -> Comparison:
    """Descriptives, Kruskal-Wallis tests and diverging bars of a study's answered trials."""
    people = frame.trials["participant"].nunique()
    if people < FEWEST:
        return Comparison(
            reason="There is nothing to compare yet: at least two participants must have rated explanations."
        )
    high = frame.minimum + len(frame.labels) - 1
    try:
        data = from_frame(frame.trials, scale=(frame.minimum, high), name=frame.slug)
    except InputError as error:
        return Comparison(reason=f"The ratings cannot be compared yet: {error}")
    names = dict(frame.constructs)
    rows = [
        row | {"construct": names.get(row["construct"], row["construct"])}
        for row in describe(data, bootstrap=200).to_dict()
    ]
    tests = [row | {"construct": names.get(row["construct"], row["construct"])} for row in kruskal(data).to_dict()]
    counts: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        if row.get("counts") is not None:
            counts.setdefault(row["construct"], {})[row["condition"]] = list(row["counts"].values())
    return Comparison(
        participants=people,
        trials=len(frame.trials),
        figure=diverging_bars(counts, frame.labels),
        tests=tests,
        descriptives=rows,
    )
