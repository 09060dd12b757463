"""Accuracy and perceived quality of the same methods, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.errors import InputError
from app.statistics.mixed_result import Row


def read_results(path: Path) -> Row:
    """A results.json of `blindrate analyze`. Raises InputError if it isn't one."""
    try:
        results: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(results, dict) or not {"data", "descriptives"} <= set(results):
        raise InputError(f"{path} is not a results.json of `blindrate analyze`")
    return results


def against_quality(accuracy: Row, ratings: Row | None, mapping: Sequence[str]) -> list[Row]:
    """[method, condition, size, accuracy, accuracy_ci, quality, quality_ci]: each cell of accuracy.json whose method has a
    condition in the ratings, by the same name or by `mapping` (METHOD=CONDITION). Empty without ratings.

    Raises InputError for a mapping that names what isn't there, or when no method has a condition.
    """
    if ratings is None:
        if mapping:
            raise InputError("--map needs --quality, the results.json with the ratings")
        return []
    measure = ratings["data"]["quality"] or ratings["data"]["constructs"][-1]
    quality = {row["condition"]: row for row in ratings["descriptives"] if row["construct"] == measure}
    methods: list[str] = accuracy["data"]["methods"]
    condition = {method: method for method in methods if method in quality}
    for entry in mapping:
        method, equals, label = (part.strip() for part in entry.rpartition("="))
        method, label = (method, label) if equals else (label, "")
        if method not in methods:
            raise InputError(f"--map {entry!r}: there is no method {method!r}; the methods are {', '.join(methods)}")
        if label not in quality:
            raise InputError(
                f"--map {entry!r}: there is no condition {label!r}; the conditions are {', '.join(quality)}"
            )
        condition[method] = label
    if not condition:
        raise InputError("no method has the name of a condition; say which is which with --map METHOD=CONDITION")
    rows: list[Row] = []
    for cell in accuracy["cells"]:
        if cell["method"] in condition and cell["n"]:
            rated = quality[condition[cell["method"]]]
            row: Row = {"method": cell["method"], "condition": condition[cell["method"]], "size": cell["size"]}
            row |= {"accuracy": cell["mean"], "accuracy_ci": cell["ci"]}
            rows.append(row | {"quality": rated["mean"], "quality_ci": rated["mean_ci"]})
    return rows
