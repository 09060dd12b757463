"""Results in the shape of results.json, made up without any analysis: for figures and texts of every size."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

Row = dict[str, Any]


def contrast(a: str, b: str, estimate: float, se: float, p: float) -> Row:
    """One contrast b − a of an ordinal model."""
    ends, wide = [estimate - 1.96 * se, estimate + 1.96 * se], [estimate - 2.6 * se, estimate + 2.6 * se]
    return {
        "a": a, "b": b, "estimate": estimate, "se": se, "z": estimate / se, "p": p, "p_tukey": p, "p_holm": p,
        "odds_ratio": math.exp(estimate), "ci": ends, "odds_ratio_ci": [math.exp(e) for e in ends], "ci_tukey": wide,
    }  # fmt: skip


def model(construct: str, conditions: list[str], points: list[int], *, p: float = 0.001, people: int = 30) -> Row:
    """An ordinal model in which each condition is rated 0.3 logits higher than the one before."""
    random = np.random.default_rng(1)
    pairs = list(combinations(range(len(conditions)), 2))
    effects = {
        factor: [{"level": str(i), "mode": float(v), "sd": 0.4} for i, v in enumerate(random.normal(size=people))]
        for factor in ("participant", "item")
    }
    share = 1 / len(points)
    return {
        "construct": construct, "estimable": True, "reason": None, "notes": [], "n": 100, "alpha": 0.05,
        "reference": conditions[0], "conditions": conditions, "levels": {"participant": people, "item": people},
        "sd": {"participant": 1.0, "item": 0.5}, "icc": {"participant": 0.3, "item": 0.1},
        "coefficients": [{"condition": c, **_term(0.3 * (i + 1))} for i, c in enumerate(conditions[1:])],
        "contrasts": [contrast(conditions[i], conditions[j], 0.3 * (j - i), 0.1, p if p < 0.05 else 0.5) for i, j in pairs],
        "random_effects": effects, "log_likelihood": -90.0, "log_likelihood_null": -95.0, "lr": 10.0,
        "df": len(conditions) - 1, "p": p, "p_holm": p, "covariates": [],
        "thresholds": [{"cut": f"{q}|{q + 1}", "estimate": 0.1 * q, "se": 0.1} for q in points[:-1]],
        "equivalence_bound": 1.5, "categories": points,
        "equivalence": [{"a": conditions[i], "b": conditions[j], "p_tost": 0.6, "ci90": [0.1, 0.5]} for i, j in pairs],
        "probabilities": [
            {"condition": c, "category": float(q), "population": share, "typical": share} for c in conditions for q in points
        ],
    }  # fmt: skip


def _term(estimate: float) -> Row:
    ends = [estimate - 0.2, estimate + 0.2]
    ratios = {"odds_ratio": math.exp(estimate), "odds_ratio_ci": [math.exp(e) for e in ends]}
    return {"estimate": estimate, "se": 0.1, "z": estimate / 0.1, "p": 0.01, "ci": ends} | ratios


def results(conditions: list[str], points: list[int], constructs: list[str], **options: Any) -> Row:
    """Results of a study with these conditions, scale points and constructs."""
    size = {"participants": 30, "trials": 100}
    random = np.random.default_rng(2)
    described = [
        {
            "construct": construct, "condition": condition, "n": 100, "participants": 30, "mean": 3.2, "mean_ci": [3.0, 3.4], "sd": 1.0,
            "median": 3.0, "q1": 2.0, "q3": 4.0, "top2": 0.5, "top2_ci": [0.4, 0.6],
            "counts": {str(q): int(random.integers(1, 40)) for q in points},
        }
        for construct in constructs
        for condition in conditions
    ]  # fmt: skip
    ordinal = [model(construct, conditions, points, **options) for construct in constructs]
    return {
        "data": {
            "file": "made-up.csv", "sha256": "0" * 64, "rows": 100, **size, "ratings": 100 * len(constructs), "items": 20,
            "explanations": 80, "conditions": [{"condition": c, **size, "items": 20, "explanations": 20} for c in conditions],
            "reference": conditions[0], "constructs": constructs, "quality": None, "covariates": [], "background": [],
            "scale": {"low": points[0], "high": points[-1]}, "columns": {}, "warnings": [], "seed": 0, "study": None,
            "raters_per_explanation": {"min": 1, "median": 1.0, "max": 2},
            "trials_per_participant": {"min": 3, "median": 4.0, "max": 5}, "missing": dict.fromkeys(constructs, 0),
            "flow": {"entered": size, "excluded": [], "analysed": size}, "versions": {"python": "3", "blindrate": "1"},
            "options": {"alpha": 0.05, "equivalence": 1.5, "bootstrap": 100, "permutations": 99},
        },
        "descriptives": described,
        "ordinal": ordinal,
    }  # fmt: skip


def text_problems(figure: Figure) -> list[str]:
    """Texts of a figure that overlap each other or leave the page, as sentences."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    shown = [t for t in texts if t.axes is None or t.axes.get_visible()]
    shown = [t for t in shown if t not in _hidden_ticks(figure)]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in shown]
    page = figure.bbox
    out = [
        f"{text!r} leaves the page"
        for text, box in boxes
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < page.y0 - 1 or box.y1 > page.y1 + 1
    ]
    for (one, first), (two, second) in combinations(boxes, 2):
        wide = min(first.x1, second.x1) - max(first.x0, second.x0)
        high = min(first.y1, second.y1) - max(first.y0, second.y0)
        if wide > 1 and high > 1:
            out.append(f"{one!r} overlaps {two!r}")
    return out


def _hidden_ticks(figure: Figure) -> list[Any]:
    """Labels of ticks outside the axes' limits or of shared axes: not drawn."""
    hidden = []
    for ax in figure.axes:
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            low, high = sorted(limits)
            drawn = axis.get_visible() and ax.axison
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                inside = drawn and low <= tick.get_loc() <= high
                hidden += [] if inside and tick.label1.get_visible() else [tick.label1]
                hidden += [] if inside and tick.label2.get_visible() else [tick.label2]
    return hidden
