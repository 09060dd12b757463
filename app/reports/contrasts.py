"""Contrasts turned to the order of the conditions: the later against the earlier, and so all against the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
SIGNED = ("estimate", "z", "t")
INTERVALS = ("ci", "ci_tukey", "ci90")
RATIOS = ("odds_ratio",)
SHARES, SHARE_INTERVALS = ("vargha_delaney_a",), ("vargha_delaney_ci",)
RATIO_INTERVALS = ("odds_ratio_ci", "odds_ratio_ci90")


def turned(contrast: Row, order: Sequence[str]) -> Row:
    """A contrast b − a with `a` before `b` in `order`: the same, or its mirror image (signs, intervals, inverse odds ratios)."""
    if order.index(contrast["a"]) < order.index(contrast["b"]):
        return dict(contrast)
    out = dict(contrast) | {"a": contrast["b"], "b": contrast["a"]}
    for name in SIGNED:
        if out.get(name) is not None:
            out[name] = -out[name]
    for name in RATIOS:
        if out.get(name):
            out[name] = 1 / out[name]
    for name in SHARES:
        if out.get(name) is not None:
            out[name] = 1 - out[name]
    for name in SHARE_INTERVALS:
        out |= _mirrored(out, name, lambda value: 1 - value)
    for name in INTERVALS:
        out |= _mirrored(out, name, lambda value: -value)
    for name in RATIO_INTERVALS:
        out |= _mirrored(out, name, lambda value: 1 / value if value else None)
    return out


def _mirrored(row: Row, name: str, flip: Any) -> Row:
    ends = row.get(name)
    return {name: [None if end is None else flip(end) for end in reversed(ends)]} if ends else {}


def in_order(contrasts: Sequence[Row], order: Sequence[str]) -> list[Row]:
    """All contrasts turned, sorted by the conditions' order: first the reference's."""
    rows = [turned(contrast, order) for contrast in contrasts if {contrast["a"], contrast["b"]} <= set(order)]
    return sorted(rows, key=lambda row: (order.index(row["a"]), order.index(row["b"])))


def condition_order(results: Row) -> list[str]:
    """The conditions, the reference first."""
    return [row["condition"] for row in results["data"]["conditions"]]
