"""Power and the smallest detectable effect of a study, by simulation from the ordinal mixed model and its own analysis."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_all_start_methods, get_context
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from app.errors import InputError
from app.statistics.analysis import Progress, versions
from app.statistics.mixed_result import Row, plain
from app.statistics.ordinal import fit_ordinal
from app.statistics.resampling import generator

BATCH = 10
"""Studies simulated in one job; the bar moves by jobs."""


@dataclass(frozen=True)
class Assumptions:
    """The world that is simulated. `shares` of the scale points, lowest first, in every condition but the last, which has
    `odds_ratio` times their odds of a higher rating; standard deviations on the logit scale."""

    conditions: int = 4
    shares: tuple[float, ...] = (0.03, 0.1, 0.12, 0.4, 0.35)
    sd_participant: float = 1.5
    sd_item: float = 0.4
    sd_explanation: float = 0.0


@dataclass(frozen=True)
class StudyDesign:
    """Participants, trials of each, participants who rate one explanation."""

    participants: int
    trials: int
    raters: int = 1


def check(
    designs: Sequence[StudyDesign], odds_ratios: Sequence[float], world: Assumptions, alpha: float, replicates: int
) -> None:
    """Raise InputError unless the options describe studies that can be simulated."""
    problems = []
    if not designs or not odds_ratios:
        problems.append("give at least one design and one odds ratio")
    for design in designs:
        if design.participants < 2 or design.trials < 1 or design.raters < 1:
            problems.append(
                f"{design.participants} participants, {design.trials} trials, {design.raters} raters: too few"
            )
        elif design.raters > design.participants:
            problems.append(
                f"{design.raters} raters per explanation are more than the {design.participants} participants"
            )
        elif explanations(design, world.conditions) < max(2, -(-design.trials // world.conditions)):
            problems.append(
                f"{design.participants} participants × {design.trials} trials with {design.raters} raters per explanation leave "
                f"too few explanations per condition ({explanations(design, world.conditions)})"
            )
    problems += [f"odds ratio {ratio:g} must be above 0" for ratio in odds_ratios if not 0 < ratio < np.inf]
    if world.conditions < 2:
        problems.append("a comparison needs two conditions")
    if len(world.shares) < 2 or min(world.shares) <= 0 or abs(sum(world.shares) - 1) > 0.01:
        problems.append("the shares of the scale points must be above 0 and add up to 1")
    if min(world.sd_participant, world.sd_item, world.sd_explanation) < 0:
        problems.append("a standard deviation is below 0")
    if not 0 < alpha < 0.5:
        problems.append(f"alpha is {alpha:g}; it must lie between 0 and 0.5")
    if replicates < 20:
        problems.append(f"{replicates} replicates are too few; at least 20 are needed")
    if problems:
        raise InputError("\n".join(problems))


def explanations(design: StudyDesign, conditions: int) -> int:
    """Explanations of each condition, so that each is rated by `raters` participants (rounded up)."""
    return -(-design.participants * design.trials // (conditions * design.raters))


def simulate(design: StudyDesign, odds_ratio: float, world: Assumptions, rng: np.random.Generator) -> pd.DataFrame:
    """One study's ratings: participant, condition, item, explanation, value (from 1).

    Conditions alternate over a participant's trials and start where the one before ended; each condition's explanations are
    dealt in random order until all are used, `raters` times round. Conditions share their items.
    """
    count = design.participants * design.trials
    participant = np.repeat(np.arange(design.participants), design.trials)
    condition = np.arange(count) % world.conditions
    turn = np.arange(count) // world.conditions
    per = explanations(design, world.conditions)
    decks = np.array([rng.permutation(per) for _ in range(world.conditions)])
    item = decks[condition, turn % per]
    explanation = condition * per + item
    eta = np.log(odds_ratio) * (condition == world.conditions - 1)
    eta = eta + world.sd_participant * rng.standard_normal(design.participants)[participant]
    eta = eta + world.sd_item * rng.standard_normal(per)[item]
    eta = eta + world.sd_explanation * rng.standard_normal(world.conditions * per)[explanation]
    value = 1 + (rng.logistic(size=count)[:, None] + eta[:, None] > thresholds(world)[None, :]).sum(axis=1)
    return pd.DataFrame(
        {"participant": participant, "condition": condition, "item": item, "explanation": explanation, "value": value}
    )


def thresholds(world: Assumptions) -> np.ndarray:
    """(K - 1,) thresholds that give about `shares` over the population: its variance added to the logistic's."""
    shares = np.asarray(world.shares) / sum(world.shares)
    variance = world.sd_participant**2 + world.sd_item**2 + world.sd_explanation**2
    return np.asarray(stats.logistic.ppf(np.cumsum(shares)[:-1]) * np.sqrt(1 + 3 * variance / np.pi**2))


def power(
    designs: Sequence[StudyDesign],
    odds_ratios: Sequence[float],
    world: Assumptions | None = None,
    *,
    alpha: float = 0.05,
    target: float = 0.8,
    replicates: int = 200,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
) -> Row:
    """Simulate `replicates` studies of each design and odds ratio; test the condition effect in each as the analysis does.

    Returns power [participants, trials, raters, explanations, odds_ratio, power, ci, replicates, failed] with Wilson's 95 %
    Monte Carlo interval, and minimum_detectable [participants, trials, raters, odds_ratio, ci, reason] for `target` power: the
    odds ratio where the line through the simulated ones crosses it, and where their intervals' ends do. `failed` studies
    had no model and count as not detected. Numbers don't depend on `workers`. Raises InputError.
    """
    world = world or Assumptions()
    check(designs, odds_ratios, world, alpha, replicates)
    cells = [(design, float(ratio)) for design in designs for ratio in sorted(odds_ratios)]
    jobs: list[tuple[Any, ...]] = []
    for at, (design, ratio) in enumerate(cells):
        for first in range(0, replicates, BATCH):
            jobs.append((at, design, ratio, world, alpha, seed, first, min(first + BATCH, replicates)))
    hits, failed = np.zeros(len(cells), dtype=int), np.zeros(len(cells), dtype=int)
    for done, (at, detected, without) in enumerate(_results(jobs, workers)):
        hits[at] += detected
        failed[at] += without
        if progress:
            progress("simulate", done + 1, len(jobs))
    rows: list[Row] = []
    for (design, ratio), hit, lost in zip(cells, hits.tolist(), failed.tolist(), strict=True):
        interval = stats.binomtest(hit, replicates).proportion_ci(0.95, "wilson")
        row: Row = {**asdict(design), "explanations": explanations(design, world.conditions), "odds_ratio": ratio}
        row |= {"power": hit / replicates, "ci": [interval.low, interval.high], "replicates": replicates}
        rows.append(row | {"failed": lost})
    result: Row = plain(
        {
            "assumptions": asdict(world) | {"thresholds": thresholds(world)},
            "options": {"alpha": alpha, "target": target, "replicates": replicates, "seed": seed},
            "versions": versions(),
            "power": rows,
            "minimum_detectable": [_detectable(design, rows, target) for design in dict.fromkeys(designs)],
        }
    )
    return result


def _results(jobs: list[tuple[Any, ...]], workers: int) -> Any:
    """Results in the jobs' order, as they come, from forked processes where there are any."""
    if workers < 2 or "fork" not in get_all_start_methods():
        yield from map(_batch, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        yield from pool.map(_batch, jobs)


def _batch(job: tuple[Any, ...]) -> tuple[int, int, int]:
    """(cell, studies with p < alpha, studies without a model) of some replicates; each has a generator of its own."""
    at, design, ratio, world, alpha, seed, first, end = job
    detected = failed = 0
    explanation = "explanation" if design.raters > 1 else None
    for replicate in range(first, end):
        name = f"power {design.participants} {design.trials} {design.raters} {ratio:.12g} {replicate}"
        frame = simulate(design, ratio, world, generator(seed, name))
        result = fit_ordinal(
            frame,
            response="value",
            condition="condition",
            participant="participant",
            item="item",
            explanation=explanation,
            alpha=alpha,
        )
        failed += not result.estimable
        detected += bool(result.p is not None and result.p < alpha)
    return at, detected, failed


def _detectable(design: StudyDesign, rows: list[Row], target: float) -> Row:
    """Where power over |log odds ratio|, made not to fall, first reaches the target."""
    own = [row for row in rows if all(row[key] == value for key, value in asdict(design).items())]
    effect = np.array([abs(np.log(row["odds_ratio"])) for row in own])
    order = np.argsort(effect, kind="stable")

    def crossing(values: list[float]) -> float | None:
        risen = np.maximum.accumulate(np.array(values)[order])
        reached = np.flatnonzero(risen >= target)
        if not len(reached) or reached[0] == 0:
            return None
        j = int(reached[0])
        share = (target - risen[j - 1]) / (risen[j] - risen[j - 1])
        return float(np.exp(effect[order][j - 1] + share * (effect[order][j] - effect[order][j - 1])))

    found = crossing([row["power"] for row in own])
    ends = [crossing([row["ci"][end] for row in own]) for end in (1, 0)]
    reason = None
    if found is None:
        high = max(row["power"] for row in own) >= target
        reason = (
            "the smallest odds ratio simulated has the power already; simulate smaller ones"
            if high
            else "no odds ratio simulated has the power; simulate larger ones"
        )
    return {**asdict(design), "odds_ratio": found, "ci": ends if found is not None else None, "reason": reason}


def from_results(results: Row, construct: str | None = None) -> Assumptions:
    """The world that a results.json found: the reference condition's shares (half a rating added to each point), the
    ordinal model's standard deviations, of `construct` (default: the first with a model). Raises InputError."""
    fitted = [entry for entry in results.get("ordinal", []) if entry["estimable"] and entry["sd"]]
    entry = next((entry for entry in fitted if construct in (None, entry["construct"])), None)
    if entry is None:
        names = ", ".join(entry["construct"] for entry in fitted) or "none"
        raise InputError(f"the results have no ordinal model of {construct or 'any construct'}; there are: {names}")
    reference = results["data"]["reference"]
    counts = next(
        row["counts"]
        for row in results["descriptives"]
        if (row["construct"], row["condition"]) == (entry["construct"], reference)
    )
    smoothed = np.array(list(counts.values()), dtype=float) + 0.5
    sd = entry["sd"]
    return Assumptions(
        conditions=len(results["data"]["conditions"]),
        shares=tuple((smoothed / smoothed.sum()).tolist()),
        sd_participant=sd.get("participant", 0.0),
        sd_item=sd.get("item", 0.0),
        sd_explanation=sd.get("explanation", 0.0),
    )
