"""The report's figures. Each takes results and gives a `Drawing`: the figure, what it shows in words, and its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from app.reports.diverging import diverging_figure
from app.reports.style import CATEGORICAL, INK, LINE, MUTED, SETTINGS, likert_colours, new_figure, wrap

Row = dict[str, Any]
MOST_LEVELS = 150  # bars in a caterpillar plot; of more levels an even selection is drawn, and said so
MOST_POINTS = 300  # points in a raincloud's rain, likewise


@dataclass(frozen=True)
class Drawing:
    """A figure with its name (of the files), title, description in words, and data."""

    name: str
    title: str
    description: str
    figure: Figure
    data: pd.DataFrame


def diverging(results: Row, labels: Sequence[str]) -> Drawing:
    """How each condition was rated on each construct."""
    counts: dict[str, dict[str, list[int]]] = {}
    for row in results["descriptives"]:
        if row["counts"] is not None:
            counts.setdefault(row["construct"], {})[row["condition"]] = list(row["counts"].values())
    data = pd.DataFrame(
        [
            {"construct": construct, "condition": condition, "label": label, "count": number}
            for construct, parts in counts.items()
            for condition, numbers in parts.items()
            for label, number in zip(labels, numbers, strict=True)
        ]
    )
    text = "Share of ratings at each point of the scale, centred on its middle; one bar for each condition."
    return Drawing("ratings", "Ratings by construct and condition", text, diverging_figure(counts, labels), data)


def forest(results: Row) -> Drawing | None:
    """Contrasts of the ordinal model as odds ratios with Tukey-adjusted intervals, and the band of equivalence."""
    models = [m for m in results.get("ordinal", []) if m.get("estimable") and m["contrasts"]]
    if not models:
        return None
    rows = [
        {
            "construct": m["construct"], "b": c["b"], "a": c["a"], "odds_ratio": c["odds_ratio"],
            "low": float(np.exp(c["ci_tukey"][0])), "high": float(np.exp(c["ci_tukey"][1])), "p_tukey": c["p_tukey"],
        }
        for m in models
        for c in m["contrasts"]
        if c["odds_ratio"] is not None and c["ci_tukey"] and None not in c["ci_tukey"]
    ]  # fmt: skip
    if not rows:
        return None
    bound = results["data"]["options"]["equivalence"]
    pairs = list(dict.fromkeys((r["a"], r["b"]) for r in rows))
    height = sum(0.2 * sum(r["construct"] == m["construct"] for r in rows) + 0.4 for m in models) + 0.7
    figure = new_figure(7.2, height)
    low = min(min(r["low"] for r in rows), 1 / bound) * 0.9
    high = max(max(r["high"] for r in rows), bound) * 1.1
    with mpl.rc_context(SETTINGS):
        axes = figure.subplots(len(models), 1, sharex=True, squeeze=False)[:, 0]
        for ax, model in zip(axes, models, strict=True):
            own = [r for r in rows if r["construct"] == model["construct"]]
            ax.axvspan(1 / bound, bound, color="#eef1f4", zorder=0)
            ax.axvline(1, color=MUTED, linewidth=0.8, zorder=1)
            for at, r in enumerate(own):
                clear = r["p_tukey"] is not None and r["p_tukey"] < results["data"]["options"]["alpha"]
                colour = INK if clear else MUTED
                ax.plot([r["low"], r["high"]], [at, at], color=colour, linewidth=1.4)
                ax.plot(
                    r["odds_ratio"], at, "o", color=colour, markersize=4.5, markerfacecolor=colour if clear else "white"
                )
            ax.set_yticks(range(len(own)), [f"{r['b']} − {r['a']}" for r in own], fontsize=7.5)
            ax.set_ylim(len(own) - 0.4, -0.6)
            ax.set_title(model["construct"], loc="left", fontsize=9, fontweight="bold", pad=3)
            ax.set_xscale("log")
            ax.set_xlim(low, high)
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
        ticks = [t for t in (0.1, 0.2, 0.33, 0.5, 0.67, 1, 1.5, 2, 3, 5, 10) if low <= t <= high]
        axes[-1].set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes[-1].minorticks_off()
        axes[-1].set_xlabel("Odds ratio (first named against second; above 1: rated higher)")
    text = (
        f"Odds ratios of the ordinal mixed model with intervals adjusted for all pairs (Tukey). Filled: adjusted p below alpha. "
        f"Grey band: differences that count as equivalent (odds ratio within 1/{bound:g} and {bound:g}). {len(pairs)} pairs."
    )
    return Drawing("contrasts", "Differences between conditions", text, figure, pd.DataFrame(rows))


def probabilities(results: Row, labels: Sequence[str]) -> Drawing | None:
    """Predicted share of each scale point per condition, averaged over participants and items."""
    models = [m for m in results.get("ordinal", []) if m.get("estimable") and m.get("probabilities")]
    if not models:
        return None
    colours = likert_colours(len(labels))
    low = results["data"]["scale"]["low"]
    conditions = [c["condition"] for c in results["data"]["conditions"]]
    rows = []
    figure = new_figure(7.2, len(models) * (0.24 * len(conditions) + 0.36) + 0.8)
    with mpl.rc_context(SETTINGS):
        axes = figure.subplots(len(models), 1, sharex=True, squeeze=False)[:, 0]
        for ax, model in zip(axes, models, strict=True):
            for at, condition in enumerate(conditions):
                left = 0.0
                for p in (p for p in model["probabilities"] if p["condition"] == condition):
                    point = round(p["category"]) - low
                    ax.barh(
                        at,
                        p["population"],
                        left=left,
                        height=0.78,
                        color=colours[point],
                        edgecolor="white",
                        linewidth=0.5,
                    )
                    left += p["population"]
                    rows.append({"construct": model["construct"], "label": labels[point], **p})
            ax.set_yticks(range(len(conditions)), [wrap(c, 28) for c in conditions])
            ax.invert_yaxis()
            ax.set_xlim(0, 1)
            ax.set_title(model["construct"], loc="left", fontsize=9, fontweight="bold", pad=3)
            ax.tick_params(length=0)
            ax.spines["left"].set_visible(False)
        axes[-1].xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0, symbol=" %"))
        handles = [mpl.patches.Patch(facecolor=c, label=wrap(n, 16)) for c, n in zip(colours, labels, strict=True)]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(labels), 5), frameon=False, fontsize=8)
    text = "Shares of ratings that the ordinal mixed model predicts for the population of participants and items, at mean covariates."
    return Drawing("probabilities", "Predicted ratings", text, figure, pd.DataFrame(rows))


def caterpillar(results: Row) -> Drawing | None:
    """Conditional modes of the participants' and items' random effects, in order, with ± 1.96 conditional sd."""
    models = [m for m in results.get("ordinal", []) if m.get("estimable") and m.get("random_effects")]
    if not models:
        return None
    factors = list(models[0]["random_effects"])
    rows = [
        {"construct": m["construct"], "factor": factor, **level}
        for m in models
        for factor in factors
        for level in m["random_effects"].get(factor, [])
    ]
    figure = new_figure(7.2, 1.05 * len(models) + 0.6)
    with mpl.rc_context(SETTINGS):
        axes = figure.subplots(len(models), len(factors), sharey="row", squeeze=False)
        for line, model in enumerate(models):
            for column, factor in enumerate(factors):
                ax = axes[line, column]
                levels = sorted(model["random_effects"].get(factor, []), key=lambda level: level["mode"])
                if len(levels) > MOST_LEVELS:
                    levels = [levels[i] for i in np.linspace(0, len(levels) - 1, MOST_LEVELS).round().astype(int)]
                modes = np.array([level["mode"] for level in levels])
                spread = 1.96 * np.array([level["sd"] for level in levels])
                place = np.arange(len(levels))
                ax.vlines(place, modes - spread, modes + spread, color=LINE, linewidth=0.6)
                ax.plot(place, modes, ".", color=CATEGORICAL[column], markersize=2)
                ax.axhline(0, color=MUTED, linewidth=0.6)
                ax.set_xticks([])
                if line == 0:
                    ax.set_title(f"{factor}s", fontsize=9)
                if column == 0:
                    ax.set_ylabel(wrap(model["construct"], 14), fontsize=7.5)
    text = (
        "Each dot is one participant or item: how much higher or lower (in logits) they rate, or are rated, than the average, with "
        f"95 % intervals. Wide columns of dots mean that people or items differ much. At most {MOST_LEVELS} levels are drawn."
    )
    return Drawing("random_effects", "How participants and items differ", text, figure, pd.DataFrame(rows))


def raincloud(results: Row, data: Any) -> Drawing:
    """Each participant's mean per condition on the mean of the constructs: density, box and points."""
    measure = data.measures[-1]
    frame = data.trials.assign(value=data.values(measure))
    means = frame.groupby(["condition", "participant"], sort=True)["value"].mean().dropna().reset_index()
    random = np.random.default_rng(results["data"]["seed"])
    conditions = data.conditions
    figure = new_figure(7.2, 0.85 * len(conditions) + 0.7)
    with mpl.rc_context(SETTINGS):
        ax = figure.subplots()
        for at, condition in enumerate(conditions):
            values = means.loc[means["condition"] == condition, "value"].to_numpy(float)
            colour = CATEGORICAL[at % len(CATEGORICAL)]
            if len(values) > 2 and np.ptp(values) > 0:
                grid = np.linspace(data.low, data.high, 200)
                density = gaussian_kde(values)(grid)
                ax.fill_between(
                    grid, at - 0.08, at - 0.08 - 0.36 * density / density.max(), color=colour, alpha=0.35, linewidth=0
                )
            shown = random.choice(values, MOST_POINTS, replace=False) if len(values) > MOST_POINTS else values
            ax.plot(
                shown, at + 0.24 + random.uniform(-0.09, 0.09, len(shown)), ".", color=colour, markersize=3, alpha=0.7
            )
            if len(values):
                q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75])
                ax.plot([q1, q3], [at + 0.03] * 2, color=INK, linewidth=3, solid_capstyle="butt")
                ax.plot(median, at + 0.03, "o", color="white", markeredgecolor=INK, markersize=4.5)
        ax.set_yticks(range(len(conditions)), [wrap(c, 28) for c in conditions])
        ax.set_ylim(len(conditions) - 0.45, -0.55)
        ax.set_xlim(data.low - 0.1, data.high + 0.1)
        ax.set_xlabel(f"Participant's mean ({measure})")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    text = "Cloud: density of the participants' means. Bar: middle half, with the median. Dots: participants (shifted vertically)."
    return Drawing("participants", "Participants' means", text, figure, means)
