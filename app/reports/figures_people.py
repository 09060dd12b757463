"""Figures of how participants and items differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from app.reports.diverging import LABEL
from app.reports.drawing import Drawing
from app.reports.style import CATEGORICAL, INK, LINE, MUTED, WIDTH, new_figure, styled, wrap

Row = dict[str, Any]
MOST_LEVELS = 400  # people or items in a panel; of more an even selection is drawn
MOST_POINTS = 300  # dots of a condition, likewise


def caterpillar(results: Row) -> Drawing | None:
    """Conditional modes of the random effects, in order, with ± 1.96 conditional standard deviations."""
    models = [m for m in results.get("ordinal", []) if m.get("estimable") and m.get("random_effects")]
    if not models:
        return None
    factors = list(dict.fromkeys(factor for m in models for factor in m["random_effects"]))
    rows = [
        {"construct": m["construct"], "factor": factor, **level}
        for m in models
        for factor in factors
        for level in m["random_effects"].get(factor, [])
    ]
    with styled():
        figure = new_figure(WIDTH, 0.85 * len(models) + 0.5)
        axes = figure.subplots(len(models), len(factors), sharey="row", squeeze=False)
        for line, model in enumerate(models):
            for column, factor in enumerate(factors):
                ax = axes[line, column]
                _levels(ax, model["random_effects"].get(factor, []), model["sd"].get(factor), CATEGORICAL[column])
                if line == 0:
                    ax.set_title(f"{factor}s, from lowest to highest", fontsize=7.5)
            axes[line, 0].set_ylabel(wrap(model["construct"], 18, 3), fontsize=6.5)
        figure.supylabel("Deviation from the average (logits)", fontsize=7, color=MUTED)
    larger = any(len(m["random_effects"].get(f, [])) > MOST_LEVELS for m in models for f in factors)
    text = (
        f"Line: how much higher or lower (in logits) each {' or '.join(factors)} is rated or rates than the average, in order; band: 95% "
        "intervals. A steep line means that they differ much, which is why the model has them as random effects."
        + (f" An even selection of {MOST_LEVELS} is drawn where there are more." if larger else "")
    )
    return Drawing("random_effects", "How participants and items differ", text, figure, pd.DataFrame(rows))


def _levels(ax: Any, levels: list[Row], sd: float | None, colour: str) -> None:
    """One panel: the modes in order, in a band of their intervals."""
    levels = sorted(levels, key=lambda level: level["mode"])
    if len(levels) > MOST_LEVELS:
        levels = [levels[i] for i in np.linspace(0, len(levels) - 1, MOST_LEVELS).round().astype(int)]
    ax.axhline(0, color=MUTED, linewidth=0.6)
    ax.set_xticks([])
    ax.tick_params(length=0, labelsize=6.5)
    ax.spines["bottom"].set_visible(False)
    if not levels or not sd:
        ax.text(0.5, 0.75, "standard deviation estimated as 0", transform=ax.transAxes, ha="center", fontsize=6.5)
        return
    modes = np.array([level["mode"] for level in levels])
    spread = 1.96 * np.array([level["sd"] for level in levels])
    place = np.arange(len(levels))
    ax.fill_between(place, modes - spread, modes + spread, color=LINE, linewidth=0)
    ax.plot(place, modes, color=colour, linewidth=1.4)
    ax.margins(x=0.02)


def raincloud(results: Row, data: Any) -> Drawing | None:
    """Each participant's mean per condition, over the constructs: density, quartiles and dots. data: the RatingsData."""
    measure = data.measures[-1]
    frame = data.trials.assign(_value=data.values(measure))
    means = frame.groupby(["condition", "participant"], sort=True)["_value"].mean().dropna().reset_index(name="mean")
    conditions = [c for c in data.conditions if (means["condition"] == c).any()]
    if not conditions:
        return None
    random = np.random.default_rng(results["data"]["seed"])
    with styled():
        figure = new_figure(WIDTH, 0.62 * len(conditions) + 0.5)
        ax = figure.subplots()
        for at, condition in enumerate(conditions):
            values = means.loc[means["condition"] == condition, "mean"].to_numpy(float)
            _cloud(ax, at, values, (data.low, data.high), CATEGORICAL[at % len(CATEGORICAL)], random)
        ax.set_yticks(range(len(conditions)), [wrap(c, LABEL, 3) for c in conditions], fontsize=7)
        ax.set_ylim(len(conditions) - 0.5, -0.55)
        margin = 0.02 * (data.high - data.low)
        ax.set_xlim(data.low - margin, data.high + margin)
        ax.set_xlabel(f"Participant's mean: {wrap(measure, 50, 1)}", fontsize=7)
        ax.tick_params(axis="y", length=0)
        ax.tick_params(axis="x", labelsize=7)
        ax.spines["left"].set_visible(False)
    many = means.groupby("condition").size().max() > MOST_POINTS
    text = (
        f"Each participant's mean in each condition ({measure}). Curve: density. Bar and ring: the middle half and the median. Dots: "
        "participants, spread vertically so that they can be told apart."
        + (f" A random {MOST_POINTS} are drawn where there are more." if many else "")
    )
    return Drawing("participants", "Participants' means", text, figure, means)


def _cloud(
    ax: Any, at: int, values: NDArray[np.float64], scale: tuple[int, int], colour: str, random: np.random.Generator
) -> None:
    """One condition's density above, quartiles in the middle, dots below."""
    if len(values) > 2 and np.ptp(values) > 0:
        grid = np.linspace(*scale, 160)
        density = gaussian_kde(values)(grid)
        ax.fill_between(grid, at - 0.1, at - 0.1 - 0.36 * density / density.max(), color=colour, alpha=0.4, linewidth=0)
    shown = random.choice(values, MOST_POINTS, replace=False) if len(values) > MOST_POINTS else values
    height = at + 0.25 + random.uniform(-0.1, 0.1, len(shown))
    ax.plot(shown, height, ".", color=colour, markersize=2.6, alpha=0.7, markeredgewidth=0)
    q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75])
    ax.plot([q1, q3], [at, at], color=INK, linewidth=2.6, solid_capstyle="butt")
    ax.plot(median, at, "o", color=INK, markerfacecolor="white", markersize=4)
