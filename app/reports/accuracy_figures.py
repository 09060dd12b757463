"""Figures of accuracies: runs and means by method and size; accuracy against perceived quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from app.reports.drawing import Drawing
from app.reports.style import CATEGORICAL, INK, LINE, MARKERS, MUTED, WIDTH, new_figure, styled, wrap

Row = dict[str, Any]
LABEL = 24  # characters in a line of a method's name
MOST_RUNS = 100  # dots of a method and size; of more a random selection is drawn


def accuracies(results: Row, runs: pd.DataFrame) -> Drawing:
    """Each run, and each method's mean with its interval, with and without outliers; a panel per size. runs: method, size, value."""
    methods, sizes = results["data"]["methods"], results["data"]["sizes"]
    cells = {(c["method"], c["size"]): c for c in results["cells"]}
    outliers = {row["row"] for row in results["outliers"]}
    random = np.random.default_rng(results["data"]["seed"])
    lines = max(wrap(m, LABEL, 3).count("\n") + 1 for m in methods)
    with styled():
        figure = new_figure(WIDTH, len(methods) * max(0.34, 0.115 * lines + 0.1) + 0.85)
        axes = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
        for ax, size in zip(axes, sizes, strict=True):
            for at, method in enumerate(methods):
                own = runs[(runs["method"] == method) & (runs["size"] == size)]
                if len(own) > MOST_RUNS:
                    own = own.iloc[np.sort(random.choice(len(own), MOST_RUNS, replace=False))]
                out = own["row"].isin(outliers).to_numpy()
                height = at - 0.22 + random.uniform(-0.07, 0.07, len(own))
                values = own["value"].to_numpy(float)
                ax.plot(values[~out], height[~out], ".", color=MUTED, markersize=3.5, markeredgewidth=0)
                ax.plot(values[out], height[out], "x", color=MUTED, markersize=3.5, markeredgewidth=0.9)
                cell = cells[method, size]
                _mean(ax, at + 0.05, cell["mean"], cell["ci"], "o", INK, INK)
                if cell["kept_n"] != cell["n"]:
                    _mean(ax, at + 0.28, cell["kept_mean"], cell["kept_ci"], "D", MUTED, "white")
            ax.set_title(wrap(size, 24, 2), fontsize=8, fontweight="bold", loc="left", pad=4)
            ax.tick_params(length=0, labelsize=6.5)
            ax.xaxis.set_major_locator(_few_ticks(len(sizes)))
            ax.grid(axis="x", color=LINE, linewidth=0.5)
            ax.set_axisbelow(True)
            ax.spines["left"].set_visible(False)
        axes[0].set_yticks(range(len(methods)), [wrap(m, LABEL, 3) for m in methods], fontsize=6.5)
        axes[0].set_ylim(len(methods) - 0.45, -0.55)
        figure.supxlabel(wrap(results["data"]["outcome"], 60, 1), fontsize=7.5)
    level = f"{100 * (1 - results['data']['options']['alpha']):g}%"
    text = (
        f"Dots: runs; crosses: runs outside 1.5 interquartile ranges of their method and size. Filled circles: mean of all runs with its "
        f"{level} interval (t). Open diamonds: the same without the crosses, where there are any."
    )
    return Drawing("accuracy", "Accuracy by method and size", text, figure, pd.DataFrame(results["cells"]).map(_plain))


def _plain(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _few_ticks(panels: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=max(2, 6 // panels + 1), min_n_ticks=2)


def _mean(
    ax: Any, at: float, mean: float | None, ends: list[float] | None, marker: str, colour: str, face: str
) -> None:
    """A mean with its interval."""
    if mean is None:
        return
    if ends:
        ax.plot(ends, [at, at], color=colour, linewidth=1.1)
    ax.plot(
        mean,
        at,
        marker,
        color=colour,
        markerfacecolor=face,
        markersize=4 if marker == "o" else 3.2,
        markeredgewidth=0.9,
    )


def against_quality(results: Row) -> Drawing | None:
    """Accuracy against perceived quality, with intervals on both axes; a panel per size, a mark per method."""
    rows: Sequence[Row] = results.get("quality") or []
    if not rows:
        return None
    methods = list(dict.fromkeys(row["method"] for row in rows))
    sizes = [size for size in results["data"]["sizes"] if any(row["size"] == size for row in rows)]
    names = {row["method"]: row["condition"] for row in rows}
    columns = min(len(methods), 2)
    lines = max(wrap(names[m], 36, 3).count("\n") + 1 for m in methods)
    with styled():
        figure = new_figure(WIDTH, 2.9 + 0.15 * lines * -(-len(methods) // columns))
        axes = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
        for ax, size in zip(axes, sizes, strict=True):
            for row in (row for row in rows if row["size"] == size):
                number = methods.index(row["method"])
                colour = CATEGORICAL[number % len(CATEGORICAL)]
                if row["accuracy_ci"]:
                    ax.plot(row["accuracy_ci"], [row["quality"]] * 2, color=colour, linewidth=1.1)
                if row["quality_ci"]:
                    ax.plot([row["accuracy"]] * 2, row["quality_ci"], color=colour, linewidth=1.1)
                label = wrap(names[row["method"]], 36, 3) if size == sizes[0] else None
                ax.plot(
                    row["accuracy"],
                    row["quality"],
                    MARKERS[number % len(MARKERS)],
                    color=colour,
                    markersize=5,
                    label=label,
                )
            ax.set_title(wrap(size, 24, 2), fontsize=8, fontweight="bold", loc="left", pad=4)
            ax.tick_params(length=0, labelsize=6.5)
            ax.grid(color=LINE, linewidth=0.5)
            ax.set_axisbelow(True)
            ax.xaxis.set_major_locator(_few_ticks(len(sizes)))
            ax.set_xlabel(wrap(results["data"]["outcome"], 56 // len(sizes), 2), fontsize=7.5)
        axes[0].set_ylabel("Perceived quality", fontsize=7.5)
        handles = {line.get_label(): line for ax in axes for line in ax.lines if not line.get_label().startswith("_")}
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=columns, frameon=False, fontsize=7
        )
    text = (
        "Each mark is a method: its mean over runs (all of them, with t intervals) and its mean rating over the constructs (with "
        "intervals from bootstrap samples of participants). To the right: more accurate; upwards: explanations found better. The ratings "
        "do not tell sizes apart, so a method has the same height in each panel."
    )
    data = pd.DataFrame([{key: _plain(value) for key, value in row.items()} for row in rows])
    return Drawing("quality", "Accuracy against perceived quality", text, figure, data)
