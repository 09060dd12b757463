"""Commands on data and results: `blindrate analyze`, `accuracy`, `power`."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from app.errors import InputError


def split_names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """click callback: 'a, b' as ('a', 'b')."""
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


def parse_scale(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """click callback: '1-5' as (1, 5). Raises InputError for anything else."""
    if value is None:
        return None
    low, dash, high = value.strip().rpartition("-")
    try:
        if not dash:
            raise ValueError
        return int(low), int(high)
    except ValueError:
        raise InputError(f"--scale {value!r} is not of the form LOW-HIGH, such as 1-5") from None


def out_folder(out: Path) -> Path:
    """Make the folder if needed. Raises InputError if it can't be written into."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"--out {out} is a file; give a folder") from None
    except OSError as error:
        raise InputError(f"the folder {out} can't be made: {error.strerror}") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise InputError(f"the folder {out} can't be written into")
    return out


def write_json(results: dict[str, Any], path: Path) -> None:
    """Write `results` as a whole or not at all; the same results give the same bytes."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


def bar(description: str) -> tuple[Callable[[str, int, int], None], tqdm]:
    """A progress function and its bar on standard error (only on a terminal)."""
    meter = tqdm(desc=description, unit="step", disable=None, leave=False)

    def progress(name: str, at: int, of: int) -> None:
        meter.total = of
        meter.set_postfix_str(name, refresh=False)
        meter.update(at - meter.n)

    return progress, meter


def written(out: Path) -> str:
    """A line that says what is in the folder."""
    names = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    return f"Written: {', '.join(names)} in {out}"


def report_with(module: str, function: str, *arguments: Any) -> None:
    """Call a function of the reports if this installation has it."""
    if importlib.util.find_spec(f"app.reports.{module}") is not None:
        getattr(importlib.import_module(f"app.reports.{module}"), function)(*arguments)


@click.command(epilog="Example: blindrate analyze trials.csv --out report   (more: --help of each option above)")
@click.argument("source", metavar="FILE.csv|SLUG")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for results.json and the report.")
@click.option("--participant", metavar="COL", help="Column of the participant [participant].")
@click.option("--item", metavar="COL", help="Column of the question or item [question_id or item].")
@click.option("--condition", metavar="COL", help="Column of the condition [condition].")
@click.option("--constructs", metavar="A,B,…", callback=split_names, help="Columns of the ratings (wide files).")
@click.option("--explanation", metavar="COL", help="Column of the explanation [each condition's about an item].")
@click.option("--covariates", metavar="COL,…", callback=split_names, help="Columns that the models adjust for.")
@click.option("--background", metavar="COL,…", callback=split_names, help="Columns about participants.")
@click.option("--slot", metavar="COL", help="Column of the questionnaire's slot; checked for confounding.")
@click.option("--position", metavar="COL", help="Column of a trial's position [position].")
@click.option("--excluded", metavar="COL", help="Column naming the rule that excludes a row; empty: kept.")
@click.option("--reference", metavar="LABEL", help="Condition that the others are compared with [the first in order].")
@click.option("--scale", metavar="LOW-HIGH", callback=parse_scale, help="The scale's ends [lowest and highest found].")
@click.option("--alpha", type=float, default=0.05, show_default=True)
@click.option("--equivalence", type=float, default=1.5, show_default=True, help="Odds ratio that counts as equivalent.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--bootstrap", type=int, default=2000, show_default=True, help="Resamples of participants.")
@click.option("--permutations", type=int, default=1999, show_default=True)
@click.option("--bots", is_flag=True, help="Of a study: simulated participants too.")
def analyze(
    source: str,
    out: Path,
    bots: bool,
    reference: str | None,
    scale: tuple[int, int] | None,
    alpha: float,
    equivalence: float,
    seed: int,
    bootstrap: int,
    permutations: int,
    **roles: Any,
) -> None:
    """Analyse ratings and write the report.

    SOURCE is a CSV file, one row per trial or one row per rating, or the slug of a study. Blindrate's own ratings.csv and
    trials.csv need no column options.

    \b
    Examples:
      blindrate analyze trials.csv --out report
      blindrate analyze ratings.csv.gz --reference standard --out report
      blindrate analyze survey.csv --participant CASE --item question --condition model \\
        --constructs Plausibility,Completeness --covariates length --reference baseline --out report
      blindrate analyze my-study --out report
    """
    from app.statistics.analysis import Options
    from app.statistics.analysis import analyze as run
    from app.statistics.data import Columns, read_ratings

    options = Options(alpha, equivalence, seed, bootstrap, permutations)
    options.check(scale)
    study: dict[str, Any] | None = None
    if _is_file(source):
        data = read_ratings(source, Columns(**roles), reference=reference, scale=scale)
    else:
        data, study = _from_study(source, roles, reference, bots)
    out = out_folder(out)
    progress, meter = bar("analyze")
    with meter:
        results = run(data, options, progress)
    results["data"]["study"] = study
    write_json(results, out / "results.json")
    report_with("report", "write_report", results, data.kept, out)
    for warning in results["data"]["warnings"]:
        click.echo(f"Note: {warning}")
    for entry in results["ordinal"]:
        click.echo(_sentence(entry))
    click.echo(written(out))


def _is_file(source: str) -> bool:
    """Whether SOURCE means a file: it exists, or its name says so; else it is a slug."""
    return Path(source).exists() or "/" in source or source.endswith((".csv", ".gz", ".tsv", ".txt"))


def _sentence(entry: dict[str, Any]) -> str:
    if not entry["estimable"]:
        return f"{entry['construct']}: no model ({entry['reason']})"
    adjusted = "" if entry.get("p_holm") is None else f", adjusted over constructs {entry['p_holm']:.3g}"
    return f"{entry['construct']}: conditions, chi²({entry['df']}) = {entry['lr']:.2f}, p = {entry['p']:.3g}{adjusted}"


def _from_study(slug: str, roles: dict[str, Any], reference: str | None, bots: bool) -> tuple[Any, dict[str, Any]]:
    """A study's ratings with its exclusions, and what the report says about its instrument."""
    from app.database.session import command_session
    from app.reports.exports import StudyFrame, study_frame
    from app.statistics.data import Columns, from_frame

    given = [f"--{name}" for name, value in roles.items() if value]
    if given:
        raise InputError(f"{', '.join(given)}: column options are for files; the study {slug!r} names its own columns")

    async def load() -> StudyFrame:
        async with command_session() as session:
            return await study_frame(session, slug, bots=bots)

    frame = asyncio.run(load())
    if frame.trials.empty:
        raise InputError(f"the study {slug!r} has no answered trial yet")
    reasons = frame.participants.set_index("participant")
    reason = reasons["exclusion_reason"].fillna("").replace("", "excluded").where(reasons["excluded"].astype(bool), "")
    trials = frame.trials.rename(columns=frame.constructs)
    trials = trials.assign(excluded_by=trials["participant"].map(reason).fillna(""))
    columns = Columns(
        constructs=tuple(frame.constructs.values()),
        covariates=("explanation_length",),
        background=tuple(frame.background),
        excluded="excluded_by",
    )
    scale = (frame.minimum, frame.minimum + len(frame.labels) - 1)
    data = from_frame(trials, columns, reference=reference, scale=scale, name=slug)
    names = frame.constructs
    study = {
        "slug": frame.slug,
        "title": frame.title,
        "blinded": frame.blinded,
        "preregistered": frame.preregistration,
        "labels": frame.labels,
        "statements": {names[key]: text for key, text in frame.statements.items()},
        "sources": {names[key]: text for key, text in frame.sources.items()},
    }
    return data, study


@click.command(
    epilog="Example: blindrate accuracy runs.csv --outcome accuracy --method method --size size --run seed --out accuracy"
)
@click.argument("file", metavar="FILE.csv", type=click.Path(path_type=Path))
@click.option("--outcome", required=True, metavar="COL", help="Column of the accuracy.")
@click.option("--method", required=True, metavar="COL,…", callback=split_names, help="Column(s) that name the method.")
@click.option("--size", required=True, metavar="COL", help="Column of the student's size.")
@click.option("--run", "run_column", required=True, metavar="COL", help="Column of the run or seed.")
@click.option("--include", multiple=True, metavar="METHOD", help="Only this method (repeat); several columns: 'a / b'.")
@click.option(
    "--quality", type=click.Path(path_type=Path), metavar="results.json", help="Ratings, for accuracy against quality."
)
@click.option(
    "--map", "mapping", multiple=True, metavar="METHOD=CONDITION", help="Which condition of --quality a method is."
)
@click.option("--alpha", type=float, default=0.05, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--permutations", type=int, default=9999, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for accuracy.json and the figures.")
def accuracy(
    file: Path,
    outcome: str,
    method: tuple[str, ...],
    size: str,
    run_column: str,
    include: tuple[str, ...],
    quality: Path | None,
    mapping: tuple[str, ...],
    alpha: float,
    seed: int,
    permutations: int,
    out: Path,
) -> None:
    """Compare the accuracies of runs by method and size.

    \b
    Examples:
      blindrate accuracy runs.csv --outcome accuracy --method method --size size --run seed --out accuracy
      blindrate accuracy runs.csv --outcome accuracy --method objective,rationales --size size --run seed \\
        --quality report/results.json --map "multitask / few_shot=MT" --out accuracy
    """
    from app.statistics.accuracy import analyze_accuracy, read_accuracies
    from app.statistics.accuracy_quality import against_quality, read_results

    data = read_accuracies(file, outcome=outcome, method=method, size=size, run=run_column, include=include)
    ratings = read_results(quality) if quality else None
    out = out_folder(out)
    progress, meter = bar("accuracy")
    with meter:
        results = analyze_accuracy(data, alpha=alpha, seed=seed, permutations=permutations, progress=progress)
    results["quality"] = against_quality(results, ratings, mapping)
    write_json(results, out / "accuracy.json")
    report_with("accuracy_report", "write_accuracy_report", results, data, out)
    for warning in data.warnings:
        click.echo(f"Note: {warning}")
    for name, title in (("all_runs", "All runs"), ("without_outliers", "Without outliers")):
        for row in results[name]["anova"][:-1]:
            error = results[name]["anova"][-1]["df"]
            click.echo(f"{title}: {row['effect']}: F({row['df']}, {error}) = {row['F']:.2f}, p = {row['p']:.3g}")
        if results[name]["reason"]:
            click.echo(f"{title}: {results[name]['reason']}")
    click.echo(written(out))


def numbers(kind: type) -> Callable[[click.Context, click.Parameter, str], tuple[Any, ...]]:
    """click callback: '60,120' as a tuple of numbers. Raises InputError for anything else."""

    def parse(context: click.Context, parameter: click.Parameter, value: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part) for part in value.split(",") if part.strip())
        except ValueError:
            raise InputError(
                f"--{(parameter.name or '').replace('_', '-')} {value!r} is not a list of numbers"
            ) from None

    return parse


@click.command(epilog="Example: blindrate power --participants 60,120 --trials 12 --odds-ratio 1.5,2")
@click.option(
    "--from", "source", type=click.Path(path_type=Path), metavar="results.json", help="Take shares and spreads."
)
@click.option("--construct", help="Construct of --from [the first].")
@click.option("--participants", default="60,120,240", show_default=True, callback=numbers(int))
@click.option("--trials", default="12", show_default=True, callback=numbers(int), help="Trials of each participant.")
@click.option("--raters", default="1", show_default=True, callback=numbers(int), help="Raters of each explanation.")
@click.option(
    "--odds-ratio", default="1.2,1.5,2", show_default=True, callback=numbers(float), help="Of the last condition."
)
@click.option("--conditions", type=int, help="Number of conditions [4, or as in --from].")
@click.option(
    "--shares", callback=lambda c, p, v: numbers(float)(c, p, v) if v else None, help="Share of each scale point."
)
@click.option("--sd-participant", type=float, help="Spread of participants, logit scale [1.5].")
@click.option("--sd-item", type=float, help="Spread of items [0.4].")
@click.option("--sd-explanation", type=float, help="Spread of explanations [0].")
@click.option(
    "--alpha", type=float, default=0.05, show_default=True, help="For several constructs: divide by their number."
)
@click.option("--target", type=click.FloatRange(0.01, 0.99), default=0.8, show_default=True)
@click.option("--replicates", type=int, default=200, show_default=True, help="Simulated studies of each combination.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--workers", type=int, default=2, show_default=True, help="Processes; they change no number.")
@click.option("--out", type=click.Path(path_type=Path), metavar="power.json", help="Also write everything to a file.")
def power(
    source: Path | None,
    construct: str | None,
    participants: tuple[int, ...],
    trials: tuple[int, ...],
    raters: tuple[int, ...],
    odds_ratio: tuple[float, ...],
    out: Path | None,
    alpha: float,
    target: float,
    replicates: int,
    seed: int,
    workers: int,
    **world: Any,
) -> None:
    """Power of studies, and the smallest effect that they find, by simulation.

    Every combination of participants, trials and raters is simulated with every odds ratio, by which the last condition is
    rated better than the others, and analysed with the ordinal mixed model's test.

    \b
    Examples:
      blindrate power --participants 60,120 --trials 12 --odds-ratio 1.25,1.5,2
      blindrate power --from report/results.json --construct Plausibility --participants 120 --raters 1,3
    """
    from app.statistics.accuracy_quality import read_results
    from app.statistics.power import Assumptions, StudyDesign, from_results
    from app.statistics.power import power as run

    assumed = from_results(read_results(source), construct) if source else Assumptions()
    if construct and not source:
        raise InputError("--construct needs --from, the results.json that has it")
    assumed = replace(assumed, **{key: value for key, value in world.items() if value is not None})
    designs = [StudyDesign(*sizes) for sizes in itertools.product(participants, trials, raters)]
    progress, meter = bar("power")
    with meter:
        found = run(
            designs,
            odds_ratio,
            assumed,
            alpha=alpha,
            target=target,
            replicates=replicates,
            seed=seed,
            workers=workers,
            progress=progress,
        )
    click.echo("participants  trials  raters  odds ratio  power  95 % Monte Carlo interval")
    for row in found["power"]:
        low, high = row["ci"]
        click.echo(
            f"{row['participants']:12d}  {row['trials']:6d}  {row['raters']:6d}  {row['odds_ratio']:10.3g}  {row['power']:5.3f}  "
            f"{low:.3f} to {high:.3f}"
        )
    for row in found["minimum_detectable"]:
        design = f"{row['participants']} participants, {row['trials']} trials, {row['raters']} raters"
        answer = row["reason"] or f"odds ratio {row['odds_ratio']:.2f}"
        click.echo(f"Smallest effect with power {target:g}, {design}: {answer}")
    if out:
        out_folder(out.parent)
        write_json(found, out)
