"""How fast the ordinal mixed model is: against R's ordinal::clmm on the same data in the same run, and as ratings grow.

    python -m benchmarks.ordinal --csv ../shared/data/paper/study.csv

Writes docs/statistics-speed.md. Without the CSV file ratings of the same size are simulated; without R (package ordinal) the
comparison is left out. Both sides make the same thing: estimates and standard errors of one model, no contrasts.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click
import numpy as np
import pandas as pd

from app.statistics.mixed_design import make_design
from app.statistics.ordinal import code_ratings, fit_ordinal
from app.statistics.ordinal_fit import maximise, natural_information
from app.statistics.ordinal_likelihood import OrdinalData

PAGE = Path(__file__).resolve().parent.parent / "docs" / "statistics-speed.md"
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
TRIALS = 50
COLUMNS = {"condition": "condition", "participant": "participant", "item": "item"}
R_SCRIPT = """
suppressMessages(library(ordinal)); suppressMessages(library(jsonlite))
arguments <- commandArgs(TRUE); d <- read.csv(arguments[1]); out <- list()
for (column in c("participant", "item", "condition")) d[[column]] <- factor(d[[column]])
for (construct in setdiff(names(d), c("participant", "item", "condition"))) {
  d$rating <- factor(d[[construct]])
  t <- system.time(m <- clmm(rating ~ condition + (1 | participant) + (1 | item), data = d, Hess = TRUE))
  out[[construct]] <- list(wall = t[["elapsed"]], cpu = t[["user.self"]], log_likelihood = as.numeric(logLik(m)))
}
out$version <- paste0("ordinal ", packageVersion("ordinal"), ", ", R.version.string)
cat(toJSON(out, auto_unbox = TRUE, digits = 10))
"""


def simulate(participants: int, trials: int, items: int, seed: int = 0) -> pd.DataFrame:
    """Ratings 1 to 5 of four conditions."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "participant": np.repeat(np.arange(participants), trials),
            "item": np.concatenate([rng.choice(items, trials, replace=items < trials) for _ in range(participants)]),
            "condition": np.concatenate(
                [rng.permutation(np.resize(list("ABCD"), trials)) for _ in range(participants)]
            ),
        }
    )
    latent = (
        frame["condition"].map({"A": 0.0, "B": 0.2, "C": 0.5, "D": -0.1}).to_numpy(dtype=float)
        + rng.normal(0, 1.5, participants)[frame["participant"]]
        + rng.normal(0, 0.5, items)[frame["item"]]
        + rng.logistic(size=len(frame))
    )
    return frame.assign(rating=1 + np.digitize(latent, [-2.5, -1.5, -0.3, 1.5]))


def one_fit(frame: pd.DataFrame, response: str) -> tuple[float, float, float]:
    """(wall, cpu, log-likelihood) of estimates and standard errors, from the table on."""
    wall, cpu = time.perf_counter(), time.process_time()
    design = make_design(
        frame, response=response, explanation=None, covariates=[], participant_condition=False, **COLUMNS
    )
    ratings, categories = code_ratings(design)
    data = OrdinalData(ratings, len(categories), design.fixed, design.blocks(), np.zeros(design.n, dtype=np.intp))
    fit = maximise(data)
    natural_information(data, fit)
    return time.perf_counter() - wall, time.process_time() - cpu, fit.log_likelihood


def study_table(csv: Path | None) -> tuple[pd.DataFrame, str]:
    """(participant, item, condition and constructs; where they come from)."""
    if csv and csv.exists():
        raw = pd.read_csv(csv)
        constructs = ["Completeness", "Contrastiveness", "Plausibility", "Satisfaction", "Understandability"]
        named = raw.rename(columns={"CASE": "participant", "rationale_id": "item", "model": "condition"})
        return named[
            ["participant", "item", "condition", *constructs]
        ], f"the reference study ({len(raw)} ratings per construct)"
    frame = simulate(117, 10, 375)
    return frame, f"simulated ratings of the reference study's size ({len(frame)})"


def against_r(frame: pd.DataFrame, source: str) -> list[str]:
    """The comparison's table, or a line that says why there is none."""
    if not shutil.which("Rscript"):
        return ["R is not installed here: no comparison."]
    constructs = [name for name in frame.columns if name not in COLUMNS]
    one_fit(frame, constructs[0])  # imports and caches
    with tempfile.TemporaryDirectory() as folder:
        path, script = Path(folder) / "ratings.csv", Path(folder) / "clmm.R"
        frame.to_csv(path, index=False)
        script.write_text(R_SCRIPT)
        before = {name: one_fit(frame, name) for name in constructs}
        done = subprocess.run(["Rscript", str(script), str(path)], capture_output=True, text=True, check=True)
        after = {name: one_fit(frame, name) for name in constructs}
    theirs = json.loads(done.stdout)
    lines = [
        f"Data: {source}. clmm with Hess = TRUE and its default control ({theirs.pop('version')});",
        "ours the mean of a run before and one after.",
        "",
        "| construct | clmm, s (CPU) | Blindrate, s (CPU) | faster by (CPU) | log-likelihood, clmm | Blindrate |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, r in theirs.items():
        wall = (before[name][0] + after[name][0]) / 2
        cpu = (before[name][1] + after[name][1]) / 2
        lines.append(
            f"| {name} | {r['wall']:.2f} ({r['cpu']:.2f}) | {wall:.3f} ({cpu:.3f}) | {r['wall'] / wall:.0f} ({r['cpu'] / cpu:.0f}) × "
            f"| {r['log_likelihood']:.4f} | {before[name][2]:.4f} |"
        )
    return lines


def measure(size: int, items: int) -> dict[str, Any]:
    """One size in this process: a fit, the whole of fit_ordinal, peak memory."""
    participants = size // TRIALS
    frame = simulate(participants, TRIALS, items)
    wall, cpu, _ = one_fit(frame, "rating")
    started = time.perf_counter()
    result = fit_ordinal(frame, response="rating", **COLUMNS)
    whole = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    items = int(frame["item"].nunique())
    return {
        "size": size,
        "participants": participants,
        "items": items,
        "wall": wall,
        "cpu": cpu,
        "whole": whole,
        "peak": peak,
    } | {"converged": result.convergence["converged"]}


def scaling(items_of: Callable[[int], int]) -> list[str]:
    """The table of sizes, each measured in a process of its own; `items_of` gives a size's number of items."""
    lines = [
        "| ratings | participants × trials, items | one fit with standard errors, s (CPU) | fit_ordinal, s | peak memory, MB | converged |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    cpus = []
    for size in SIZES:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.ordinal", "--measure", str(size), "--items", str(items_of(size))],
            capture_output=True,
            text=True,
            check=True,
        )
        m = json.loads(done.stdout)
        cpus.append(m["cpu"])
        lines.append(
            f"| {size:,} | {m['participants']:,} × {TRIALS}, {m['items']:,} | {m['wall']:.2f} ({m['cpu']:.2f}) | {m['whole']:.2f} "
            f"| {m['peak']:.0f} | {'yes' if m['converged'] else 'no'} |"
        )
        click.echo(lines[-1], err=True)
    slope = np.polyfit(np.log(SIZES[2:]), np.log(cpus[2:]), 1)[0]
    return [*lines, "", f"CPU time grows with ratings to the power {slope:.2f} from {SIZES[2]:,} to {SIZES[-1]:,}."]


@click.command(epilog="Example: python -m benchmarks.ordinal --csv ../shared/data/paper/study.csv")
@click.option("--csv", type=click.Path(path_type=Path), default=None, help="The reference study's ratings (study.csv).")
@click.option("--measure", "size", type=int, hidden=True)
@click.option("--items", default=400, hidden=True)
def main(csv: Path | None, size: int | None, items: int) -> None:
    """Measure and write docs/statistics-speed.md."""
    if size:
        click.echo(json.dumps(measure(size, items)))
        return
    frame, source = study_table(csv)
    lines = [
        "# Speed of the ordinal mixed model",
        "",
        f"Written by `python -m benchmarks.ordinal{' --csv study.csv' if csv else ''}` on {os.cpu_count()} cores with a load of "
        f"{os.getloadavg()[0]:.1f} from other work (Python {platform.python_version()}, NumPy {np.__version__}), BLAS with one thread.",
        "",
        "## Against R's clmm",
        "",
        *against_r(frame, source),
        "",
        "## As ratings grow",
        "",
        "Simulated: four conditions, ratings 1 to 5, participants and items crossed. `fit_ordinal` is everything: the model, the one",
        "without condition, contrasts, equivalence, probabilities, random effects.",
        "",
        "With 400 items:",
        "",
        *scaling(lambda size: 400),
        "",
        "With an item for every 100 ratings, so that the dense part of the problem grows too:",
        "",
        *scaling(lambda size: max(size // 100, TRIALS)),
        "",
    ]
    PAGE.write_text("\n".join(lines))
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
