"""Does the primary test keep its promise? Type I error and coverage over simulated studies, written to docs/statistics-simulation.md.

    python -m benchmarks.simulation_check --studies 1000

Each study: participants × trials, conditions balanced within a participant, one item per trial, ratings from the ordinal model
with random effects of participants and items. Some studies have no effect, some a planted one.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click
import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from app.statistics.ordinal import fit_ordinal

PAGE = Path(__file__).resolve().parent.parent / "docs" / "statistics-simulation.md"
CONDITIONS = ["A", "B", "C", "D"]
PLANTED = {"A": 0.0, "B": 0.2, "C": 0.4, "D": 0.6}
CUTS = (-3.0, -1.6, -0.9, 1.2)
SD_PARTICIPANT, SD_ITEM = 1.5, 0.5
ALPHA = 0.05


def simulate(seed: int, effects: dict[str, float], participants: int, trials: int, items: int) -> pd.DataFrame:
    """One study's ratings: participant, item, condition, y (1 to 5)."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "participant": np.repeat(np.arange(participants), trials),
            "item": np.concatenate([rng.choice(items, trials, replace=False) for _ in range(participants)]),
            "condition": np.concatenate([rng.permutation(np.resize(CONDITIONS, trials)) for _ in range(participants)]),
        }
    )
    latent = (
        frame["condition"].map(effects).to_numpy(dtype=float)
        + rng.normal(0, SD_PARTICIPANT, participants)[frame["participant"]]
        + rng.normal(0, SD_ITEM, items)[frame["item"]]
        + rng.logistic(size=len(frame))
    )
    return frame.assign(y=1 + np.digitize(latent, CUTS))


def analyse(task: tuple[int, dict[str, float], int, int, int]) -> dict[str, Any]:
    """What one simulated study shows."""
    _, effects, *_ = task
    frame = simulate(*task)
    started = time.perf_counter()
    result = fit_ordinal(frame, response="y", condition="condition", participant="participant", item="item")
    seconds = time.perf_counter() - started
    truth = [effects[row["b"]] - effects[row["a"]] for row in result.contrasts]
    pairs = list(zip(result.contrasts, truth, strict=True))
    kruskal = stats.kruskal(*(group["y"] for _, group in frame.groupby("condition")))
    return {
        "seconds": seconds,
        "converged": result.convergence["converged"],
        "p": result.p,
        "kruskal_p": float(kruskal.pvalue),
        "covered": [row["ci"][0] <= true <= row["ci"][1] for row, true in pairs],
        "all_covered": all(row["ci_tukey"][0] <= true <= row["ci_tukey"][1] for row, true in pairs),
        "false_tukey": any(row["p_tukey"] < ALPHA for row, true in pairs if true == 0.0),
        "error": [row["estimate"] - true for row, true in pairs],
        "se": [row["se"] for row, _ in pairs],
        "false_equivalence": [
            e["p_tost"] < ALPHA for e, true in zip(result.equivalence, truth, strict=True) if true >= math.log(1.5)
        ],
        "sd": [result.sd["participant"], result.sd["item"]],
    }


def share(hits: int, total: int) -> str:
    """A proportion with its 95 % Monte Carlo interval (Clopper & Pearson)."""
    interval = stats.binomtest(hits, total).proportion_ci(method="exact")
    return f"{hits / total:.4f} ({interval.low:.4f} to {interval.high:.4f})"


def row(name: str, null: str, planted: str) -> str:
    """A line of the table."""
    return f"| {name} | {null} | {planted} |"


def table(null: list[dict[str, Any]], planted: list[dict[str, Any]]) -> list[str]:
    """The page's table: a column of studies without and one with an effect."""

    def both(name: str, value: Callable[[list[dict[str, Any]]], str]) -> str:
        return row(name, value(null), value(planted))

    def rate(key: str, level: float) -> Callable[[list[dict[str, Any]]], str]:
        return lambda studies: share(sum(s[key] < level for s in studies), len(studies))

    def pooled_coverage(studies: list[dict[str, Any]]) -> str:
        shares = np.array(
            [np.mean(s["covered"]) for s in studies]
        )  # contrasts of one study are dependent: error over studies
        half = 1.96 * shares.std(ddof=1) / math.sqrt(len(shares))
        return f"{shares.mean():.4f} ({shares.mean() - half:.4f} to {shares.mean() + half:.4f})"

    def errors(studies: list[dict[str, Any]]) -> str:
        found = np.array([s["error"] for s in studies])
        return f"{found.mean():+.4f} (largest of a contrast {np.abs(found.mean(axis=0)).max():.4f})"

    def se_ratio(studies: list[dict[str, Any]]) -> str:
        found, ses = np.array([s["error"] for s in studies]), np.array([s["se"] for s in studies])
        return f"{(ses.mean(axis=0) / found.std(axis=0, ddof=1)).mean():.4f}"

    def mean_sds(studies: list[dict[str, Any]]) -> str:
        return ", ".join(f"{value:.3f}" for value in np.mean([s["sd"] for s in studies], axis=0))

    equivalence = [hit for s in planted for hit in s["false_equivalence"]]
    return [
        row("quantity", "no effect", "planted effect"),
        "| --- | --- | --- |",
        both("studies", lambda studies: str(len(studies))),
        both("likelihood-ratio test of condition, p < .05", rate("p", 0.05)),
        both("likelihood-ratio test of condition, p < .01", rate("p", 0.01)),
        both("Kruskal-Wallis on the same ratings (as if independent), p < .05", rate("kruskal_p", 0.05)),
        both("coverage of 95 % Wald intervals, six contrasts together", pooled_coverage),
        both(
            "all six within their simultaneous 95 % Tukey intervals",
            lambda studies: share(sum(s["all_covered"] for s in studies), len(studies)),
        ),
        row("any contrast significant after Tukey", share(sum(s["false_tukey"] for s in null), len(null)), "-"),
        row("equivalence declared where the odds ratio is 1.5 or more", "-", share(sum(equivalence), len(equivalence))),
        both("mean error of the log odds ratios", errors),
        both("mean standard error / standard deviation of the estimates", se_ratio),
        both(f"mean estimated sd of participants, items (true {SD_PARTICIPANT}, {SD_ITEM})", mean_sds),
        both("fits that did not converge", lambda studies: str(sum(not s["converged"] for s in studies))),
        both("median seconds per study", lambda studies: f"{np.median([s['seconds'] for s in studies]):.3f}"),
    ]


@click.command(epilog="Example: python -m benchmarks.simulation_check --studies 1000")
@click.option("--studies", default=1000, show_default=True, help="Studies with a planted effect.")
@click.option("--null-studies", default=2000, show_default=True, help="Studies without an effect.")
@click.option("--participants", default=96, show_default=True)
@click.option("--trials", default=12, show_default=True)
@click.option("--items", default=48, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--processes", default=2, show_default=True)
def main(
    studies: int, null_studies: int, participants: int, trials: int, items: int, seed: int, processes: int
) -> None:
    """Simulate, analyse and write docs/statistics-simulation.md."""
    size = (participants, trials, items)
    tasks = [(seed + i, dict.fromkeys(CONDITIONS, 0.0), *size) for i in range(null_studies)]
    tasks += [(seed + 1_000_000 + i, PLANTED, *size) for i in range(studies)]
    with get_context("spawn").Pool(processes) as pool:
        results = list(tqdm(pool.imap(analyse, tasks, chunksize=10), total=len(tasks), unit="study"))
    effects = ", ".join(f"{name} {value:g}" for name, value in PLANTED.items())
    lines = [
        "# Simulation check of the primary analysis",
        "",
        f"Written by `python -m benchmarks.simulation_check --studies {studies} --null-studies {null_studies} "
        f"--participants {participants} --trials {trials} --items {items} --seed {seed}` "
        f"(Python {platform.python_version()}, NumPy {np.__version__}).",
        "",
        f"Each study has {participants} participants × {trials} trials, four conditions balanced within a participant and {items} items;",
        f"ratings 1 to 5 come from the ordinal model with standard deviations of {SD_PARTICIPANT} (participants) and {SD_ITEM} (items).",
        f"The planted effects are log odds of {effects}. Brackets hold 95 % Monte Carlo intervals.",
        "Nominal values: 0.05 and 0.01 for the tests without an effect, 0.95 for coverage.",
        "",
        *table(results[:null_studies], results[null_studies:]),
        "",
    ]
    PAGE.write_text("\n".join(lines))
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
