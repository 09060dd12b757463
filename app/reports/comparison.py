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
    descriptives: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by construct, a row per condition


def compare(frame: StudyFrame) -> Comparison:
    """Descriptives, Kruskal-Wallis tests and diverging bars of a study's answered trials, without those of excluded people."""
    excluded = frame.participants.loc[frame.participants["excluded"].astype(bool), "participant"]
    trials = frame.trials[~frame.trials["participant"].isin(excluded)]
    people = trials["participant"].nunique()
    if people < FEWEST:
        return Comparison(
            reason="There is nothing to compare yet: at least two participants must have rated explanations."
        )
    high = frame.minimum + len(frame.labels) - 1
    try:
        data = from_frame(trials, scale=(frame.minimum, high), name=frame.slug)
    except InputError as error:
        return Comparison(reason=f"The ratings cannot be compared yet: {error}")
    names = frame.constructs | {data.quality: f"{data.quality} (mean of all)"}
    counts: dict[str, dict[str, list[int]]] = {}
    descriptives: dict[str, list[dict[str, Any]]] = {}
    for row in describe(data, bootstrap=200).to_dict():
        name = names[row["construct"]]
        descriptives.setdefault(name, []).append(row)
        if row["counts"] is not None:
            counts.setdefault(name, {})[row["condition"]] = list(row["counts"].values())
    return Comparison(
        participants=people,
        trials=len(trials),
        figure=diverging_bars(counts, frame.labels),
        tests=[row | {"construct": names[row["construct"]]} for row in kruskal(data).to_dict()],
        descriptives=descriptives,
    )
