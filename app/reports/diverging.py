"""Diverging stacked bars: how each condition was rated on each construct (Robbins & Heiberger 2011, doi 10.18637/jss.v057.i05)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from app.reports.style import INK, LINE, MUTED, SETTINGS, likert_colours, new_figure, shares, svg, wrap

Counts = Mapping[str, Mapping[str, Sequence[int]]]  # construct → condition → number of ratings at each scale point


def diverging_figure(counts: Counts, labels: Sequence[str]) -> Figure:
    """Bars of shares around the middle of the scale, one panel a construct, one bar a condition. `labels`: of the points."""
    conditions = list(next(iter(counts.values())))
    points = len(labels)
    colours = likert_colours(points)
    bar, gap = 0.26, 0.34
    figure = new_figure(7.2, len(counts) * (len(conditions) * bar + gap) + 0.9)
    with mpl.rc_context(SETTINGS):
        axes = figure.subplots(len(counts), 1, sharex=True, squeeze=False)[:, 0]
        reach = 0.0
        for ax, (construct, by_condition) in zip(axes, counts.items(), strict=True):
            for row, condition in enumerate(conditions):
                parts = shares(by_condition[condition])
                left = -(sum(parts[: points // 2]) + (parts[points // 2] / 2 if points % 2 else 0.0))
                reach = max(reach, -left, left + sum(parts))
                for part, colour in zip(parts, colours, strict=True):
                    ax.barh(row, part, left=left, color=colour, height=0.78, edgecolor="white", linewidth=0.5)
                    if part >= 0.07:
                        dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 0.55
                        ax.text(
                            left + part / 2, row, f"{100 * part:.0f}", ha="center", va="center",
                            fontsize=7, color="white" if dark else INK,
                        )  # fmt: skip
                    left += part
            ax.set_yticks(range(len(conditions)), [wrap(c, 28) for c in conditions])
            ax.invert_yaxis()
            ax.set_title(construct, loc="left", fontsize=9, fontweight="bold", pad=3)
            ax.axvline(0, color=MUTED, linewidth=0.8, zorder=0)
            ax.tick_params(length=0)
            for side in ("left", "bottom"):
                ax.spines[side].set_visible(False)
        for ax in axes:
            ax.set_xlim(-reach - 0.02, reach + 0.02)
        axes[-1].xaxis.set_major_formatter(lambda value, _: f"{abs(100 * value):.0f} %")
        axes[-1].spines["bottom"].set_visible(True)
        axes[-1].spines["bottom"].set_color(LINE)
        handles = [
            mpl.patches.Patch(facecolor=c, label=wrap(name, 16)) for c, name in zip(colours, labels, strict=True)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(points, 5), frameon=False, fontsize=8)
    return figure


def diverging_bars(counts: Counts, labels: Sequence[str], title: str = "Ratings by construct and condition") -> str:
    """The same as an SVG element."""
    described = "; ".join(
        f"{construct}, {condition}: {', '.join(map(str, numbers))}"
        for construct, by_condition in counts.items()
        for condition, numbers in by_condition.items()
    )
    return svg(diverging_figure(counts, labels), title, f"Number of ratings from lowest to highest point. {described}.")
