"""Diverging stacked bars: how each condition was rated on each construct (Robbins & Heiberger 2011, JSM Proceedings, 1058-1066)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from app.reports.style import INK, LINE, MUTED, WIDTH, likert_colours, new_figure, shares, styled, svg, wrap

Counts = Mapping[str, Mapping[str, Sequence[int]]]  # construct → condition → number of ratings at each scale point
LABEL, KEY = 20, 12  # characters in a line of a condition's name, of a scale point's label
NARROWEST = 0.085  # share below which a part of a bar has no number in it


def bar_height(conditions: Sequence[str]) -> float:
    """Inches that a bar takes: room for the longest name's lines, and little where there are many bars."""
    lines = max(wrap(name, LABEL, 3).count("\n") + 1 for name in conditions)
    return max(0.19 if len(conditions) > 6 else 0.23, 0.115 * lines + 0.06)


def stacked_bars(bars: Mapping[str, Mapping[str, Sequence[float]]], labels: Sequence[str], *, centred: bool) -> Figure:
    """Bars of shares, one panel a construct, one bar a condition: around the middle of the scale, or from 0 to 100 %."""
    conditions = list(next(iter(bars.values())))
    points = len(labels)
    colours = likert_colours(points)
    legend_rows = -(-points // legend_columns(labels))
    lines = max(wrap(name, KEY, 3).count("\n") + 1 for name in labels)
    bar = bar_height(conditions)
    figure = new_figure(WIDTH, len(bars) * (len(conditions) * bar + 0.3) + 0.4 + 0.15 * legend_rows * lines)
    with styled():
        axes = figure.subplots(len(bars), 1, sharex=True, squeeze=False)[:, 0]
        reach = [0.0, 0.0]
        for ax, (construct, by_condition) in zip(axes, bars.items(), strict=True):
            for row, condition in enumerate(conditions):
                parts = by_condition[condition]
                middle = sum(parts[: points // 2]) + (parts[points // 2] / 2 if points % 2 else 0.0)
                start = -middle if centred else 0.0
                draw_bar(ax, row, parts, start, colours)
                reach = [min(reach[0], start), max(reach[1], start + sum(parts))]
            ax.set_yticks(range(len(conditions)), [wrap(name, LABEL, 3) for name in conditions], fontsize=7)
            ax.set_ylim(len(conditions) - 0.45, -0.55)
            ax.set_title(wrap(construct, 60, 2), loc="left", fontsize=8, fontweight="bold", pad=3)
            ax.axvline(0, color=MUTED, linewidth=0.8, zorder=0)
            ax.tick_params(length=0, labelsize=7)
            for side in ("left", "bottom"):
                ax.spines[side].set_visible(False)
        axes[-1].set_xlim(reach[0] - 0.02 if centred else 0, reach[1] + (0.02 if centred else 0))
        axes[-1].xaxis.set_major_locator(mpl.ticker.MultipleLocator(0.25))
        axes[-1].xaxis.set_major_formatter(lambda value, _: f"{abs(100 * value):.0f} %")
        axes[-1].spines["bottom"].set_visible(True)
        axes[-1].spines["bottom"].set_color(LINE)
        handles = [mpl.patches.Patch(facecolor=c, label=wrap(n, KEY, 3)) for c, n in zip(colours, labels, strict=True)]
        columns = legend_columns(labels)
        in_rows = [handle for column in range(columns) for handle in handles[column::columns]]
        figure.legend(handles=in_rows, loc="outside lower center", ncols=columns, frameon=False, fontsize=7)
    return figure


def legend_columns(labels: Sequence[str]) -> int:
    """How many of the scale's points stand side by side in the legend."""
    widest = max(len(line) for name in labels for line in wrap(name, KEY, 3).split("\n"))
    return min(len(labels), 6 if widest <= 2 else 5)


def draw_bar(
    ax: Any, row: int, parts: Sequence[float], start: float, colours: Sequence[tuple[float, float, float]]
) -> None:
    """One bar with the percentages that have room in it."""
    left = start
    for part, colour in zip(parts, colours, strict=True):
        ax.barh(row, part, left=left, color=colour, height=0.78, edgecolor="white", linewidth=0.5)
        if part >= NARROWEST:
            dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 0.5
            middle, ink = left + part / 2, "white" if dark else INK
            ax.text(middle, row, f"{100 * part:.0f}", ha="center", va="center", fontsize=6.5, color=ink)
        left += part


def diverging_figure(counts: Counts, labels: Sequence[str]) -> Figure:
    """Shares of the ratings around the middle of the scale. `labels`: of its points."""
    parts = {c: {k: shares(numbers) for k, numbers in by.items()} for c, by in counts.items()}
    return stacked_bars(parts, labels, centred=True)


def diverging_bars(counts: Counts, labels: Sequence[str], title: str = "Ratings by construct and condition") -> str:
    """The same as an SVG element."""
    described = "; ".join(
        f"{construct}, {condition}: {', '.join(map(str, numbers))}"
        for construct, by_condition in counts.items()
        for condition, numbers in by_condition.items()
    )
    return svg(diverging_figure(counts, labels), title, f"Number of ratings from lowest to highest point. {described}.")
