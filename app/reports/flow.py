"""The flow diagram: who and what came in, was excluded by which rule, and is analysed (after CONSORT)."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.patches import FancyBboxPatch

from app.reports.drawing import Drawing
from app.reports.style import MUTED, WIDTH, new_figure, styled, wrap

Row = dict[str, Any]
LINE_HEIGHT, PAD, GAP = 0.15, 0.09, 0.28  # inches
MAIN, ASIDE = 46, 30  # characters in a line of the boxes
MOST_CONDITIONS = 12


def flow(results: Row) -> Drawing:
    """Boxes from what entered to what is analysed, one beside for each rule of exclusion."""
    data = results["data"]
    steps, rules = data["flow"], data["flow"]["excluded"]
    entered = f"In the data\n{counted(steps['entered'])}"
    analysed = [f"Analysed: {counted(steps['analysed'])}"]
    for row in data["conditions"][:MOST_CONDITIONS]:
        name = wrap(row["condition"], MAIN, 1)
        analysed += [f"{name}:", f"    {counted(row)}, {row['explanations']:,} explanations"]
    left = (entered, "\n".join(analysed))
    aside = [wrap(f"Excluded, {r['rule']}:", ASIDE, 3) + f"\n{counted(r)}" for r in rules] or ["Nothing was excluded"]
    heights = [box_height(text) for text in (*left, *aside)]
    middle = max(sum(heights[2:]) + 0.1 * (len(aside) + 1), 0.4)
    total = heights[0] + middle + heights[1] + 0.1
    with styled():
        figure = new_figure(WIDTH, total)
        figure.set_layout_engine("none")
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, WIDTH), ylim=(total, 0))
        ax.axis("off")
        bottom = 0.05 + heights[0]
        box(ax, 0.05, 0.05, 3.0, heights[0], entered)
        arrow(ax, (0.8, bottom), (0.8, bottom + middle - 0.02))
        at = bottom + 0.1
        for text, height in zip(aside, heights[2:], strict=True):
            arrow(ax, (0.8, at + height / 2), (2.9, at + height / 2))
            box(ax, 2.92, at, WIDTH - 2.97, height, text)
            at += height + 0.1
        box(ax, 0.05, bottom + middle, WIDTH - 0.1, heights[1], "\n".join(analysed))
    rows = [{"step": "in the data", "rule": "", **steps["entered"]}]
    rows += [{"step": "excluded", **row} for row in rules]
    rows += [{"step": "analysed", "rule": "", **steps["analysed"]}]
    overlap = " One trial may be excluded by several rules." if len(rules) > 1 else ""
    text = f"Participants and trials (one trial: one explanation rated by one participant) from the data to the analysis.{overlap}"
    return Drawing("flow", "From the data to the analysis", text, figure, pd.DataFrame(rows))


def counted(row: Row) -> str:
    """`117 participants, 1,114 trials`."""
    people, trials = row["participants"], row["trials"]
    return f"{people:,} participant{'s' * (people != 1)}, {trials:,} trial{'s' * (trials != 1)}"


def box_height(text: str) -> float:
    """Inches of a box around so many lines."""
    return LINE_HEIGHT * (text.count("\n") + 1) + 2 * PAD


def box(ax: Any, x: float, y: float, width: float, height: float, text: str) -> None:
    """A box with its text, from its upper left corner."""
    ax.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle="square,pad=0", facecolor="white", edgecolor=MUTED, linewidth=0.8
        )
    )
    ax.text(x + 0.1, y + height / 2, text, va="center", fontsize=7.5, linespacing=1.3)


def arrow(ax: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A thin arrow."""
    ax.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
    )
