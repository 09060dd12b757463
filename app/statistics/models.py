"""The mixed models of all constructs of a study."""

from __future__ import annotations

from typing import Any

from app.statistics.data import RatingsData
from app.statistics.mixed_result import Row
from app.statistics.ordinal import fit_ordinal
from app.statistics.resampling import holm


def model_arguments(data: RatingsData) -> dict[str, Any]:
    """How this study's ratings go into a mixed model: columns, covariates and the reference condition.

    Explanations have a random effect where any was rated by several participants; else it can't be told from the residual.
    """
    return {
        "condition": "condition",
        "participant": "participant",
        "item": "item",
        "explanation": "explanation" if data.several_raters else None,
        "covariates": data.covariates,
        "reference": data.conditions[0],
    }


def fit_ordinals(data: RatingsData, *, alpha: float = 0.05, equivalence: float = 1.5) -> list[Row]:
    """The primary analysis of each construct, with Holm's correction of the likelihood-ratio tests over constructs."""
    arguments = model_arguments(data)
    rows = [
        fit_ordinal(data.frame, response=name, alpha=alpha, equivalence=equivalence, **arguments).to_dict()
        for name in data.constructs
    ]
    return with_holm(rows)


def with_holm(rows: list[Row]) -> list[Row]:
    """The constructs' results with `p_holm` beside `p`."""
    adjusted = holm([row["p"] for row in rows])
    return [row | {"p_holm": p} for row, p in zip(rows, adjusted, strict=True)]
