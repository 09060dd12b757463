"""Whether the primary results hang on an exclusion rule, a modelling choice, one participant or a few ratings."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_all_start_methods, get_context
from typing import Any

import numpy as np

from app.statistics.contrasts import tukey_quantile
from app.statistics.data import RatingsData, split_rules
from app.statistics.influence import Influence, influence
from app.statistics.mixed_result import Row
from app.statistics.models import fit_ordinals, model_arguments, with_holm
from app.statistics.ordinal import fit_ordinal
from app.statistics.ordinal_checks import check_proportional_odds, fit_binary

MOST_DROPPED = 0.01
"""Share of a construct's ratings up to which dropping is looked at."""
REFITS = 4
"""Refits to confirm a number of ratings, adding a tenth each time."""
COMPACT = ("construct", "estimable", "reason", "notes", "n", "lr", "df", "p", "sd", "coefficients", "contrasts")


def sensitivity(data: RatingsData, *, alpha: float = 0.05, equivalence: float = 1.5, workers: int = 2) -> Row:
    """Everything of results.json's `sensitivity`; `data` still has the rows that rules exclude.

    exclusions [without, participants, trials, ordinal]; without_covariates (empty where there are none),
    participant_condition, binary [the ordinal model's compact rows];
    proportional_odds [construct, lr, df, p, doubtful, …]; leave_one_out [construct, a, b, estimate, low, high, low_without,
    high_without, reason]; dropped [construct, a, b, p_tukey, ratings, share, confirmed, rows, reason].
    """
    kept = data.kept
    jobs: list[tuple[Callable[..., Row], tuple[Any, ...]]] = []
    for name in kept.constructs:
        jobs += [(_participant_condition, (kept, name, alpha)), (_robustness, (kept, name, alpha, equivalence))]
    found = _run(jobs, workers)
    wide, other = found[0::2], found[1::2]
    return {
        "exclusions": _exclusions(data, alpha, equivalence),
        "without_covariates": with_holm([part["without_covariates"] for part in other]) if kept.covariates else [],
        "participant_condition": with_holm(wide),
        "proportional_odds": [part["proportional_odds"] for part in other],
        "binary": with_holm([part["binary"] for part in other]),
        "leave_one_out": [row for part in other for row in part["leave_one_out"]],
        "dropped": [row for part in other for row in part["dropped"]],
    }


def _without_covariates(data: RatingsData, name: str, alpha: float) -> Row:
    """The primary analysis of the conditions as they were shown: a covariate that they change takes a part of their difference."""
    arguments = model_arguments(data) | {"covariates": []}
    return compact(fit_ordinal(data.frame, response=name, alpha=alpha, **arguments).to_dict())


def _run(jobs: list[tuple[Callable[..., Row], tuple[Any, ...]]], workers: int) -> list[Row]:
    """The jobs' results in order, in processes of their own where the system can fork."""
    if workers < 2 or "fork" not in get_all_start_methods():
        return [job(*arguments) for job, arguments in jobs]
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        return [future.result() for future in [pool.submit(job, *arguments) for job, arguments in jobs]]


def compact(entry: Row) -> Row:
    """An ordinal result without what the report shows of the primary model only."""
    return {key: entry[key] for key in COMPACT}


def _exclusions(data: RatingsData, alpha: float, equivalence: float) -> list[Row]:
    """The primary analysis with each rule left out in turn, and with none applied (where there are several)."""
    cells = [split_rules(cell) for cell in data.trials["excluded"]]
    without: dict[str, set[str]] = {rule: {rule} for rule in data.rules}
    if len(data.rules) > 1:
        without["all rules"] = set(data.rules)
    rows: list[Row] = []
    for name, left_out in without.items():
        part = data.subset(np.array([set(cell) <= left_out for cell in cells], dtype=bool))
        models = [
            compact(entry) | {"p_holm": entry["p_holm"]}
            for entry in fit_ordinals(part, alpha=alpha, equivalence=equivalence)
        ]
        people = int(part.trials["participant"].nunique())
        rows.append({"without": name, "participants": people, "trials": len(part.trials), "ordinal": models})
    return rows


def _participant_condition(data: RatingsData, name: str, alpha: float) -> Row:
    """The ordinal model in which participants may differ in what they think of the conditions."""
    arguments = model_arguments(data)
    return compact(
        fit_ordinal(data.frame, response=name, alpha=alpha, participant_condition=True, **arguments).to_dict()
    )


def _robustness(data: RatingsData, name: str, alpha: float, equivalence: float) -> Row:
    """Proportional odds, the binary model, and influence, of one construct."""
    arguments = model_arguments(data)
    frame, scale = data.frame, (float(data.low), float(data.high))
    odds = check_proportional_odds(frame, response=name, alpha=alpha, **arguments).to_dict()
    binary = fit_binary(frame, response=name, scale=scale, alpha=alpha, equivalence=equivalence, **arguments).to_dict()
    found = influence(frame, name, arguments)
    primary = fit_ordinal(frame, response=name, alpha=alpha, **arguments)
    return {
        "proportional_odds": odds,
        "binary": compact(binary),
        "without_covariates": _without_covariates(data, name, alpha) if data.covariates else {},
        "leave_one_out": _leave_one_out(name, primary.contrasts, found),
        "dropped": _dropped(data, name, primary.contrasts, found, alpha),
    }


def _leave_one_out(name: str, contrasts: list[Row], found: Influence | str) -> list[Row]:
    """The range of each contrast when one participant is left out (one Newton step, standard deviations held)."""
    rows: list[Row] = []
    keys = ("low", "high", "low_without", "high_without", "reason")
    for at, contrast in enumerate(contrasts):
        row: Row = {"construct": name, "a": contrast["a"], "b": contrast["b"], "estimate": contrast["estimate"]}
        row |= dict.fromkeys(keys)
        if isinstance(found, str):
            row["reason"] = found
        elif contrast["estimate"] is None:
            row["reason"] = "the contrast has no finite estimate"
        else:
            change = found.by_participant[:, at]
            low, high = int(change.argmin()), int(change.argmax())
            row |= {"low": contrast["estimate"] + change[low], "high": contrast["estimate"] + change[high]}
            row |= {"low_without": found.people[low], "high_without": found.people[high]}
        rows.append(row)
    return rows


def _dropped(data: RatingsData, name: str, contrasts: list[Row], found: Influence | str, alpha: float) -> list[Row]:
    """For each contrast with p_tukey < alpha, how few ratings must go for it not to be, up to 1 % of them.

    The ratings that pull hardest go first; the number comes from adding their first-order changes with the standard error
    held, and is then confirmed by refits (which may add some). `confirmed` False: the refits did not agree.
    """
    rows: list[Row] = []
    for at, contrast in enumerate(contrasts):
        if contrast["p_tukey"] is None or contrast["p_tukey"] >= alpha:
            continue
        row: Row = {"construct": name, "a": contrast["a"], "b": contrast["b"], "p_tukey": contrast["p_tukey"]}
        row |= dict.fromkeys(("ratings", "share", "confirmed", "rows", "reason"))
        rows.append(row)
        if isinstance(found, str):
            row["reason"] = found
            continue
        change = found.by_row[:, at] * np.sign(contrast["estimate"])
        order = np.argsort(change, kind="stable")
        excess = abs(contrast["estimate"]) - tukey_quantile(len(data.conditions), alpha) * contrast["se"]
        total = np.cumsum(change[order])
        most = int(MOST_DROPPED * len(order))
        enough = np.flatnonzero(excess + total[:most] < 0)
        if len(enough):
            row |= _confirm(data, name, found.rows[order], int(enough[0]) + 1, most, at, alpha)
        else:
            row["reason"] = f"more than {most} ratings (1 %) would have to be dropped"
    return rows


def _confirm(data: RatingsData, name: str, order: np.ndarray, count: int, most: int, at: int, alpha: float) -> Row:
    """Fit without the first `count` rows of `order`; more of them while the contrast stays significant."""
    arguments = model_arguments(data)
    for _ in range(REFITS):
        frame = data.frame.drop(index=order[:count])
        p = fit_ordinal(frame, response=name, alpha=alpha, **arguments).contrasts[at]["p_tukey"]
        if p is not None and p >= alpha:
            rows = sorted(int(row) for row in data.trials["row"].iloc[order[:count]])
            return {"ratings": count, "share": count / len(order), "confirmed": True, "rows": rows}
        if count == most:
            return {"confirmed": True, "reason": f"more than {most} ratings (1 %) would have to be dropped"}
        count = min(most, count + max(1, count // 10))
    return {
        "confirmed": False,
        "reason": f"more than {count} ratings would have to be dropped; the search stopped there",
    }
