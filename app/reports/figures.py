"""The report's figures of ratings and models. Each takes results and gives a `Drawing`; None where the results have nothing to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from app.reports.contrasts import condition_order, in_order
from app.reports.diverging import diverging_figure, stacked_bars
from app.reports.drawing import Drawing
from app.reports.figures_people import caterpillar, raincloud
from app.reports.flow import flow
from app.reports.style import INK, MUTED, WIDTH, new_figure, styled, wrap

__all__ = ["Drawing", "caterpillar", "diverging", "flow", "forest", "probabilities", "raincloud"]

Row = dict[str, Any]
MOST_PAIRS = 10  # above that, the figure shows only the pairs with the reference
WIDEST = 50.0  # odds ratios beyond 1/50 and 50 are cut off, with an arrow
TICKS = (0.02, 0.05, 0.1, 0.2, 0.33, 0.5, 0.67, 1, 1.5, 2, 3, 5, 10, 20, 50)


def diverging(results: Row, labels: Sequence[str]) -> Drawing | None:
    """How each condition was rated on each construct; `labels` are those of the scale's points, lowest first."""
    counts: dict[str, dict[str, list[int]]] = {}
    for row in results["descriptives"]:
        if row["counts"] is not None:
            counts.setdefault(row["construct"], {})[row["condition"]] = list(row["counts"].values())
    if not counts:
        return None
    data = pd.DataFrame(
        [
            {"construct": construct, "condition": condition, "label": label, "count": number}
            for construct, parts in counts.items()
            for condition, numbers in parts.items()
            for label, number in zip(labels, numbers, strict=True)
        ]
    )
    text = (
        "Percentage of the ratings at each point of the scale, for each condition. The bars are centred on the middle of the scale: "
        "the further a bar reaches to the right, the better its condition was rated. Shares too small for their number are not labelled."
    )
    return Drawing("ratings", "Ratings by construct and condition", text, diverging_figure(counts, labels), data)


def probabilities(results: Row, labels: Sequence[str]) -> Drawing | None:
    """Predicted share of each scale point per condition, averaged over participants and items."""
    models = [m for m in results.get("ordinal", []) if m.get("estimable") and m.get("probabilities")]
    if not models:
        return None
    low = results["data"]["scale"]["low"]
    conditions = condition_order(results)
    bars: dict[str, dict[str, list[float]]] = {}
    rows = []
    for model in models:
        own = bars.setdefault(model["construct"], {c: [0.0] * len(labels) for c in conditions})
        for p in model["probabilities"]:
            point = round(float(p["category"])) - low
            own[p["condition"]][point] = p["population"]
            rows.append({"construct": model["construct"], "label": labels[point], **p})
    at = " at the covariates' means" if results["data"]["covariates"] else ""
    text = (
        f"Percentage of ratings at each point of the scale that the ordinal mixed model predicts for new participants and items{at}. "
        "These are point estimates; how certain the differences are, the odds ratios tell."
    )
    figure = stacked_bars(bars, labels, centred=False)
    return Drawing("probabilities", "Ratings that the model predicts", text, figure, pd.DataFrame(rows))


def forest_rows(results: Row) -> tuple[list[Row], bool]:
    """The contrasts that can be drawn, turned against the earlier condition; and whether only the reference's are left."""
    order = condition_order(results)
    few = len(order) * (len(order) - 1) // 2 <= MOST_PAIRS
    rows = []
    for model in results.get("ordinal", []):
        for c in in_order(model.get("contrasts") or [], order) if model.get("estimable") else []:
            ends = c.get("ci_tukey")
            if c["odds_ratio"] is None or not ends or None in ends or not (few or c["a"] == order[0]):
                continue
            low, high = np.exp(np.clip(ends, -50, 50))
            rows.append(
                {
                    "construct": model["construct"], "b": c["b"], "a": c["a"], "odds_ratio": c["odds_ratio"],
                    "low": float(low), "high": float(high), "p_tukey": c["p_tukey"],
                }
            )  # fmt: skip
    return rows, not few


def forest(results: Row) -> Drawing | None:
    """Contrasts of the ordinal model as odds ratios with Tukey-adjusted intervals, and the band of equivalence."""
    rows, only_reference = forest_rows(results)
    if not rows:
        return None
    bound, alpha = results["data"]["options"]["equivalence"], results["data"]["options"]["alpha"]
    constructs = list(dict.fromkeys(row["construct"] for row in rows))
    names = {id(r): pair_label(r["b"], r["a"]) for r in rows}
    line = 0.115 * max(name.count("\n") + 1 for name in names.values()) + 0.055
    sizes = [sum(r["construct"] == construct for r in rows) for construct in constructs]
    low = max(min(*(r["low"] for r in rows), 1 / bound) * 0.92, 1 / WIDEST)
    high = min(max(*(r["high"] for r in rows), bound) * 1.08, WIDEST)
    with styled():
        figure = new_figure(WIDTH, line * sum(sizes) + 0.3 * len(sizes) + 0.5)
        axes = figure.subplots(len(sizes), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
        for ax, construct in zip(axes, constructs, strict=True):
            own = [r for r in rows if r["construct"] == construct]
            ax.axvspan(1 / bound, bound, color="#e9edf1", zorder=0, linewidth=0)
            ax.axvline(1, color=MUTED, linewidth=0.8, zorder=1)
            for at, row in enumerate(own):
                _interval(ax, at, row, alpha, low, high)
                numbers = f"{row['odds_ratio']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
                ax.text(1.02, at, numbers, transform=ax.get_yaxis_transform(), va="center", fontsize=6.5)
            ax.set_yticks(range(len(own)), [names[id(r)] for r in own], fontsize=6.5)
            ax.set_ylim(len(own) - 0.4, -0.6)
            ax.set_title(wrap(construct, 60, 2), loc="left", fontsize=8, fontweight="bold", pad=3)
            ax.set_xscale("log")
            ax.set_xlim(low, high)
            ax.minorticks_off()
            ax.tick_params(length=0, labelsize=6.5)
            ax.spines["left"].set_visible(False)
        axes[-1].set_xticks(*_ticks(low, high))
        axes[-1].minorticks_off()
        axes[-1].set_xlabel("Odds ratio of a higher rating (logarithmic scale)", fontsize=7)
    level = f"{100 * (1 - alpha):g}%"
    text = (
        f"Odds ratios of the ordinal mixed model with {level} intervals that hold for all pairs of a construct together (Tukey). Above 1, "
        f"the condition named first was rated higher. Filled marks: Tukey-adjusted p below {alpha:g}. Grey band: odds ratios between "
        f"{1 / bound:.2f} and {bound:g}, which count as equivalent."
        + (" Only pairs with the reference are drawn; the table has all." if only_reference else "")
    )
    return Drawing("contrasts", "Differences between conditions", text, figure, pd.DataFrame(rows))


def pair_label(b: str, a: str) -> str:
    """`b − a`, on one line where it is short, else `a` below."""
    one = f"{b} − {a}"
    return one if len(one) <= 24 else f"{wrap(b, 26, 2)}\n− {wrap(a, 24, 2)}"


def _interval(ax: Any, at: int, row: Row, alpha: float, low: float, high: float) -> None:
    """One estimate with its interval; an arrow head where the interval leaves the axis."""
    clear = row["p_tukey"] is not None and row["p_tukey"] < alpha
    colour = INK if clear else MUTED
    left, right = max(row["low"], low), min(row["high"], high)
    if left < right:
        ax.plot([left, right], [at, at], color=colour, linewidth=1.3, zorder=2)
    for end, cut, marker in ((row["low"], low, "<"), (row["high"], high, ">")):
        if (end < cut) if marker == "<" else (end > cut):
            ax.plot(cut, at, marker, color=colour, markersize=3.5, clip_on=False, zorder=3)
    if low <= row["odds_ratio"] <= high:
        face = colour if clear else "white"
        ax.plot(row["odds_ratio"], at, "o", color=colour, markersize=4.2, markerfacecolor=face, zorder=3)


def _ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Ticks of an odds-ratio axis that do not crowd it."""
    inside = [tick for tick in TICKS if low <= tick <= high]
    if len(inside) > 9:
        inside = [tick for tick in inside if tick in (0.02, 0.1, 0.2, 0.5, 1, 2, 5, 10, 50)]
    return inside, [f"{tick:g}" for tick in inside]
