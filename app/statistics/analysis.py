"""Everything asked of a study's ratings, in one dictionary: the content of results.json."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from app.errors import InputError
from app.statistics import checks
from app.statistics.agreement import agreement
from app.statistics.assumptions import assumptions
from app.statistics.data import RatingsData, split_rules
from app.statistics.descriptives import describe
from app.statistics.dunn import dunn
from app.statistics.friedman import friedman
from app.statistics.kruskal import kruskal
from app.statistics.linear_mixed import fit_linear
from app.statistics.mixed_result import Row, plain
from app.statistics.models import fit_ordinals, model_arguments
from app.statistics.multivariate import multivariate
from app.statistics.ols import ols
from app.statistics.reliability import reliability
from app.statistics.sensitivity import sensitivity

Progress = Callable[[str, int, int], None]
"""Called before each step with its name, its number from 0, and the number of steps."""
PACKAGES = ("blindrate", "numpy", "scipy", "pandas", "pingouin", "statsmodels", "krippendorff")


@dataclass(frozen=True)
class Options:
    """How to analyse. `equivalence` is an odds ratio above 1; `workers` are processes, and change no number."""

    alpha: float = 0.05
    equivalence: float = 1.5
    seed: int = 0
    bootstrap: int = 2000
    permutations: int = 1999
    workers: int = 2

    def check(self, scale: tuple[int, int] | None = None) -> None:
        """Raise InputError unless every option is in its range."""
        problems = checks.option_problems(
            self.alpha, self.equivalence, self.seed, self.bootstrap, self.permutations, scale
        )
        if problems:
            raise InputError("\n".join(problems))


Step = Callable[[RatingsData, Options], Any]


def _linear(data: RatingsData, options: Options) -> Row:
    arguments = model_arguments(data)
    return fit_linear(data.frame, response=data.measures[-1], alpha=options.alpha, **arguments).to_dict()


STEPS: dict[str, Step] = {
    "descriptives": lambda data, o: describe(data, alpha=o.alpha, seed=o.seed, bootstrap=o.bootstrap).to_dict(),
    "reliability": lambda data, o: reliability(data, alpha=o.alpha).to_dict(),
    "agreement": lambda data, o: agreement(data, alpha=o.alpha, seed=o.seed, bootstrap=o.bootstrap).to_dict(),
    "ordinal": lambda data, o: fit_ordinals(data, alpha=o.alpha, equivalence=o.equivalence),
    "linear": _linear,
    "kruskal": lambda data, o: kruskal(data).to_dict(),
    "dunn": lambda data, o: dunn(data, alpha=o.alpha, seed=o.seed, bootstrap=o.bootstrap).to_dict(),
    "friedman": lambda data, o: friedman(data).to_dict(),
    "assumptions": lambda data, o: assumptions(data).to_dict(),
    "ols": lambda data, o: ols(data, alpha=o.alpha).to_dict(),
    "multivariate": lambda data, o: multivariate(data, seed=o.seed, permutations=o.permutations).to_dict(),
    "sensitivity": lambda data, o: sensitivity(data, alpha=o.alpha, equivalence=o.equivalence, workers=o.workers),
}
"""The keys of results.json after `data`, in order. Each step is pure: the same data and options give the same result."""


def analyze(data: RatingsData, options: Options | None = None, progress: Progress | None = None) -> Row:
    """Run every analysis on the ratings that no exclusion rule takes out.

    Returns plain JSON values without NaN: a number that can't be had is None, and a `reason`, `reasons` or `notes` beside
    it says why. Raises InputError for options out of range or when nothing is left to compare.
    """
    options = options or Options()
    options.check()
    kept = data.kept
    if len(kept.conditions) < 2 or kept.trials["participant"].nunique() < 2:
        raise InputError(f"{data.name}: the exclusions leave fewer than two conditions or two participants")
    results: Row = {"data": _data(data, kept, options)}
    for at, name in enumerate(STEPS):
        if progress:
            progress(name, at, len(STEPS))
        results[name] = run_step(name, data if name == "sensitivity" else kept, options)
    results = plain(results)
    return results


def run_step(name: str, data: RatingsData, options: Options) -> Any:
    """One entry of `STEPS`, on one BLAS thread: how many threads share a product changes its last digits."""
    with threadpool_limits(1, user_api="blas"):
        return STEPS[name](data, options)


def _data(data: RatingsData, kept: RatingsData, options: Options) -> Row:
    """What was read, what was left out by which rule, and with which versions and seed it is analysed."""
    trials = kept.trials
    raters = trials.groupby("explanation")["participant"].nunique()
    per_person = trials.groupby("participant").size()
    return {
        "file": data.name,
        "sha256": data.sha256,
        "rows": data.rows,
        "participants": int(trials["participant"].nunique()),
        "trials": len(trials),
        "ratings": int(trials[data.constructs].notna().to_numpy().sum()),
        "items": int(trials["item"].nunique()),
        "explanations": len(raters),
        "conditions": [_condition(kept, condition) for condition in kept.conditions],
        "reference": kept.conditions[0],
        "constructs": data.constructs,
        "quality": data.quality if len(data.constructs) > 1 else None,
        "scale": {"low": data.low, "high": data.high},
        "covariates": data.covariates,
        "columns": {role: _plain(getattr(data.columns, role)) for role in data.columns.__dataclass_fields__},
        "background": _background(kept),
        "raters_per_explanation": _spread(raters),
        "trials_per_participant": _spread(per_person),
        "missing": {name: int(trials[name].isna().sum()) for name in data.constructs},
        "flow": _flow(data, kept),
        "warnings": data.warnings,
        "versions": versions(),
        "seed": options.seed,
        "options": {
            "alpha": options.alpha,
            "equivalence": options.equivalence,
            "bootstrap": options.bootstrap,
            "permutations": options.permutations,
        },
    }


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _spread(counts: Any) -> Row:
    return {"min": int(counts.min()), "median": float(np.median(counts)), "max": int(counts.max())}


def _condition(data: RatingsData, condition: str) -> Row:
    own = data.trials[data.trials["condition"] == condition]
    count: Callable[[str], int] = lambda role: int(own[role].nunique())  # noqa: E731
    return {
        "condition": condition,
        "trials": len(own),
        "participants": count("participant"),
        "items": count("item"),
        "explanations": count("explanation"),
    }


def _background(data: RatingsData) -> list[Row]:
    """[variable, value, participants], the commonest first; an empty cell is 'no answer'."""
    rows: list[Row] = []
    for name in data.background.columns:
        counts = data.background[name].replace("", "no answer").value_counts()
        order = sorted(counts.items(), key=lambda entry: (-entry[1], str(entry[0])))
        rows += [{"variable": name, "value": str(value), "participants": int(n)} for value, n in order]
    return rows


def _flow(data: RatingsData, kept: RatingsData) -> Row:
    """Participants and trials that entered, were excluded by each rule (rules may overlap), and are analysed."""

    def count(part: RatingsData) -> Row:
        return {"participants": int(part.trials["participant"].nunique()), "trials": len(part.trials)}

    excluded = []
    for rule in data.rules:
        hit = np.array([rule in split_rules(cell) for cell in data.trials["excluded"]], dtype=bool)
        excluded.append({"rule": rule, **count(data.subset(hit))})
    return {"entered": count(data), "excluded": excluded, "analysed": count(kept)}


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """Python's and the packages' versions; None for one that isn't installed."""
    out: dict[str, str | None] = {"python": platform.python_version()}
    for name in packages:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            out[name] = None
    return out
